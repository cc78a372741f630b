//! What nodes tell each other: that a mailbox has changed, and how often something has happened.
//!
//! ```text
//!  a node's store ──changed──→ signal ──→ memory | Redis ──→ subscribe ──→ the other nodes' stores look now, not at their next poll
//! ```
//! Two backends pass one suite: [`memory`] is for one process, [`redis`] for many.
//!
//! What it is not: no truth is here. A signal says "look", a counter is for limits. All of it may be lost at any time.
//!
//! # Failure behaviour
//! - [`SharedState::signal`] never waits and never fails. Signals about one mailbox that wait together are one; beyond `signals_max` they are dropped and
//!   counted, and this process's own subscribers hear of a gap when the connection is lost.
//! - A subscriber hears [`Event::Attached`] when every signal from then on will come, and [`Event::Gap`] when some may have been lost. Between a gap and the next
//!   `Attached` it must look for itself.
//! - Every other question is answered within `call_max` (a list within `list_max` and one `call_max` more) or with [`Unavailable`]; whoever asks decides what that means.
//!   [`Guarded`] spares many askers that wait, [`Fallback`] counts in this process meanwhile.
//! - The memory forgets what counted least, or ends soonest, when it is full.
//!
//! # Security
//! The attacker is somebody who reaches Redis, or a person with a hostile account or mailbox name. Texts from Redis are parsed with limits; a forged signal costs one look at
//! a mailbox that is open. Names of counters and values are made of bounded, plain parts; values are bounded, also when they are read.

mod change;
mod config;
mod counter;
mod guard;
pub mod memory;
mod metrics;
pub mod redis;
mod subscriber;
#[cfg(test)]
mod suite;
mod value;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

pub use change::Change;
pub use config::{Backend, Config, RedisConfig};
pub use counter::{CounterKey, CounterKeyError, KeyPrefix};
pub use guard::{Fallback, Guarded};
pub use value::{Counted, Entry, Held, Kept, Listing, Value, ValueError};

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// From here on every signal of another node comes.
    Attached,
    /// A mailbox was changed by another node.
    Changed(Change),
    /// Signals may have been lost.
    Gap,
}

/// The shared state does not answer now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shared state does not answer: {0}")]
pub struct Unavailable(pub String);

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address, user or password is not usable.
    #[error("the configuration of Redis is not usable: {0}")]
    Config(String),
    /// A metric has its name already.
    #[error("failed to register metrics of the shared state")]
    Metrics(#[source] prometheus::Error),
}

/// One shared state, as one process uses it.
#[async_trait]
pub trait SharedState: Send + Sync + std::fmt::Debug + 'static {
    /// Tells other nodes that a mailbox has changed. Never waits.
    fn signal(&self, change: Change);

    /// Everything that other nodes signal from now on. A subscriber that is `signals_max` behind hears of a gap instead.
    fn subscribe(&self) -> mpsc::Receiver<Event>;

    /// Adds to a counter that begins anew every `window` after its first count; returns the sum. For every node the same counter.
    async fn count(&self, key: &CounterKey, window: Duration, amount: u64) -> Result<u64, Unavailable>;

    /// Where a counter stands; none when nothing was counted in its window.
    async fn counted(&self, key: &CounterKey) -> Result<Option<Counted>, Unavailable>;

    /// Keeps a value for a time, in place of another of this name. Values and counters of one name know nothing of each other.
    async fn keep(&self, key: &CounterKey, value: &Value, age: Duration) -> Result<(), Unavailable>;

    /// The value of this name.
    async fn kept(&self, key: &CounterKey) -> Result<Option<Kept>, Unavailable>;

    /// Forgets the counter and the value of this name; whether there was one.
    async fn forget(&self, key: &CounterKey) -> Result<bool, Unavailable>;

    /// Counters and values whose names begin so, at most `limit`, by name. For people and for upkeep: it may look at everything there is.
    async fn list(&self, prefix: &KeyPrefix, limit: usize) -> Result<Listing, Unavailable>;

    /// Sends what waits, at most as long as `close_max`, and ends.
    async fn close(&self);
}
