//! A header section, field by field, octets untouched, and where the text behind it begins.

use std::borrow::Cow;

/// One field of a header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Without the white space that old senders put before the colon.
    pub(crate) name: &'a [u8],
    /// All behind the colon, without the last line end.
    pub(crate) value: &'a [u8],
    /// The whole field with its line end, if the message has one there.
    pub(crate) octets: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name, in any case.
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value on one line, without white space at its ends. What is no UTF-8 is replaced.
    pub(crate) fn unfolded(&self) -> String {
        let text = std::str::from_utf8(self.value)
            .map_or_else(|_| String::from_utf8_lossy(self.value), Cow::Borrowed);
        let mut unfolded = String::with_capacity(text.len());
        for (at, line) in text.split("\r\n").enumerate() {
            if at > 0 && !unfolded.is_empty() {
                unfolded.push(' ');
            }
            unfolded.push_str(line.trim_matches([' ', '\t']));
        }
        unfolded.trim().to_owned()
    }
}

/// A message in its two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    pub(crate) fields: Vec<Field<'a>>,
    /// Whether an empty line ends the section.
    pub(crate) has_separator: bool,
    /// The text behind it.
    pub(crate) body: &'a [u8],
}

impl<'a> Section<'a> {
    /// Reads fields up to the empty line, or to a line that is none: there the text begins.
    ///
    /// ```abnf
    /// fields     = *field                        ; RFC 5322 §3.6, §2.2
    /// field      = field-name *WSP ":" text *( CRLF WSP text ) CRLF
    /// field-name = 1*%d33-57 / %d59-126
    /// ```
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut section = Self { fields: Vec::new(), has_separator: false, body: message };
        loop {
            let rest = section.body;
            if let Some(body) = rest.strip_prefix(b"\r\n") {
                section.has_separator = true;
                section.body = body;
                return section;
            }
            let Some((field, body)) = field(rest) else { return section };
            section.fields.push(field);
            section.body = body;
        }
    }
}

/// The fields of a message.
pub(crate) fn split(message: &[u8]) -> Vec<Field<'_>> {
    Section::parse(message).fields
}

/// Whether the message, or a part of it that is not encoded, says what it is in a field of more than `octets_max`.
pub(crate) fn has_endless_type(message: &[u8], octets_max: usize) -> bool {
    if message.len() <= octets_max {
        return false;
    }
    let mut begins = 0;
    let ends = memchr::memchr_iter(b'\n', message).map(|at| at + 1).chain([message.len()]);
    for end in ends {
        if matches!(message.get(end), Some(b' ' | b'\t')) {
            continue;
        }
        let line = message.get(begins..end).unwrap_or_default();
        if line.len() > octets_max && is_type(line) {
            return true;
        }
        begins = end;
    }
    false
}

fn is_type(line: &[u8]) -> bool {
    let Some(colon) = line.iter().take(32).position(|byte| *byte == b':') else { return false };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"content-disposition")
}

/// Takes a field with its folded lines from the start.
fn field(rest: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let colon = memchr::memchr2(b':', b'\r', rest).filter(|at| rest.get(*at) == Some(&b':'))?;
    let name = rest.get(..colon)?.trim_ascii_end();
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut end = colon + 1;
    loop {
        let Some(length) = line_length(rest.get(end..)?) else {
            end = rest.len();
            break;
        };
        end += length;
        if !matches!(rest.get(end), Some(b' ' | b'\t')) {
            break;
        }
    }
    let (octets, body) = rest.split_at_checked(end)?;
    let value = octets.get(colon + 1..)?;
    Some((Field { name, value: value.strip_suffix(b"\r\n").unwrap_or(value), octets }, body))
}

/// Octets of the first line with its CRLF.
fn line_length(text: &[u8]) -> Option<usize> {
    let mut ends = memchr::memchr_iter(b'\n', text);
    ends.find(|at| at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'\r')).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: &[(&str, &str)]) {
        let fields = split(message.as_bytes());
        let found: Vec<(String, String)> = fields
            .iter()
            .map(|field| (String::from_utf8(field.name.to_vec()).unwrap(), field.unfolded()))
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(found, expected, "{message:?}");
        let whole: usize = fields.iter().map(|field| field.octets.len()).sum();
        assert!(whole <= message.len());
    }

    #[test]
    fn attack_a_type_without_end() {
        const MAX: usize = 8 << 10;
        let parameters = |octets: usize| "a*1=x;\r\n ".repeat(octets / 9);
        let check = |message: &str, expected: bool| {
            assert_eq!(has_endless_type(message.as_bytes(), MAX), expected, "{} octets", message.len());
        };
        check("", false);
        check("Subject: x\r\n\r\ntext", false);
        check(&format!("Content-Type: a/b;{}x\r\n\r\n", parameters(MAX - 200)), false);
        check(&format!("CONTENT-type : a/b;{}x\r\n\r\n", parameters(MAX)), true);
        check(&format!("A: b\r\n\r\n--b\r\nContent-Disposition:a;{}x", parameters(MAX)), true);
        check(&format!("A: b\n\n--b\nContent-Type: a/b;{}", "a*1=x;".repeat(MAX / 5)), true);
        // Other fields and the text may be as long as they like.
        check(&format!("To: {}\r\n\r\n{}", parameters(MAX), "x".repeat(3 * MAX)), false);
    }

    #[test]
    fn fields_as_they_stand() {
        check("", &[]);
        check("\r\ntext", &[]);
        check("A: b\r\n\r\nC: d\r\n", &[("A", "b")]);
        check("A: b\r\n c\r\n\td \r\nE:f\r\n\r\n", &[("A", "b c d"), ("E", "f")]);
        check("A : b\r\n", &[("A", "b")]);
        check("A: b", &[("A", "b")]);
        check("A: b\r\nno field\r\nC: d\r\n", &[("A", "b")]);
        check(" continued: first\r\n", &[]);
        check("A:\r\n b\r\n\r\n", &[("A", "b")]);
    }
}
