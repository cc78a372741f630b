//! The server's side of the exchanges.

mod login;
mod plain;

pub use login::Login;
pub use plain::Plain;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{Credentials, Limits, SaslError};

/// The mechanisms that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616: one response with name and password.
    Plain,
    /// The older form in two responses that Outlook still uses (draft-murchison-sasl-login).
    Login,
}

impl Mechanism {
    /// Every mechanism, in the order in which to announce them.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// Reads a mechanism's name; case does not matter (quirk `mechanism-case`: RFC 4422 §3.1 gives upper case).
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| name.eq_ignore_ascii_case(mechanism.name().as_bytes()))
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Begins an exchange. `initial` is the initial response as it was on the command's line: base64, or `=` for
    /// an empty one (RFC 4954 §4).
    pub fn begin(self, initial: Option<&[u8]>, limits: &Limits) -> Result<Step, SaslError> {
        let exchange = match self {
            Self::Plain => Exchange::Plain(Plain),
            Self::Login => Exchange::Login(Login::User),
        };
        match initial {
            Some(b"=") => exchange.take(b"", limits),
            Some(response) => exchange.respond(response, limits),
            None => Ok(exchange.ask()),
        }
    }
}

/// An exchange that waits for the client's next response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// PLAIN.
    Plain(Plain),
    /// LOGIN.
    Login(Login),
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this base64 text (may be empty) as a challenge and give the next line to [`Exchange::respond`].
    Challenge(Exchange, &'static str),
    /// The client has said all: ask the directory.
    Finished(Credentials),
}

impl Exchange {
    /// Takes one line from the client, without its CRLF.
    pub fn respond(self, line: &[u8], limits: &Limits) -> Result<Step, SaslError> {
        if line == b"*" {
            return Err(SaslError::Cancelled);
        }
        if line.len() > limits.response_octets_max {
            return Err(SaslError::TooLong);
        }
        let response = STANDARD.decode(line).map_err(|_| SaslError::Encoding)?;
        self.take(&response, limits)
    }

    fn take(self, response: &[u8], limits: &Limits) -> Result<Step, SaslError> {
        match self {
            Self::Plain(plain) => plain.take(response, limits).map(Step::Finished),
            Self::Login(login) => login.take(response, limits),
        }
    }

    fn ask(self) -> Step {
        let challenge = match &self {
            Self::Plain(_) => "",
            Self::Login(login) => login.challenge(),
        };
        Step::Challenge(self, challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { response_octets_max: 128, login_octets_max: 64, password_octets_max: 64 };

    /// Runs a whole exchange; the answer is `login:password:authorization`, or the error, behind the challenges.
    fn run(mechanism: &str, initial: Option<&str>, lines: &[&str]) -> String {
        let mechanism = Mechanism::parse(mechanism.as_bytes()).unwrap();
        let mut step = mechanism.begin(initial.map(str::as_bytes), &LIMITS);
        let mut lines = lines.iter();
        let mut said = String::new();
        loop {
            match step {
                Ok(Step::Challenge(exchange, text)) => {
                    said += &format!("[{text}]");
                    step =
                        exchange.respond(lines.next().expect("a line for the challenge").as_bytes(), &LIMITS);
                }
                Ok(Step::Finished(c)) => {
                    let identity = c.authorization_identity.unwrap_or_default();
                    return format!("{said}{}:{}:{identity}", c.login, c.password.expose());
                }
                Err(error) => return format!("{said}{error:?}"),
            }
        }
    }

    fn b64(text: &str) -> String {
        STANDARD.encode(text)
    }

    #[test]
    fn plain_as_in_rfc_4616() {
        // RFC 4616 §4: both examples.
        assert_eq!(run("PLAIN", Some(&b64("\0tim\0tanstaaftanstaaf")), &[]), "tim:tanstaaftanstaaf:");
        assert_eq!(run("plain", None, &[&b64("Ursel\0Kurt\0xipj3plmq")]), "[]Kurt:xipj3plmq:Ursel");
        // RFC 4954 §4.1's example.
        assert_eq!(run("PLAIN", Some("dGVzdAB0ZXN0ADEyMzQ="), &[]), "test:1234:test");
    }

    #[test]
    fn plain_refused() {
        for (text, expected) in [
            ("", "Malformed(\"PLAIN is identity NUL name NUL password\")"),
            ("tim", "Malformed(\"PLAIN is identity NUL name NUL password\")"),
            ("\0tim", "Malformed(\"PLAIN is identity NUL name NUL password\")"),
            ("\0\0pass", "Malformed(\"the name is empty\")"),
            ("\0tim\0", "Malformed(\"the password is empty\")"),
            ("\0tim\0pass\0more", "Malformed(\"the password holds a NUL\")"),
            ("x\n\0tim\0pass", "Malformed(\"the name holds a control character\")"),
        ] {
            assert_eq!(run("PLAIN", None, &[&b64(text)]), format!("[]{expected}"), "{text:?}");
        }
        assert_eq!(run("PLAIN", Some("="), &[]), "Malformed(\"PLAIN is identity NUL name NUL password\")");
    }

    #[test]
    fn login_in_two_responses() {
        let expected = "[VXNlcm5hbWU6][UGFzc3dvcmQ6]tim:secret:";
        assert_eq!(run("LOGIN", None, &[&b64("tim"), &b64("secret")]), expected);
        assert_eq!(run("login", Some(&b64("tim")), &[&b64("secret")]), "[UGFzc3dvcmQ6]tim:secret:");
        assert_eq!(run("LOGIN", None, &[""]), "[VXNlcm5hbWU6]Malformed(\"the name is empty\")");
        assert_eq!(run("LOGIN", Some(&b64("tim")), &["*"]), "[UGFzc3dvcmQ6]Cancelled");
    }

    #[test]
    fn base64_is_strict() {
        let good = b64("\0a\0bc");
        assert_eq!(good, "AGEAYmM=");
        for bad in
            ["AGEAYmM", "AGEAYmM==", "AGEAYmN=", " AGEAYmM=", "AGEA YmM=", "AGEAYm-_", "AGEAYmM=\r", "===="]
        {
            assert_eq!(run("PLAIN", Some(bad), &[]), "Encoding", "{bad:?}");
        }
        assert_eq!(run("PLAIN", Some("*"), &[]), "Cancelled");
    }

    #[test]
    fn response_limit() {
        let of_length = |n: usize| {
            let limits = Limits { response_octets_max: n, ..LIMITS };
            Mechanism::Plain.begin(Some(b"AGEAYmM="), &limits)
        };
        assert_eq!(of_length(7), Err(SaslError::TooLong));
        assert!(of_length(8).is_ok());
        assert!(of_length(9).is_ok());
    }

    #[test]
    fn unknown_mechanisms() {
        for name in ["", "PLAI", "PLAINX", "CRAM-MD5", "PLAIN ", "*"] {
            assert_eq!(Mechanism::parse(name.as_bytes()), None, "{name:?}");
        }
    }

    #[test]
    fn the_client_side_agrees() {
        let password = envelope::Secret::new("p ä".to_owned());
        let response = crate::client::plain("a@b.test", &password);
        assert_eq!(run("PLAIN", Some(response.expose()), &[]), "a@b.test:p ä:");
    }
}
