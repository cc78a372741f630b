//! `RCPT TO:<forward-path> [parameters]` (RFC 5321 §4.1.1.3).

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
    pub original_recipient: Option<(String, String)>,
}

/// When the sender wants to hear of this recipient. All false is NEVER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notify {
    /// When it was delivered.
    pub success: bool,
    /// When it could not be.
    pub failure: bool,
    /// When it takes long.
    pub delay: bool,
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
                let (kind, address) = value.split_once(';').ok_or(ParameterError::Syntax)?;
                let address = parameter::xtext(address)?;
                self.original_recipient = Some((kind.to_ascii_lowercase(), address));
            }
            ("NOTIFY" | "ORCPT", _) => return Err(ParameterError::Syntax),
            _ => return Err(ParameterError::Unknown),
        }
        Ok(())
    }
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
        assert_eq!(rcpt.original_recipient, Some(("rfc822".to_owned(), "a+b@c.test".to_owned())));
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
            "TO:<a@b.test> ORCPT=x",
            "TO:<a@b.test> SIZE=1",
        ] {
            assert!(Rcpt::parse(argument).is_err(), "{argument}");
        }
    }
}
