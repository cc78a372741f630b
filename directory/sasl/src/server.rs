//! The server's side of the exchanges.

mod bearer;
mod gs2;
mod login;
mod plain;
mod scram;

use std::borrow::Cow;
use std::fmt;

pub use bearer::{Bearer, BearerHint, BearerToken};
pub use login::Login;
pub use plain::Plain;
pub use scram::{NONCE_OCTETS, Scram, ScramFinal, ScramProof, ScramStart, ServerNonce};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use crate::mechanism::Mechanism;
use crate::{Credentials, Limits, SaslError};

/// What a mechanism must know of the connection below it. Without TLS: the default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Channel {
    /// RFC 9266: keying material that both ends of this one connection have, and nobody else.
    pub tls_exporter: Option<Vec<u8>>,
    /// RFC 5929 §4: the hash of the certificate that was shown to the client.
    pub tls_server_end_point: Option<Vec<u8>>,
    /// Whether SCRAM-SHA-256-PLUS was announced here: a client that could use it and believes it was not is being deceived.
    pub plus_offered: bool,
}

impl Channel {
    /// Whether SCRAM-SHA-256-PLUS may be announced: where there is `tls-exporter`, which every client of TLS 1.3 can use (RFC 9266 §3).
    /// `tls-server-end-point` is taken besides, and not enough: a client over TLS 1.2 would use `tls-unique`, which is not there, and
    /// fail.
    pub const fn is_bindable(&self) -> bool {
        self.tls_exporter.is_some()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("plus_offered", &self.plus_offered).finish_non_exhaustive()
    }
}

impl Mechanism {
    /// Begins an exchange. `initial` is the initial response as it was on the command's line: base64, or `=` for
    /// an empty one (RFC 4954 §4).
    pub fn begin(
        self,
        initial: Option<&[u8]>,
        limits: &Limits,
        channel: &Channel,
    ) -> Result<Step, SaslError> {
        let exchange = match self {
            Self::Plain => Exchange::Plain(Plain),
            Self::Login => Exchange::Login(Login::User),
            Self::ScramSha256 => Exchange::Scram(Scram::new(channel, false)),
            Self::ScramSha256Plus => Exchange::Scram(Scram::new(channel, true)),
            Self::OAuthBearer => Exchange::Bearer(Bearer::Standard),
            Self::XOAuth2 => Exchange::Bearer(Bearer::Google),
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
    /// SCRAM: the client's first message comes.
    Scram(Scram),
    /// SCRAM: the client's proof comes.
    ScramFinal(Box<ScramFinal>),
    /// SCRAM: the client has our proof, and says nothing.
    ScramEnd,
    /// OAUTHBEARER and XOAUTH2: the token comes.
    Bearer(Bearer),
    /// The token was refused, and the client takes note.
    BearerRefused,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this base64 text (may be empty) as a challenge and give the next line to [`Exchange::respond`].
    Challenge(Exchange, Cow<'static, str>),
    /// The client has said all: ask the directory.
    Finished(Credentials),
    /// Ask the directory for the secret, and go on with [`ScramStart::challenge`].
    Secret(ScramStart),
    /// Have the directory judge it: right goes on with [`ScramProof::accepted`].
    Proof(ScramProof),
    /// The client knows that we are the server: whom the directory accepted is in.
    Proven,
    /// Have the directory judge it: wrong goes on with [`BearerToken::refused`].
    Token(BearerToken),
    /// What the directory refused has been told.
    Refused,
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
            Self::Scram(scram) => scram.take(response, limits),
            Self::ScramFinal(scram) => scram.take(response),
            Self::ScramEnd if response.is_empty() => Ok(Step::Proven),
            Self::ScramEnd => Err(SaslError::Malformed("nothing was to be said any more")),
            Self::Bearer(bearer) => bearer.take(response, limits),
            Self::BearerRefused => Ok(Step::Refused),
        }
    }

    fn ask(self) -> Step {
        let challenge = match &self {
            Self::Login(login) => login.challenge(),
            _ => "",
        };
        Step::Challenge(self, Cow::Borrowed(challenge))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { response_octets_max: 128, login_octets_max: 64, password_octets_max: 64 };

    /// Runs a whole exchange; the answer is `login:password:authorization`, or the error, behind the challenges.
    fn run(mechanism: &str, initial: Option<&str>, lines: &[&str]) -> String {
        let mechanism = Mechanism::parse(mechanism.as_bytes()).unwrap();
        let mut step = mechanism.begin(initial.map(str::as_bytes), &LIMITS, &Channel::default());
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
                Ok(other) => return format!("{said}{other:?}"),
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
            Mechanism::Plain.begin(Some(b"AGEAYmM="), &limits, &Channel::default())
        };
        assert_eq!(of_length(7), Err(SaslError::TooLong));
        assert!(of_length(8).is_ok());
        assert!(of_length(9).is_ok());
    }

    #[test]
    fn the_client_side_agrees() {
        let password = envelope::Secret::new("p ä".to_owned());
        let response = crate::client::plain("a@b.test", &password);
        assert_eq!(run("PLAIN", Some(response.expose()), &[]), "a@b.test:p ä:");
    }
}
