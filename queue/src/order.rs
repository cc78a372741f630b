//! What an operator, or the clock, wants done with messages that wait.

use envelope::{MessageId, Recipient, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::{Lane, ListFilter, Listed, QueuedState};

/// Ids that an answer names; the rest is counted.
pub const ORDERED_NAMED_MAX: usize = 1000;

/// An order about every message that fits a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Keep them back: no worker gets them until they are released.
    Hold,
    /// Let go what is held; it is due at once.
    Release,
    /// Try at once what waits for its next try.
    Retry,
    /// Move them to this lane, due at once.
    Reroute(Lane),
    /// Take them out. When the filter names recipients, only those: the others keep their message.
    Delete,
    /// The same, because their time is over: nobody gave the order. Of a queue in which messages stand by age, only as many are looked at as a
    /// listing shows, so that it can be given again and again.
    Expire,
}

/// What came of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Messages that were changed; durable.
    pub done: u64,
    /// Messages that fit but are with a worker now: give the order again.
    pub busy: u64,
    /// Messages that fit and could not be changed: what failed is in the log of the process that works the queue.
    pub failed: u64,
    /// The first of those that were changed, at most [`ORDERED_NAMED_MAX`].
    pub ids: Vec<MessageId>,
}

/// How a message stands after an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It leaves the queue.
    Gone,
    /// It stays.
    Stays(Standing),
}

/// Where a message that stays is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) lane: Lane,
    pub(crate) due: Timestamp,
    pub(crate) held: bool,
    pub(crate) recipients: Vec<Recipient>,
}

impl Order {
    /// What the order makes of a message that fits the filter; none when there is nothing to do.
    pub(crate) fn change(&self, filter: &ListFilter, message: &Listed, now: Timestamp) -> Option<Change> {
        let held = message.state == QueuedState::Held;
        let recipients = message.envelope.recipients.clone();
        let standing = Standing { lane: message.lane, due: message.next_attempt, held, recipients };
        let stays = |standing| Some(Change::Stays(standing));
        match self {
            Self::Hold if held => None,
            Self::Hold => stays(Standing { held: true, ..standing }),
            Self::Release if held => stays(Standing { held: false, due: now, ..standing }),
            Self::Release => None,
            Self::Retry if message.state == QueuedState::Deferred => stays(Standing { due: now, ..standing }),
            Self::Retry => None,
            Self::Reroute(lane) if *lane == message.lane => None,
            Self::Reroute(lane) => stays(Standing { lane: *lane, due: now, ..standing }),
            Self::Delete | Self::Expire => {
                let rest: Vec<Recipient> = standing
                    .recipients
                    .iter()
                    .filter(|recipient| !filter.means(recipient))
                    .cloned()
                    .collect();
                if rest.is_empty() {
                    Some(Change::Gone)
                } else {
                    stays(Standing { recipients: rest, ..standing })
                }
            }
        }
    }

    /// One line of the trail for each message, and for a deletion one for each recipient, whose outcome it is.
    pub(crate) fn tell(&self, filter: &ListFilter, message: &Listed) {
        let id = message.envelope.id;
        let lane = message.lane;
        match self {
            Self::Hold => {
                info!(target: "sluice::message", %id, event = "held", %lane, "kept back by an operator")
            }
            Self::Release => {
                info!(target: "sluice::message", %id, event = "released", %lane, "let go by an operator")
            }
            Self::Retry => {
                info!(target: "sluice::message", %id, event = "retried", %lane, "to be tried at once, by an operator")
            }
            Self::Reroute(to) => {
                info!(target: "sluice::message", %id, event = "rerouted", from = %lane, %to, "moved by an operator");
            }
            Self::Delete | Self::Expire => {
                let reason =
                    if *self == Self::Expire { "its time is over" } else { "deleted by an operator" };
                for recipient in
                    message.envelope.recipients.iter().filter(|recipient| filter.means(recipient))
                {
                    info!(
                        target: "sluice::message",
                        %id,
                        event = "discarded",
                        recipient = %recipient.address,
                        %lane,
                        reason,
                        "taken out of the queue"
                    );
                }
            }
        }
    }
}

impl Ordered {
    pub(crate) fn count(&mut self, id: MessageId) {
        self.done += 1;
        if self.ids.len() < ORDERED_NAMED_MAX {
            self.ids.push(id);
        }
    }
}
