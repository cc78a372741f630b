//! How written mail leaves: the seam, and what can go wrong.

use async_trait::async_trait;
use bytes::Bytes;
use envelope::Address;

/// One message to send.
pub(super) struct Submission {
    /// The name the person logs in with.
    pub(super) login: String,
    /// The person's password.
    pub(super) password: envelope::Secret<String>,
    /// The reverse path.
    pub(super) sender: Address,
    /// Everybody who gets it, Bcc too.
    pub(super) recipients: Vec<Address>,
    /// The message, CRLF line ends, without Bcc.
    pub(super) content: Bytes,
}

/// Why a message was not sent. A submission has one answer: all recipients or none.
#[derive(Debug, thiserror::Error)]
pub(super) enum SubmitError {
    /// The gateway wants no such login any more: the password changed.
    #[error("the password is no longer accepted")]
    Login,
    /// The gateway refuses it for good, and says why.
    #[error("the server refused the message: {0}")]
    Refused(String),
    /// A recipient is refused for good.
    #[error("{recipient}: {reason}")]
    Recipient {
        /// Who.
        recipient: String,
        /// What the gateway says.
        reason: String,
    },
    /// The gateway can't now.
    #[error("the server can't take the message now: {0}")]
    Later(String),
    /// The connection broke after the message went out and before the answer came.
    #[error(
        "the server did not confirm it. It may have been sent all the same: look for an answer before sending again"
    )]
    Unconfirmed,
    /// The connection can't be made, or broke before the answer.
    #[error("the mail server can't be reached")]
    Unreachable(#[source] std::io::Error),
}

impl SubmitError {
    /// For the figures.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Refused(_) | Self::Recipient { .. } => "refused",
            Self::Later(_) => "later",
            Self::Unconfirmed => "unconfirmed",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

/// Hands messages to the gateway's submission listener.
#[async_trait]
pub(super) trait Submit: Send + Sync + 'static {
    /// Gives the gateway's answer line when the message is durable there.
    async fn submit(&self, submission: Submission) -> Result<String, SubmitError>;
}

/// A node without a way out.
pub(super) struct NoSubmit;

#[async_trait]
impl Submit for NoSubmit {
    async fn submit(&self, _: Submission) -> Result<String, SubmitError> {
        Err(SubmitError::Later("this server is not set up for sending".to_owned()))
    }
}
