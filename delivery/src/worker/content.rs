//! How much of the queue is in memory.
//!
//! A message's size is known when it is there. So only some slots may wait for one; each then waits until its message has room among those that are worked on, and
//! lets the next slot wait. What is in memory is bounded by `content_memory_max` and [`TURNS`] messages.

use queue::{Lane, Lease, Queue, QueueError};
use runtime::{HeldMemory, MemoryBudget};
use tokio::sync::Semaphore;

use crate::Config;
use crate::metrics::Metrics;

/// Slots that may wait for a message, or for room for one.
const TURNS: usize = 32;

pub(super) struct Content {
    turns: Semaphore,
    memory: MemoryBudget,
    octets_max: u64,
}

impl Content {
    pub(super) fn new(config: &Config, metrics: &Metrics) -> Self {
        let octets_max = config.content_memory_max.as_u64();
        metrics.content_memory_limit.set(i64::try_from(octets_max).unwrap_or(i64::MAX));
        let (octets, wait_max) = (config.content_memory_max.as_usize(), config.batch_wait_max.as_duration());
        let memory = MemoryBudget::new(octets, wait_max, metrics.content_memory.clone());
        Self { turns: Semaphore::new(TURNS), memory, octets_max }
    }

    /// The next message of a lane with its room, without which it came when none was free within `batch_wait_max`. Dropped before it is done, it has taken nothing.
    pub(super) async fn lease(
        &self,
        queue: &dyn Queue,
        lane: Lane,
    ) -> Result<(Lease, Option<HeldMemory>), QueueError> {
        let mut held = self.memory.hold();
        // Those who wait for mail to other systems must not keep the turns of those who file it; there are few of them.
        if lane != Lane::Local {
            return Ok((queue.lease(lane).await?, Some(held)));
        }
        let _turn = self.turns.acquire().await.map_err(|_| QueueError::Closing)?;
        let lease = queue.lease(lane).await?;
        // What is larger than all the room takes all of it.
        let octets = (lease.body.len() as u64).min(self.octets_max);
        let has_room = held.grow_to(octets).await;
        Ok((lease, has_room.then_some(held)))
    }
}

#[cfg(test)]
mod tests {
    use queue::Body;
    use queue::memory::MemoryQueue;
    use units::{ByteSize, Span};

    use super::*;
    use crate::worker::fakes::envelope;

    #[tokio::test]
    async fn messages_wait_for_room_and_a_huge_one_takes_all_of_it() {
        let queue = MemoryQueue::new();
        for (number, size) in (0..).zip([40_000, 40_000, 40_000, 10_000_000]) {
            let body = Body::from(vec![b'x'; size]);
            queue.publish(Lane::Local, envelope(number, "a@x.test", &["b@x.test"]), body).await.unwrap();
        }
        let (content_memory_max, batch_wait_max) = (ByteSize::kib(80), Span::millis(30));
        let config = Config { content_memory_max, batch_wait_max, ..Config::default() };
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let content = Content::new(&config, &metrics);
        let next = async || content.lease(&queue, Lane::Local).await.unwrap();
        let held = [next().await, next().await];
        assert!(held.iter().all(|(_, room)| room.is_some()));
        assert_eq!(metrics.content_memory.get(), 4 * (16 << 10), "two of 40,000 octets, in steps of 16 KiB");
        let (waited, room) = next().await;
        assert!(room.is_none() && waited.body.len() == 40_000, "a fifth step is too little for it");
        drop((held, waited));
        let mut sizes = Vec::new();
        for _ in 0..4 {
            let (lease, room) = next().await;
            assert!(room.is_some());
            sizes.push(lease.body.len());
            lease.ack().await.unwrap();
        }
        sizes.sort_unstable();
        assert_eq!(sizes, [40_000, 40_000, 40_000, 10_000_000]);
        assert_eq!(metrics.content_memory.get(), 0);
    }
}
