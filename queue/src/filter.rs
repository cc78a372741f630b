//! Which queued messages an operator means.

use std::time::Duration;

use envelope::{MessageId, Recipient, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Lane, Listed, QueuedState};

/// Which messages to list or to give an order about. Every part that is set must fit. Texts are compared without regard to case and may
/// stand anywhere in what they are looked for in; write them in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListFilter {
    /// Only these messages; empty: all.
    pub ids: Vec<MessageId>,
    /// Only this lane.
    pub lane: Option<Lane>,
    /// Only messages that stand so.
    pub state: Option<QueuedState>,
    /// Only messages with a recipient whose address contains this text.
    pub recipient: Option<String>,
    /// Only messages with a recipient in exactly this domain.
    pub domain: Option<String>,
    /// Only messages whose sender contains this text.
    pub sender: Option<String>,
    /// Only messages whose last error contains this text.
    pub error: Option<String>,
    /// Only messages of which filters said something that contains this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only messages that were accepted at least this long ago.
    pub older_than: Option<Duration>,
    /// Only messages that were accepted at most this long ago.
    pub younger_than: Option<Duration>,
}

impl ListFilter {
    /// Whether a message is wanted.
    pub fn fits(&self, message: &Listed, now: Timestamp) -> bool {
        let age = now.since(message.envelope.received_at);
        (self.ids.is_empty() || self.ids.contains(&message.envelope.id))
            && self.lane.is_none_or(|lane| lane == message.lane)
            && self.state.is_none_or(|state| state == message.state)
            && self.older_than.is_none_or(|least| age >= least)
            && self.younger_than.is_none_or(|most| age <= most)
            && contains(self.error.as_deref(), || message.last_error.clone())
            && contains(self.reason.as_deref(), || reasons(message))
            && contains(self.sender.as_deref(), || message.envelope.reverse_path.to_string())
            && message.envelope.recipients.iter().any(|recipient| self.means(recipient))
    }

    /// Whether this recipient is one of those that the filter is about; everybody is when it names none.
    pub fn means(&self, recipient: &Recipient) -> bool {
        contains(self.recipient.as_deref(), || recipient.address.to_string())
            && self
                .domain
                .as_deref()
                .is_none_or(|domain| recipient.address.domain().to_string().eq_ignore_ascii_case(domain))
    }
}

fn reasons(message: &Listed) -> String {
    message.envelope.filtered.as_ref().map(|filtered| filtered.reasons.join("\n")).unwrap_or_default()
}

fn contains(part: Option<&str>, text: impl FnOnce() -> String) -> bool {
    part.is_none_or(|part| text().to_lowercase().contains(part))
}
