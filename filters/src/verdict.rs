//! What checks say about a message.

use bytes::Bytes;
use envelope::{Address, ReversePath};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a check that can't be made means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The sender is told to come back: nothing passes unseen.
    #[default]
    Tempfail,
    /// The mail passes as if the check had nothing against it.
    Accept,
}

/// What a peer is told: an SMTP reply (RFC 5321 §4.2, RFC 3463).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 4xx or 5xx.
    pub code: u16,
    /// Class, subject and detail; the class is the code's first digit.
    pub enhanced: (u8, u16, u16),
    /// One line of printable text.
    pub text: String,
}

impl Refusal {
    /// For good: 550 with `enhanced`.
    pub fn permanent(enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self { code: 550, enhanced, text: text.into() }
    }

    /// For now: 451 with `enhanced`.
    pub fn temporary(enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self { code: 451, enhanced, text: text.into() }
    }

    /// Whether trying again makes sense.
    pub const fn is_temporary(&self) -> bool {
        self.code < 500
    }
}

/// What is to become of a command or a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Action {
    /// It goes on its way.
    #[default]
    Accept,
    /// It is kept back for an operator; the sender hears that it was accepted.
    Quarantine,
    /// It is accepted and goes nowhere.
    Discard,
    /// The sender is refused, for now or for good.
    Refuse(Refusal),
}

/// A change that a check wants, in the order in which it is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A field behind the last one.
    AddField {
        /// Field name.
        name: String,
        /// Value, folded with CRLF and white space where it is long.
        value: String,
    },
    /// A field before the `index`-th (0: before all others).
    InsertField {
        /// Counted from 0, our own trace field not counted.
        index: usize,
        /// Field name.
        name: String,
        /// Value.
        value: String,
    },
    /// The `index`-th field of the name gets another value, or goes away.
    ChangeField {
        /// Field name, in any case.
        name: String,
        /// Counted from 1 among the fields of this name.
        index: usize,
        /// The new value; `None` removes the field.
        value: Option<String>,
    },
    /// Every field of the name that there is by then goes away.
    RemoveFields {
        /// Field name, in any case.
        name: String,
    },
    /// Another text behind the header section, CRLF line ends.
    ReplaceBody(Bytes),
    /// Another sender.
    ChangeSender(ReversePath),
    /// One more recipient.
    AddRecipient(Address),
    /// A recipient less.
    RemoveRecipient(Address),
}

/// What the checks of one message came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of it.
    pub action: Action,
    /// What is changed in it, when it is not refused.
    pub changes: Vec<Change>,
    /// Who said so: names of rules, milters and checks, for the log and the quarantine.
    pub reasons: Vec<String>,
}
