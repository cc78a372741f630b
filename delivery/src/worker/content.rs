//! How much of the queue is in memory.
//!
//! A message's size is known when it is there. So only some slots may wait for one; each then waits until its message has room among those that are worked on, and
//! lets the next slot wait. What is in memory is bounded by `content_memory_max` and [`TURNS`] messages.

use std::sync::Arc;

use queue::{Lane, Lease, Queue, QueueError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Config;

/// Slots that may wait for a message, or for room for one.
const TURNS: usize = 32;
/// Room is counted in steps of so many octets; a message takes at least one.
const STEP: u64 = 16 << 10;

pub(super) struct Content {
    turns: Semaphore,
    room: Arc<Semaphore>,
    /// Steps in all: what is larger takes all of them.
    steps: u32,
}

impl Content {
    pub(super) fn new(config: &Config) -> Self {
        let steps = u32::try_from(config.content_memory_max.as_u64() / STEP).unwrap_or(u32::MAX).max(1);
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let steps = steps.min(most);
        Self { turns: Semaphore::new(TURNS), room: Arc::new(Semaphore::new(steps as usize)), steps }
    }

    /// The next message of a lane, and its room, which is given back with the second. Dropped before it is done, it has taken nothing.
    pub(super) async fn lease(
        &self,
        queue: &dyn Queue,
        lane: Lane,
    ) -> Result<(Lease, Option<OwnedSemaphorePermit>), QueueError> {
        // Those who wait for mail to other systems must not keep the turns of those who file it; there are few of them.
        if lane != Lane::Local {
            return Ok((queue.lease(lane).await?, None));
        }
        let _turn = self.turns.acquire().await.map_err(|_| QueueError::Closing)?;
        let lease = queue.lease(lane).await?;
        let steps = u32::try_from(lease.body.len() as u64 / STEP + 1).unwrap_or(u32::MAX).min(self.steps);
        let room = Arc::clone(&self.room).acquire_many_owned(steps).await.map_err(|_| QueueError::Closing)?;
        Ok((lease, Some(room)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use queue::Body;
    use queue::memory::MemoryQueue;
    use units::ByteSize;

    use super::*;
    use crate::worker::fakes::envelope;

    #[tokio::test]
    async fn messages_wait_for_room_and_a_huge_one_takes_all_of_it() {
        let queue = MemoryQueue::new();
        for (number, size) in (0..).zip([40_000, 40_000, 40_000, 10_000_000]) {
            let body = Body::from(vec![b'x'; size]);
            queue.publish(Lane::Local, envelope(number, "a@x.test", &["b@x.test"]), body).await.unwrap();
        }
        let content =
            Content::new(&Config { content_memory_max: ByteSize::bytes(100_000), ..Config::default() });
        let mut held = vec![
            content.lease(&queue, Lane::Local).await.unwrap(),
            content.lease(&queue, Lane::Local).await.unwrap(),
        ];
        let next = || tokio::time::timeout(Duration::from_millis(50), content.lease(&queue, Lane::Local));
        assert!(next().await.is_err(), "two take all six steps");
        // What was taken and found no room has gone back.
        held.clear();
        let (third, _room) = next().await.unwrap().unwrap();
        assert_eq!(third.body.len(), 40_000);
        drop((third, _room));
        let mut sizes = Vec::new();
        for _ in 0..4 {
            let (lease, room) = next().await.unwrap().unwrap();
            sizes.push(lease.body.len());
            lease.ack().await.unwrap();
            drop(room);
        }
        sizes.sort_unstable();
        assert_eq!(sizes, [40_000, 40_000, 40_000, 10_000_000]);
    }
}
