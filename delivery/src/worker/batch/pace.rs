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
    others_need_it: Box<dyn Fn() -> bool + Send + Sync>,
    share: u8,
    wait_max: Duration,
    rest_until: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(config: &Config, queue: Arc<dyn Queue>) -> Self {
        let processors = Processors::default();
        let others_need_it = move || queue.is_crowded() && is_scarce(processors.spare());
        Self::with(config, Box::new(others_need_it))
    }

    fn with(config: &Config, others_need_it: Box<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self {
            others_need_it,
            share: config.crowd_share,
            // Who waits for a place must not give up because of rests.
            wait_max: config.crowd_wait_max.as_duration().min(config.batch_wait_max.as_duration() / 2),
            rest_until: Mutex::default(),
        }
    }

    /// Returns when a batch may begin, or when there is nothing for one; `oldest` says when the message that has waited longest was accepted.
    pub(super) async fn turn(&self, oldest: impl Fn() -> Option<Timestamp>) {
        loop {
            let left = self.left();
            if left.is_zero() || !(self.others_need_it)() || oldest().is_none_or(|at| self.is_late(at)) {
                return;
            }
            sleep(left.min(LOOK)).await;
        }
    }

    /// To be called when a batch is done: what it took.
    pub(super) fn rest(&self, spent: Duration) {
        let rest = spent * u32::from(100 - self.share.min(100)) / u32::from(self.share.max(1));
        // Longer than messages wait, nobody rests; and of a disk that hung, others have nothing.
        let until = Instant::now() + rest.min(self.wait_max);
        let mut rest_until = self.rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        *rest_until = (*rest_until).max(Some(until));
    }

    fn left(&self) -> Duration {
        let until = *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn is_late(&self, accepted: Timestamp) -> bool {
        Timestamp::from(SystemTime::now()).since(accepted) >= self.wait_max
    }
}

/// Whether so much spare time of the processors is none. A burst has begun before it is known how much there is, and that is no time to begin a large batch.
fn is_scarce(spare: Option<f64>) -> bool {
    spare.is_none_or(|spare| spare < SPARE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const BATCH: Duration = Duration::from_millis(100);

    /// A rhythm whose rests last nine times a batch, and what says that others need the processors.
    fn pace() -> (Pace, Arc<AtomicBool>) {
        let config = Config { crowd_share: 10, ..Config::default() };
        let crowded = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&crowded);
        (Pace::with(&config, Box::new(move || asked.load(Ordering::Relaxed))), crowded)
    }

    fn now() -> Option<Timestamp> {
        Some(Timestamp::from(SystemTime::now()))
    }

    /// How long a worker waits for its turn.
    async fn waited(pace: &Pace, oldest: impl Fn() -> Option<Timestamp>) -> Duration {
        let from = Instant::now();
        pace.turn(oldest).await;
        from.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn rests_after_a_batch_while_others_need_the_processors() {
        let (pace, crowded) = pace();
        assert_eq!(waited(&pace, now).await, Duration::ZERO, "nothing to rest from");
        pace.rest(BATCH);
        let rested = waited(&pace, now).await;
        assert!(
            rested >= 9 * BATCH && rested <= 9 * BATCH + LOOK,
            "a tenth of the time is its own: {rested:?}"
        );
        assert_eq!(waited(&pace, now).await, Duration::ZERO, "one rest for one batch");

        pace.rest(BATCH);
        crowded.store(false, Ordering::Relaxed);
        assert_eq!(waited(&pace, now).await, Duration::ZERO, "nobody needs it");
    }

    #[test]
    fn what_is_not_known_yet_counts_as_scarce() {
        assert_eq!([None, Some(0.0), Some(SPARE), Some(1.0)].map(is_scarce), [true, true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_ends_when_the_crowd_does() {
        let (pace, crowded) = pace();
        pace.rest(BATCH);
        let (waited, ()) = tokio::join!(waited(&pace, now), async {
            sleep(2 * BATCH).await;
            crowded.store(false, Ordering::Relaxed);
        });
        assert!(waited >= 2 * BATCH && waited <= 2 * BATCH + LOOK, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_waited_for_long_end_a_rest() {
        let (pace, _crowded) = pace();
        pace.rest(BATCH);
        let long_ago = || Some(Timestamp::from(SystemTime::now() - pace.wait_max));
        assert_eq!(waited(&pace, long_ago).await, Duration::ZERO);
        assert_eq!(waited(&pace, || None).await, Duration::ZERO, "nothing to rest for");
        assert!(waited(&pace, now).await >= 8 * BATCH, "the rest is still there for others");
        pace.rest(Duration::from_secs(60));
        assert!(waited(&pace, now).await <= pace.wait_max + LOOK, "a disk that hung for a minute");
    }
}
