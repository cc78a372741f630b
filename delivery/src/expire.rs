//! The end of what nobody released from the quarantine. Workers see to it: they work the queue, and only who does may give it orders.

use std::sync::Arc;
use std::time::Duration;

use queue::{Lane, ListFilter, Order, Queue, QueuedState};
use runtime::Drain;
use tracing::{error, info};

/// How often it is looked for.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Deletes what was kept back longer than `keep`, until the drain begins. Each message is a line of the trail.
pub(crate) async fn run(queue: Arc<dyn Queue>, keep: Duration, drain: Drain) {
    // Workers that begin together don't look together.
    let mut random = [0; 4];
    let _ = getrandom::fill(&mut random);
    let first = INTERVAL.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX));
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + first, INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = drain.requested() => return,
            _ = interval.tick() => {}
        }
        expire(&*queue, keep).await;
    }
}

async fn expire(queue: &dyn Queue, keep: Duration) {
    let old = ListFilter {
        lane: Some(Lane::Quarantine),
        // What an operator holds stays until an operator lets it go.
        state: Some(QueuedState::Ready),
        older_than: Some(keep),
        ..ListFilter::default()
    };
    match queue.order(&old, Order::Expire).await {
        Ok(ordered) => {
            if ordered.done > 0 {
                info!(messages = ordered.done, "messages left the quarantine: nobody released them in time");
            }
            if ordered.failed > 0 {
                error!(messages = ordered.failed, "messages could not be taken out of the quarantine");
            }
        }
        Err(failure) => error!(%failure, "the quarantine could not be looked through"),
    }
}

#[cfg(test)]
mod tests {
    use envelope::{MessageId, Timestamp};
    use queue::memory::MemoryQueue;

    use super::*;
    use crate::worker::fakes::envelope;

    #[tokio::test]
    async fn only_what_is_old_and_kept_back_goes() {
        let queue = MemoryQueue::new();
        let now = Timestamp::from(std::time::SystemTime::now());
        let (hour, month) = (Duration::from_secs(3600), Duration::from_secs(30 * 86_400));
        for (number, lane, age) in [
            (1, Lane::Quarantine, month * 2),
            (2, Lane::Quarantine, hour),
            (3, Lane::Dead, month * 2),
            (4, Lane::Quarantine, month * 2),
        ] {
            let mut message = envelope(0, "s@elsewhere.test", &["alice@example.test"]);
            message.id = MessageId::new(number, [0; 10]);
            message.received_at = now.minus(age);
            queue.publish(lane, message, b"x".to_vec().into()).await.unwrap();
        }
        let held = ListFilter { ids: vec![MessageId::new(4, [0; 10])], ..ListFilter::default() };
        assert_eq!(queue.order(&held, Order::Hold).await.unwrap().done, 1);
        expire(&queue, month).await;
        let left = queue.list(&ListFilter::default(), 10).await.unwrap();
        let mut left: Vec<u64> = left.iter().map(|one| one.envelope.id.unix_milliseconds()).collect();
        left.sort_unstable();
        assert_eq!(left, [2, 3, 4]);
    }
}
