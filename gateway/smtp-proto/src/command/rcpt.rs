//! `RCPT TO:<forward-path> [parameters]` (RFC 5321 §4.1.1.3).

use envelope::{Notify, OriginalRecipient};

use super::{CommandError, after_keyword};
use crate::parameter::{self, ParameterError};
use crate::path::{self, ForwardPath};

/// One more recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// To whom.
    pub forward_path: ForwardPath,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// ORCPT: type and address, decoded (RFC 3461 §4.2).
    pub original_recipient: Option<OriginalRecipient>,
}

impl Rcpt {
    /// ```abnf
    /// rcpt         = "RCPT TO:" Forward-path [SP Rcpt-parameters]
    /// notify-value = "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" )   ; RFC 3461 §4.1
    /// orcpt-value  = atom ";" xtext                                    ; at most 500 characters, RFC 3461 §4.2
    /// ```
    pub(super) fn parse(argument: &str) -> Result<Self, CommandError> {
        let rest = after_keyword(argument, "TO:").ok_or(CommandError::Argument("RCPT"))?;
        let (forward_path, rest) = path::forward(rest).map_err(CommandError::Recipient)?;
        let mut rcpt = Self { forward_path, notify: None, original_recipient: None };
        parameter::each(rest, |keyword, value| rcpt.take(keyword, value)).map_err(CommandError::Parameter)?;
        Ok(rcpt)
    }

    fn take(&mut self, keyword: &str, value: Option<&str>) -> Result<(), ParameterError> {
        match (keyword, value) {
            ("NOTIFY", Some(value)) => self.notify = Some(notify(value)?),
            ("ORCPT", Some(value)) if value.len() <= 500 => {
                self.original_recipient = Some(original_recipient(value)?);
            }
            ("NOTIFY" | "ORCPT", _) => return Err(ParameterError::Syntax),
            _ => return Err(ParameterError::Unknown),
        }
        Ok(())
    }
}

/// Both halves go into a report's fields: the type must be an atom, and `xtext` lets no control character through.
fn original_recipient(value: &str) -> Result<OriginalRecipient, ParameterError> {
    let (kind, address) = value.split_once(';').ok_or(ParameterError::Syntax)?;
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let address = parameter::xtext(address)?;
    if kind.is_empty() || !kind.bytes().all(is_atext) || address.trim().is_empty() {
        return Err(ParameterError::Syntax);
    }
    Ok(OriginalRecipient { kind: kind.to_ascii_lowercase(), address })
}

fn notify(value: &str) -> Result<Notify, ParameterError> {
    let mut notify = Notify::default();
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(notify);
    }
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return Err(ParameterError::Syntax),
        }
    }
    Ok(notify)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients() {
        let rcpt = Rcpt::parse("TO:<a@b.test> NOTIFY=SUCCESS,delay ORCPT=rfc822;a+2Bb@c.test").unwrap();
        assert_eq!(rcpt.notify, Some(Notify { success: true, failure: false, delay: true }));
        assert_eq!(
            rcpt.original_recipient,
            Some(OriginalRecipient { kind: "rfc822".to_owned(), address: "a+b@c.test".to_owned() })
        );
        assert_eq!(Rcpt::parse("to:<PostMaster>").unwrap().forward_path, ForwardPath::Postmaster);
        assert_eq!(Rcpt::parse("TO:<a@b.test> NOTIFY=NEVER").unwrap().notify, Some(Notify::default()));
    }

    #[test]
    fn refused() {
        for argument in [
            "",
            "TO:",
            "TO:<>",
            "TO:a@b.test",
            "FROM:<a@b.test>",
            "TO:<a@b.test>,<c@d.test>",
            "TO:<a@b.test> NOTIFY=NEVER,DELAY",
            "TO:<a@b.test> NOTIFY",
            "TO:<a@b.test> NOTIFY=SUCCESS,,DELAY",
            "TO:<a@b.test> ORCPT=x",
            "TO:<a@b.test> ORCPT=;x",
            "TO:<a@b.test> ORCPT=rfc822;",
            "TO:<a@b.test> ORCPT=rfc822;+20",
            "TO:<a@b.test> ORCPT=rfc 822;x",
            "TO:<a@b.test> ORCPT=rfc(822);x",
            "TO:<a@b.test> ORCPT=rfc822;x+0D+0AAction:+20failed",
            "TO:<a@b.test> ORCPT=rfc822;x+7F",
            "TO:<a@b.test> ORCPT=rfc822;x+C2+85",
            "TO:<a@b.test> SIZE=1",
        ] {
            assert!(Rcpt::parse(argument).is_err(), "{argument}");
        }
    }
}
