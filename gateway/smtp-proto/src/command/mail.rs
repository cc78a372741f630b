//! `MAIL FROM:<reverse-path> [parameters]` (RFC 5321 §4.1.1.2).

use envelope::{Return, ReversePath};

use super::{CommandError, after_keyword};
use crate::parameter::{self, ParameterError};
use crate::path;

/// The beginning of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Where failure reports go.
    pub reverse_path: ReversePath,
    /// SIZE: octets the client means to send (RFC 1870). A number too large to count is the largest.
    pub size: Option<u64>,
    /// BODY (RFC 6152, RFC 3030).
    pub body: Option<BodyType>,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
    /// AUTH: who submitted the message, says the client (RFC 4954 §5). `<>` is an empty text.
    pub auth: Option<String>,
    /// RET (RFC 3461 §4.3).
    pub ret: Option<Return>,
    /// ENVID, decoded (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// REQUIRETLS (RFC 8689): on over verified TLS only.
    pub require_tls: bool,
}

/// What kind of octets follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyType {
    /// Any octets, by BDAT only.
    BinaryMime,
    /// Lines of octets.
    EightBitMime,
    /// Lines of ASCII.
    SevenBit,
}

impl Mail {
    /// ```abnf
    /// mail        = "MAIL FROM:" Reverse-path [SP Mail-parameters]
    /// size-value  = 1*20DIGIT                          ; RFC 1870 §3
    /// body-value  = "7BIT" / "8BITMIME" / "BINARYMIME" ; RFC 6152 §2, RFC 3030 §3
    /// ret-value   = "FULL" / "HDRS"                    ; RFC 3461 §4.3
    /// envid-value = xtext                              ; at most 100 characters, RFC 3461 §4.4
    /// ```
    pub(super) fn parse(argument: &str) -> Result<Self, CommandError> {
        let rest = after_keyword(argument, "FROM:").ok_or(CommandError::Argument("MAIL"))?;
        let (reverse_path, rest) = path::reverse(rest).map_err(CommandError::Sender)?;
        let mut mail = Self {
            reverse_path,
            size: None,
            body: None,
            smtp_utf8: false,
            auth: None,
            ret: None,
            envelope_id: None,
            require_tls: false,
        };
        parameter::each(rest, |keyword, value| mail.take(keyword, value)).map_err(CommandError::Parameter)?;
        Ok(mail)
    }

    fn take(&mut self, keyword: &str, value: Option<&str>) -> Result<(), ParameterError> {
        match (keyword, value) {
            ("AUTH", Some("<>")) => self.auth = Some(String::new()),
            ("AUTH", Some(value)) => self.auth = Some(parameter::xtext(value)?),
            ("BODY", Some(value)) => self.body = Some(body_type(value)?),
            ("ENVID", Some(value)) if value.len() <= 100 => {
                self.envelope_id = Some(parameter::xtext(value)?);
            }
            ("RET", Some(value)) if value.eq_ignore_ascii_case("FULL") => self.ret = Some(Return::Full),
            ("RET", Some(value)) if value.eq_ignore_ascii_case("HDRS") => self.ret = Some(Return::Headers),
            ("SIZE", Some(value)) => self.size = Some(size(value)?),
            ("SMTPUTF8", None) => self.smtp_utf8 = true,
            ("REQUIRETLS", None) => self.require_tls = true,
            ("AUTH" | "BODY" | "ENVID" | "REQUIRETLS" | "RET" | "SIZE" | "SMTPUTF8", _) => {
                return Err(ParameterError::Syntax);
            }
            _ => return Err(ParameterError::Unknown),
        }
        Ok(())
    }
}

fn size(value: &str) -> Result<u64, ParameterError> {
    if !(1..=20).contains(&value.len()) || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParameterError::Syntax);
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body_type(value: &str) -> Result<BodyType, ParameterError> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        "BINARYMIME" => Ok(BodyType::BinaryMime),
        _ => Err(ParameterError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(argument: &str) -> Result<Mail, CommandError> {
        Mail::parse(argument)
    }

    #[test]
    fn senders() {
        assert_eq!(parse("FROM:<a@b.test>").unwrap().reverse_path.to_string(), "a@b.test");
        assert_eq!(parse("from:<>").unwrap().reverse_path, ReversePath::Null);
        assert_eq!(parse("FROM: <a@b.test>").unwrap().reverse_path.to_string(), "a@b.test");
        assert_eq!(parse("<a@b.test>"), Err(CommandError::Argument("MAIL")));
        assert_eq!(parse("FROM <a@b.test>"), Err(CommandError::Argument("MAIL")));
        assert!(matches!(parse("FROM:a@b.test"), Err(CommandError::Sender(_))));
        assert!(matches!(parse("FROM:<postmaster>"), Err(CommandError::Sender(_))));
    }

    #[test]
    fn parameters() {
        let mail = parse(
            "FROM:<a@b.test> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159 AUTH=e+3Dmc2@example.com",
        );
        let mail = mail.unwrap();
        assert_eq!((mail.size, mail.body), (Some(1000), Some(BodyType::EightBitMime)));
        assert_eq!((mail.smtp_utf8, mail.ret), (true, Some(Return::Headers)));
        assert_eq!(mail.envelope_id.as_deref(), Some("QQ314159"));
        assert_eq!(mail.auth.as_deref(), Some("e=mc2@example.com"));
        assert!(!mail.require_tls && parse("FROM:<a@b.test> REQUIRETLS").unwrap().require_tls);
        assert_eq!(parse("FROM:<> AUTH=<>").unwrap().auth.as_deref(), Some(""));
    }

    #[test]
    fn sizes() {
        let size = |text: &str| parse(&format!("FROM:<> SIZE={text}")).ok().and_then(|mail| mail.size);
        assert_eq!(size("0"), Some(0));
        assert_eq!(size("18446744073709551615"), Some(u64::MAX));
        assert_eq!(size("18446744073709551616"), Some(u64::MAX));
        assert_eq!(size("184467440737095516160"), None);
        assert_eq!(size("-1"), None);
        assert_eq!(size("1k"), None);
    }

    #[test]
    fn refused_parameters() {
        for (parameters, error) in [
            ("X=1", ParameterError::Unknown),
            ("NOTIFY=NEVER", ParameterError::Unknown),
            ("BODY=9BIT", ParameterError::Syntax),
            ("SIZE", ParameterError::Syntax),
            ("SMTPUTF8=1", ParameterError::Syntax),
            ("REQUIRETLS=1", ParameterError::Syntax),
            ("RET=ALL", ParameterError::Syntax),
            ("SIZE=1 SIZE=2", ParameterError::Repeated),
        ] {
            let got = parse(&format!("FROM:<a@b.test> {parameters}"));
            assert_eq!(got, Err(CommandError::Parameter(error)), "{parameters}");
        }
        assert!(parse(&format!("FROM:<> ENVID={}", "a".repeat(100))).is_ok());
        assert!(parse(&format!("FROM:<> ENVID={}", "a".repeat(101))).is_err());
    }
}
