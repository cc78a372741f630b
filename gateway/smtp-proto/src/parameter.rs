//! Parameters behind MAIL and RCPT.

/// Parameters of one command: more than any client has a use for.
const COUNT_MAX: usize = 16;

/// Why a parameter is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// Given twice, or there are too many.
    #[error("a parameter is given twice")]
    Repeated,
    /// Not `KEYWORD` or `KEYWORD=value`, or a value that its keyword does not take.
    #[error("a parameter is not well formed")]
    Syntax,
    /// No parameter that this command knows (555, RFC 5321 §4.1.1.11).
    #[error("a parameter is not known")]
    Unknown,
}

/// Splits what follows a path and hands each parameter, its keyword in upper case, to `take`.
///
/// ```abnf
/// Mail-parameters = esmtp-param *(SP esmtp-param)             ; RFC 5321 §4.1.2, UTF-8 by RFC 6531 §3.3
/// esmtp-param     = esmtp-keyword ["=" esmtp-value]
/// esmtp-keyword   = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
/// esmtp-value     = 1*(%d33-60 / %d62-126 / UTF8-non-ascii)
/// ```
pub(crate) fn each<F>(text: &str, mut take: F) -> Result<(), ParameterError>
where
    F: FnMut(&str, Option<&str>) -> Result<(), ParameterError>,
{
    let mut seen: Vec<String> = Vec::new();
    // Quirk `spaces`: more than one space between parameters is one.
    for parameter in text.split(' ').filter(|part| !part.is_empty()) {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (parameter, None),
        };
        let keyword = keyword.to_ascii_uppercase();
        if !is_keyword(&keyword) || value.is_some_and(|value| !is_value(value)) {
            return Err(ParameterError::Syntax);
        }
        if seen.contains(&keyword) || seen.len() == COUNT_MAX {
            return Err(ParameterError::Repeated);
        }
        take(&keyword, value)?;
        seen.push(keyword);
    }
    Ok(())
}

fn is_keyword(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_value(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_control() && c != '=')
}

/// Decodes xtext.
///
/// ```abnf
/// xtext   = *( xchar / hexchar )                              ; RFC 3461 §4
/// xchar   = %d33-42 / %d44-60 / %d62-126
/// hexchar = "+" 2HEXDIG                                       ; upper case
/// ```
pub(crate) fn xtext(text: &str) -> Result<String, ParameterError> {
    let hex = |byte: Option<u8>| match byte {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(letter @ b'A'..=b'F') => Ok(letter - b'A' + 10),
        _ => Err(ParameterError::Syntax),
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(hex(bytes.next())? << 4 | hex(bytes.next())?),
            b'!'..=b'<' | b'>'..=b'~' => decoded.push(byte),
            _ => return Err(ParameterError::Syntax),
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| ParameterError::Syntax)?;
    if decoded.chars().any(char::is_control) { Err(ParameterError::Syntax) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, ParameterError>) {
        let mut seen = String::new();
        let got = each(text, |keyword, value| {
            seen.push_str(&format!("{keyword}:{};", value.unwrap_or("-")));
            Ok(())
        });
        assert_eq!(got.map(|()| seen), expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn parameters() {
        check("", Ok(""));
        check(" SIZE=1 body=8BITMIME  SMTPUTF8", Ok("SIZE:1;BODY:8BITMIME;SMTPUTF8:-;"));
        check(" SIZE=", Err(ParameterError::Syntax));
        check(" =1", Err(ParameterError::Syntax));
        check(" SIZE=1=2", Err(ParameterError::Syntax));
        check(" -A", Err(ParameterError::Syntax));
        check(" SIZE=1 SIZE=1", Err(ParameterError::Repeated));
        for (count, good) in [(15, true), (16, true), (17, false)] {
            let many: String = (0..count).map(|n| format!(" X{n}")).collect();
            assert_eq!(each(&many, |_, _| Ok(())).is_ok(), good, "{count}");
        }
    }

    #[test]
    fn xtext_known_answers() {
        assert_eq!(xtext("e+3Dmc2@example.com"), Ok("e=mc2@example.com".to_owned()));
        for text in ["+", "+3", "+3d", "a=b", "+0D+0A", "+FF", "ü"] {
            assert_eq!(xtext(text), Err(ParameterError::Syntax), "{text}");
        }
    }
}
