//! Lanes, leases and what is told about queued messages.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use envelope::{Envelope, Recipient, Timestamp};

use crate::QueueError;

/// Messages of different lanes do not wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// Could not be delivered or bounced; waits for an operator.
    Dead,
    /// For mailboxes here.
    Local,
    /// Held by policy; waits for an operator.
    Quarantine,
    /// For other mail systems.
    Remote,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 4] = [Self::Local, Self::Remote, Self::Quarantine, Self::Dead];
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dead => "dead",
            Self::Local => "local",
            Self::Quarantine => "quarantine",
            Self::Remote => "remote",
        })
    }
}

/// Counts of one lane.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LaneStats {
    /// Which lane.
    pub lane: Lane,
    /// Due now and not leased.
    pub ready: u64,
    /// With a worker.
    pub leased: u64,
    /// Waiting for their next try.
    pub deferred: u64,
    /// Kept back by an operator.
    pub held: u64,
    /// In which second the oldest message of the lane was accepted.
    pub oldest: Option<Timestamp>,
}

/// Where a queued message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueuedState {
    /// Waits for its next try.
    Deferred,
    /// Kept back by an operator.
    Held,
    /// With a worker.
    Leased,
    /// Due.
    Ready,
}

/// What is told about one queued message.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    /// Sender, recipients still to serve, origin.
    pub envelope: Envelope,
    /// Which lane.
    pub lane: Lane,
    /// Where it stands.
    pub state: QueuedState,
    /// Tries so far.
    pub attempts: u32,
    /// When it is due.
    pub next_attempt: Timestamp,
    /// Why the last try failed; empty before the first failure.
    pub last_error: String,
}

/// What a worker decided about a leased message.
#[derive(Debug)]
pub enum Settlement {
    /// Every recipient has its outcome.
    Ack,
    /// An operator must look; moves to [`Lane::Dead`].
    Dead {
        /// Why.
        reason: String,
    },
    /// These recipients wait for another try; the others have their outcome.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Who waits; never empty.
        recipients: Vec<Recipient>,
        /// Why, for operators.
        reason: String,
    },
}

/// The backend's side of a lease.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Makes the decision durable.
    async fn settle(self: Box<Self>, settlement: Settlement) -> Result<(), QueueError>;
}

/// One message, held by one worker. Dropping it without a decision gives it back at once.
pub struct Lease {
    /// Sender, recipients still to serve, origin.
    pub envelope: Envelope,
    /// The message's octets.
    pub body: bytes::Bytes,
    /// Tries before this one.
    pub attempts: u32,
    settle: Box<dyn Settle>,
}

impl Lease {
    /// Joins what was read with the backend's way to settle it.
    pub fn new(envelope: Envelope, body: bytes::Bytes, attempts: u32, settle: Box<dyn Settle>) -> Self {
        Self { envelope, body, attempts, settle }
    }

    /// Every recipient has its outcome: the message leaves the queue.
    pub async fn ack(self) -> Result<(), QueueError> {
        self.settle.settle(Settlement::Ack).await
    }

    /// `recipients` (never empty) wait for another try after `after`; the others have their outcome.
    pub async fn retry(
        self,
        after: Duration,
        recipients: Vec<Recipient>,
        reason: String,
    ) -> Result<(), QueueError> {
        self.settle.settle(Settlement::Retry { after, recipients, reason }).await
    }

    /// Nothing more can be done without an operator.
    pub async fn dead(self, reason: String) -> Result<(), QueueError> {
        self.settle.settle(Settlement::Dead { reason }).await
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("envelope", &self.envelope)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
