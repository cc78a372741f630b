//! The header with which SCRAM and OAUTHBEARER begin (RFC 5801 §4).

use crate::credentials;
use crate::{Limits, SaslError};

/// What a client says of channel binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gs2Flag<'a> {
    /// It uses the binding of this name.
    Bound(&'a str),
    /// It could, and believes that the server can't.
    NotOffered,
    /// It can't.
    NotSupported,
}

/// The header and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gs2Header<'a> {
    /// As it was sent, its last comma included.
    pub(super) text: &'a str,
    pub(super) flag: Gs2Flag<'a>,
    pub(super) authorization_identity: Option<String>,
}

/// Splits the header off.
///
/// ```abnf
/// gs2-header     = gs2-cbind-flag "," [authzid] ","       ; RFC 5802 §7, RFC 7628 §3.1
/// gs2-cbind-flag = ("p=" cb-name) / "n" / "y"
/// authzid        = "a=" saslname
/// cb-name        = 1*(ALPHA / DIGIT / "." / "-")
/// ```
pub(super) fn header<'a>(message: &'a str, limits: &Limits) -> Result<(Gs2Header<'a>, &'a str), SaslError> {
    let wrong = SaslError::Malformed("the message does not begin with a GS2 header");
    let (flag, behind) = message.split_once(',').ok_or(wrong)?;
    let (identity, rest) = behind.split_once(',').ok_or(wrong)?;
    let flag = match flag {
        "n" => Gs2Flag::NotSupported,
        "y" => Gs2Flag::NotOffered,
        other => {
            let name = other.strip_prefix("p=").ok_or(wrong)?;
            let good = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'.' || octet == b'-';
            if name.is_empty() || !name.bytes().all(good) {
                return Err(wrong);
            }
            Gs2Flag::Bound(name)
        }
    };
    let authorization_identity = match identity {
        "" => None,
        identity => Some(name(identity.strip_prefix("a=").ok_or(wrong)?, limits)?),
    };
    let text = message.strip_suffix(rest).ok_or(wrong)?;
    Ok((Gs2Header { text, flag, authorization_identity }, rest))
}

/// A name, in which `=2C` stands for a comma and `=3D` for an equals sign.
///
/// ```abnf
/// saslname = 1*(value-safe-char / "=2C" / "=3D")          ; RFC 5802 §7
/// ```
pub(super) fn name(text: &str, limits: &Limits) -> Result<String, SaslError> {
    let mut parts = text.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(SaslError::Malformed("the name holds an unknown escape")),
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    credentials::name(plain.as_bytes(), limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { response_octets_max: 64, login_octets_max: 16, password_octets_max: 6 };

    #[test]
    fn headers() {
        let check = |message: &str, expected: Option<(&str, Gs2Flag<'_>, Option<&str>, &str)>| {
            let found = header(message, &LIMITS).ok();
            let found = found.as_ref().map(|(header, rest)| {
                (header.text, header.flag, header.authorization_identity.as_deref(), *rest)
            });
            assert_eq!(found, expected, "{message}");
        };
        check("n,,n=x", Some(("n,,", Gs2Flag::NotSupported, None, "n=x")));
        check("y,a=b,", Some(("y,a=b,", Gs2Flag::NotOffered, Some("b"), "")));
        check("p=tls-exporter,,x", Some(("p=tls-exporter,,", Gs2Flag::Bound("tls-exporter"), None, "x")));
        for wrong in
            ["", "n", "n,", "n,b,x", "n,a=,x", "x,,", "p=,,", "p=a b,,", "N,,", "p,,", "F,n,,", "n,a=a=2,"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn names() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(name(text, &LIMITS).ok().as_deref(), expected, "{text}");
        };
        check("user", Some("user"));
        check("a=2Cb=3D", Some("a,b="));
        check("=3D2C", Some("=2C"));
        check(&"x".repeat(15), Some(&"x".repeat(15)));
        check(&"x".repeat(16), Some(&"x".repeat(16)));
        check(&"x".repeat(17), None);
        for wrong in ["", "a=", "a=2c", "a=3", "a=\u{e4}", "a\u{0}"] {
            check(wrong, None);
        }
    }
}
