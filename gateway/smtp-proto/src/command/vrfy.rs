//! `VRFY string [SMTPUTF8]` (RFC 5321 §4.1.1.6).

use super::CommandError;

/// Is this somebody? Whom it is about is of no interest: the answer is the same for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vrfy {
    /// Whether the name is beyond ASCII and SMTPUTF8 was not asked for (RFC 6531 §3.7.4.2).
    pub needs_utf8: bool,
}

impl Vrfy {
    /// ```abnf
    /// vrfy = "VRFY" SP String [SP "SMTPUTF8"]       ; RFC 5321 §4.1.1.6, RFC 6531 §3.7.4.2
    /// ```
    pub(super) fn parse(argument: &str) -> Result<Self, CommandError> {
        let (name, utf8) = match argument.rsplit_once(' ') {
            Some((name, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => (name, true),
            _ => (argument, false),
        };
        if name.trim().is_empty() {
            return Err(CommandError::Argument("VRFY"));
        }
        Ok(Self { needs_utf8: !utf8 && !name.is_ascii() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (argument, expected) in [
            ("alice", Ok(false)),
            ("<alice@example.test>", Ok(false)),
            ("Alice Liddell smtputf8", Ok(false)),
            ("\u{fc}ser SMTPUTF8", Ok(false)),
            ("\u{fc}ser", Ok(true)),
            ("SMTPUTF8", Ok(false)),
            ("", Err(CommandError::Argument("VRFY"))),
            (" SMTPUTF8", Err(CommandError::Argument("VRFY"))),
        ] {
            assert_eq!(Vrfy::parse(argument).map(|vrfy| vrfy.needs_utf8), expected, "{argument}");
        }
    }
}
