//! What became of a recipient.

use std::borrow::Cow;
use std::time::Duration;

use envelope::{EnhancedCode, Recipient};

/// Why a recipient can never be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For the report (RFC 3463).
    pub(crate) code: EnhancedCode,
    /// One sentence for the sender.
    pub(crate) reason: Cow<'static, str>,
    /// What another mail system said, when it was the one that refused.
    pub(crate) remote: Option<RemoteReply>,
}

/// What another mail system said. Its words are not ours: reports take only what is printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteReply {
    /// The name of the server.
    pub(crate) mta: String,
    /// Its reply with the code, in one line.
    pub(crate) text: String,
}

impl Failure {
    /// The alias leads back to itself, or the message was here before.
    pub(crate) const LOOP: Self =
        Self::here(EnhancedCode::new(5, 4, 6), "The mail for this address goes in a circle.");
    /// Aliases lead too far.
    pub(crate) const EXPANSION: Self =
        Self::here(EnhancedCode::new(5, 2, 4), "This address leads to too many others, or to nobody.");
    /// An address of another mail system, to which nobody here has mail go.
    pub(crate) const NO_ROUTE: Self = Self::here(
        EnhancedCode::new(5, 4, 4),
        "The domain of this address is not served here, and mail to it is not passed on.",
    );
    /// Retried for as long as is allowed.
    pub(crate) const TOO_OLD: Self = Self::here(
        EnhancedCode::new(4, 4, 7),
        "The message could not be delivered for too long; no more tries will be made.",
    );
    /// Nobody has the address.
    pub(crate) const UNKNOWN: Self =
        Self::here(EnhancedCode::new(5, 1, 1), "There is no mailbox with this address.");
    /// The mailbox was full for as long as is allowed (RFC 3463 X.2.2).
    pub(crate) const FULL: Self = Self::here(EnhancedCode::new(5, 2, 2), "The mailbox is full.");
    /// The store says never.
    pub(crate) const MAILBOX: Self =
        Self::here(EnhancedCode::new(5, 2, 0), "The mailbox does not take this message.");

    pub(crate) const fn here(code: EnhancedCode, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason), remote: None }
    }
}

/// A recipient that can never be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) recipient: Recipient,
    pub(crate) failure: Failure,
}

/// A recipient that waits for another try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deferred {
    pub(crate) recipient: Recipient,
    /// The shortest wait that makes sense.
    pub(crate) after: Duration,
    /// For operators.
    pub(crate) reason: String,
    /// What another mail system said, when it was the one that put it off.
    pub(crate) said: Option<RemoteReply>,
}
