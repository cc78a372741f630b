//! What a sender asked to be told of (RFC 3461): it travels with the message and its recipients.

use serde::{Deserialize, Serialize};

/// How much of the message a report of failure returns (RET, RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Return {
    /// All.
    Full,
    /// The header.
    Headers,
}

/// When the sender wants to hear of a recipient (NOTIFY, RFC 3461 §4.1). All false is NEVER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Notify {
    /// When it was delivered.
    pub success: bool,
    /// When it could not be.
    pub failure: bool,
    /// When it takes long.
    pub delay: bool,
}

/// The address that the first sender wrote (ORCPT, RFC 3461 §4.2), decoded: no control characters, perhaps characters beyond ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalRecipient {
    /// The type of address, an atom in lower case: mostly `rfc822`.
    pub kind: String,
    /// The address.
    pub address: String,
}
