//! What became of a recipient.

use std::time::Duration;

use envelope::{EnhancedCode, Recipient};

/// Why a recipient can never be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For the report (RFC 3463).
    pub(crate) code: EnhancedCode,
    /// One sentence for the sender, ASCII.
    pub(crate) reason: &'static str,
}

impl Failure {
    /// The alias leads back to itself, or the message was here before.
    pub(crate) const LOOP: Self =
        Self { code: EnhancedCode::new(5, 4, 6), reason: "The mail for this address goes in a circle." };
    /// Aliases lead too far.
    pub(crate) const EXPANSION: Self = Self {
        code: EnhancedCode::new(5, 2, 4),
        reason: "This address leads to too many others, or to nobody.",
    };
    /// Another mail system's address.
    pub(crate) const NO_ROUTE: Self = Self {
        code: EnhancedCode::new(5, 4, 4),
        reason: "This address leads to another mail system, and mail is not forwarded from here.",
    };
    /// Retried for as long as is allowed.
    pub(crate) const TOO_OLD: Self = Self {
        code: EnhancedCode::new(4, 4, 7),
        reason: "The message could not be delivered for too long; no more tries will be made.",
    };
    /// Nobody has the address.
    pub(crate) const UNKNOWN: Self =
        Self { code: EnhancedCode::new(5, 1, 1), reason: "There is no mailbox with this address." };
    /// The mailbox was full for as long as is allowed (RFC 3463 X.2.2).
    pub(crate) const FULL: Self = Self { code: EnhancedCode::new(5, 2, 2), reason: "The mailbox is full." };
    /// The store says never.
    pub(crate) const MAILBOX: Self =
        Self { code: EnhancedCode::new(5, 2, 0), reason: "The mailbox does not take this message." };
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
}
