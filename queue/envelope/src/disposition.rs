//! What an error means for the message it hit.

use std::time::Duration;

/// What to do with a message or recipient after a failure. An error whose meaning is unknown is a
/// [`Disposition::Defer`]: mail is never refused because we do not understand what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try again, not before `after` has passed.
    Defer {
        /// The shortest wait that makes sense; the retry ladder may wait longer.
        after: Duration,
    },
    /// No later try can succeed: refuse (SMTP 5xx) or bounce.
    Reject,
}

impl Disposition {
    /// Whether a later try may succeed.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Defer { .. })
    }
}
