//! `AUTH mechanism [initial-response]` (RFC 4954 §4).

use envelope::Secret;

use super::CommandError;

/// Longest mechanism name (RFC 4422 §3.1).
const MECHANISM_MAX: usize = 20;

/// The start of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The mechanism, in upper case.
    pub mechanism: String,
    /// The initial response, still in base64; `=` stands for an empty one.
    pub initial_response: Option<Secret<String>>,
}

impl Auth {
    /// ```abnf
    /// auth-command     = "AUTH" SP sasl-mech [SP initial-response]   ; RFC 4954 §8
    /// sasl-mech        = 1*20(UPPER-ALPHA / DIGIT / "-" / "_")       ; in any case of letters
    /// initial-response = base64 / "="
    /// ```
    pub(super) fn parse(argument: &str) -> Result<Self, CommandError> {
        let (mechanism, response) = match argument.split_once(' ') {
            Some((mechanism, response)) => (mechanism, Some(response)),
            None => (argument, None),
        };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if mechanism.is_empty() || mechanism.len() > MECHANISM_MAX || !mechanism.bytes().all(good) {
            return Err(CommandError::Argument("AUTH"));
        }
        if response.is_some_and(|text| text.is_empty() || text.contains(' ')) {
            return Err(CommandError::Argument("AUTH"));
        }
        Ok(Self {
            mechanism: mechanism.to_ascii_uppercase(),
            initial_response: response.map(|text| Secret::new(text.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argument: &str, expected: Option<(&str, Option<&str>)>) {
        let got = Auth::parse(argument).ok();
        let got = got.map(|auth| (auth.mechanism, auth.initial_response.map(|r| r.expose().clone())));
        assert_eq!(got, expected.map(|(m, r)| (m.to_owned(), r.map(str::to_owned))), "{argument}");
    }

    #[test]
    fn forms() {
        check("plain", Some(("PLAIN", None)));
        check("PLAIN AGEAYg==", Some(("PLAIN", Some("AGEAYg=="))));
        check("SCRAM-SHA-256 =", Some(("SCRAM-SHA-256", Some("="))));
        check("", None);
        check("PLAIN ", None);
        check("PLAIN a b", None);
        check("PLÄIN", None);
        check(&"A".repeat(20), Some((&"A".repeat(20), None)));
        check(&"A".repeat(21), None);
    }
}
