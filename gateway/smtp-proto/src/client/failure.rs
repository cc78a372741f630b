//! Why a server does not take a message, or talks no more.

use crate::Reply;

/// Where in the session the server said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Logging in.
    Auth,
    /// DATA.
    Data,
    /// The greeting or EHLO.
    Greeting,
    /// MAIL.
    Mail,
    /// The message itself.
    Message,
    /// RCPT.
    Rcpt,
    /// STARTTLS.
    StartTls,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server offers no STARTTLS and it is required.
    #[error("the server offers no encryption")]
    NoEncryption,
    /// The server offers no AUTH PLAIN.
    #[error("the server offers no login")]
    NoLogin,
    /// The message may only go on over TLS, and the server does not promise that (RFC 8689).
    #[error("the server does not promise to send on over TLS only")]
    NoRequireTls,
    /// The server does not take SMTPUTF8.
    #[error("the server takes no internationalised mail")]
    NoUtf8,
    /// The caller broke the order of things.
    #[error("the session is out of step")]
    OutOfStep,
    /// The server said no.
    #[error("the server refused: {reply}")]
    Refused {
        /// Where.
        step: Step,
        /// Its words.
        reply: Reply,
    },
    /// The message is larger than the server takes.
    #[error("the message is larger than the server takes")]
    TooBig,
}
