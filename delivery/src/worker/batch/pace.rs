//! When a batch may begin: whoever sends mail waits for a gateway, nobody waits for a worker.
//!
//! Where both share a process and its processors, a burst is accepted first: while publishers throng and the processors have nothing to
//! spare, a worker rests after each batch, in proportion to what it took, so that its part of the time stays small; it goes on as soon
//! as either ends, and for messages that have waited for long. A niceness alone does not do that: threads that wait for syncs and
//! sockets leave gaps in which a worker begins long calls of the file system.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use envelope::Timestamp;
use queue::Queue;
use runtime::Processors;
use tokio::time::{Instant, sleep};

use crate::config::Config;

/// Processors that are idle for less than this part of their time have nothing to spare.
const SPARE: f64 = 0.2;
/// How often a rest looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// The rhythm of all batches.
pub(super) struct Pace {
    queue: Arc<dyn Queue>,
    processors: Processors,
    share: u8,
    wait_max: Duration,
    rest_until: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(config: &Config, queue: Arc<dyn Queue>) -> Self {
        Self {
            queue,
            processors: Processors::default(),
            share: config.crowd_share,
            wait_max: config.crowd_wait_max.as_duration(),
            rest_until: Mutex::default(),
        }
    }

    /// Returns when a batch may begin; `oldest` says when the message that has waited longest was accepted.
    pub(super) async fn turn(&self, oldest: impl Fn() -> Option<Timestamp>) {
        loop {
            let left = self.left();
            if left.is_zero() || !self.others_need_it() || oldest().is_some_and(|at| self.is_late(at)) {
                return;
            }
            sleep(left.min(LOOK)).await;
        }
    }

    /// To be called when a batch is done: what it took.
    pub(super) fn rest(&self, spent: Duration) {
        let rest = spent * u32::from(100 - self.share.min(100)) / u32::from(self.share.max(1));
        let until = Instant::now() + rest;
        let mut rest_until = self.rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        *rest_until = (*rest_until).max(Some(until));
    }

    fn left(&self) -> Duration {
        let until = *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn others_need_it(&self) -> bool {
        self.queue.is_crowded() && self.processors.spare().is_some_and(|spare| spare < SPARE)
    }

    fn is_late(&self, accepted: Timestamp) -> bool {
        Timestamp::from(SystemTime::now()).since(accepted) >= self.wait_max
    }
}
