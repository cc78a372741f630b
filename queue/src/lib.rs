//! The durable queue between gateways and delivery workers.
//!
//! A message enters once ([`Queue::publish`] returns when it is durable: only then may a gateway say
//! 250), is leased by one worker at a time ([`Queue::lease`]) and leaves when the worker says what
//! became of it ([`Lease::ack`], [`Lease::retry`], [`Lease::dead`]). A lease that is dropped goes back.
//!
//! What it is not: it knows no SMTP and no Maildir, and looks into no body.

mod body;
mod config;
pub mod embedded;
mod error;
mod files;
pub mod memory;
mod message;
mod metrics;
mod schedule;
#[cfg(test)]
mod suite;

use async_trait::async_trait;

pub use body::{Body, BodyWriter, SpooledBody};
pub use config::Config;
pub use error::{PublishError, QueueError};
pub use message::{Lane, LaneStats, Lease, ListFilter, Listed, QueuedState, Settle, Settlement};

use envelope::{Envelope, MessageId};

/// One queue, shared by every publisher and worker of a process.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Where a gateway puts the octets of a message as they arrive, before it publishes them.
    fn body_writer(&self) -> BodyWriter;

    /// Stores the message durably, or fails and stores nothing that a worker will see.
    /// The same `envelope.id` twice is one message.
    async fn publish(&self, lane: Lane, envelope: Envelope, body: Body) -> Result<(), PublishError>;

    /// Waits for a message of `lane` that is due, and takes it. Cancel-safe: a dropped wait takes nothing.
    async fn lease(&self, lane: Lane) -> Result<Lease, QueueError>;

    /// Counts and oldest age of every lane.
    async fn stats(&self) -> Result<Vec<LaneStats>, QueueError>;

    /// At most `limit` messages that fit the filter, oldest first.
    async fn list(&self, filter: &ListFilter, limit: usize) -> Result<Vec<Listed>, QueueError>;

    /// What is known of one message; `None` when it is not queued.
    async fn find(&self, id: MessageId) -> Result<Option<Listed>, QueueError>;

    /// Stops taking publishes, answers those that wait, and syncs what is owed.
    async fn close(&self);
}
