//! The durable queue between gateways and delivery workers.
//!
//! A message enters once ([`Queue::publish`] returns when it is durable: only then may a gateway say
//! 250), is leased by one worker at a time ([`Queue::lease`]) and leaves when the worker says what
//! became of it ([`Lease::ack`], [`Lease::retry`], [`Lease::dead`]). A lease that is dropped goes back.
//!
//! Three backends pass one suite of tests: [`embedded`] needs nothing else and is for one machine, [`rabbitmq`] is for many, [`memory`] is for
//! tests.
//!
//! What it is not: it knows no SMTP and no Maildir, looks into no body, and decides no retry: the worker
//! says how long a message waits.
//!
//! # States
//!
//! ```text
//!  publish ──→ ready ──lease──→ leased ──ack──→ gone
//!                ↑ due            │ │ └──dead──→ ready in the lane `dead`, for an operator
//!             deferred ←──retry───┘ └──drop, crash──→ ready, at its old turn
//!
//!  by an operator ([`Queue::order`]), to what no worker has:
//!  ready, deferred ──hold──→ held ──release──→ ready      deferred ──retry──→ ready
//!  ready, deferred, held ──reroute──→ ready in another lane, or held in it      any ──delete──→ gone
//! ```
//! Senders take turns, so that one who sends much does not hold up the others; bulk mail stands back while other mail waits. One
//! sender's messages are leased in the order in which they became due. The same id published again is the
//! same message for as long as the queue remembers it: until all its copies have gone from the disk.
//!
//! # Failure behaviour
//!
//! - A publish that returned `Ok` survives everything but the loss of the disk. One that returned an error
//!   is not leased; only a crash before the next segment of the log is begun can bring it back, as can a
//!   crash before any answer: whoever sends it again makes another message of it.
//! - A decision that returned `Ok` holds. One that returned an error may hold after a restart; until then
//!   the message goes back.
//! - A failed write or sync is never tried again on the same file.
//! - What cannot be read is counted (`sluice_queue_damaged_total`, `sluice_queue_unreadable_total`), logged,
//!   and costs the message it belongs to, not those behind it. A message whose copy goes bad while it
//!   waits becomes a dead letter.
//! - Full is said, not suffered: [`PublishError::Full`] when the disk or the directory is at its bound;
//!   publishers beyond `publishers_max` wait; messages that wait keep no body in memory beyond
//!   `tail_cache_max`.

mod bells;
mod body;
mod config;
pub mod embedded;
mod error;
mod files;
mod filter;
mod flow;
pub mod memory;
mod message;
mod metrics;
mod order;
pub mod rabbitmq;
mod schedule;
pub mod spill;
#[cfg(test)]
mod suite;

use async_trait::async_trait;
use bytes::Bytes;

pub use body::{Body, BodyWriter, SpooledBody};
pub use config::{Backend, Config, RabbitConfig};
pub use error::{PublishError, QueueError};
pub use filter::ListFilter;
pub use message::{Lane, LaneStats, Lease, Listed, QueuedState, Settle, Settlement};
pub use order::{ORDERED_NAMED_MAX, Order, Ordered};

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

    /// The octets of one message; `None` when it is not queued.
    async fn content(&self, id: MessageId) -> Result<Option<Bytes>, QueueError>;

    /// Carries out an order about every message that fits the filter and that no worker has; durable when it returns. Each change is
    /// a line of the trail.
    async fn order(&self, filter: &ListFilter, order: Order) -> Result<Ordered, QueueError>;

    /// Whether several publishers of this process wait at once, now or a moment ago: a worker beside them can leave them the processors.
    /// False where gateways are other processes.
    fn is_crowded(&self) -> bool {
        false
    }

    /// Stops taking publishes, answers those that wait, and syncs what is owed.
    async fn close(&self);
}
