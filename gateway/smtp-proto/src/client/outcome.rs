//! What became of a message that was offered to a server.

use std::time::Duration;

use envelope::{Address, Disposition};

use super::State;
use crate::Reply;

/// How long to wait before a deferred message is offered again, at the least.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// All that is known at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The server's 250 to the message: it has taken charge of it, for every recipient with a positive reply.
    pub accepted: Option<Reply>,
    /// The answer to each recipient that was asked for, in order.
    pub recipients: Vec<(Address, Reply)>,
    /// Why the message as a whole was not accepted.
    pub failure: Option<Failure>,
}

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

impl Step {
    pub(super) const fn of(state: State) -> Self {
        match state {
            State::Greeting | State::Ehlo | State::Helo => Self::Greeting,
            State::StartTls | State::Handshake => Self::StartTls,
            State::Auth => Self::Auth,
            State::Mail => Self::Mail,
            State::Rcpt(_) => Self::Rcpt,
            State::Data => Self::Data,
            State::Message | State::Quit | State::Done => Self::Message,
        }
    }
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
    /// No recipient was accepted: see each one's reply.
    #[error("no recipient was accepted")]
    NoRecipients,
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

impl Failure {
    /// Whether a later try may succeed. What is not understood is tried again.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::NoRequireTls | Self::NoUtf8 | Self::TooBig => Disposition::Reject,
            // A refused login, greeting or handshake says nothing about the message.
            Self::Refused { step: Step::Mail | Step::Data | Step::Message, reply }
                if reply.is_permanent() =>
            {
                Disposition::Reject
            }
            _ => Disposition::Defer { after: RETRY_AFTER },
        }
    }
}
