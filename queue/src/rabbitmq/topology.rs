//! The queues at the broker: declared by whoever connects first, checked by everybody else.
//!
//! ```text
//!  <prefix>.local   <prefix>.local.bulk                   worked by delivery; past delivery_limit ──→ <prefix>.dead
//!  <prefix>.remote  <prefix>.remote.bulk                  as these
//!  <prefix>.quarantine  <prefix>.dead  <prefix>.held      wait for an operator
//!  <prefix>.<lane>.wait.<seconds>                         wait for their next try; expired ──→ <prefix>.<lane>
//! ```
//! All are quorum queues, durable, and refuse what they can't take rather than drop what they hold. What leaves one for another inside the
//! broker (expired, past the limit) is moved at least once: it is in the second before it is gone from the first. A broker that has one of
//! these names with other properties is refused: declaring says so (406 PRECONDITION_FAILED).

use std::time::Duration;

use envelope::Priority;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind};

use crate::{Lane, RabbitConfig};

/// How long the steps of the ladder are. A message takes the longest that is not longer than its wait, and then the next; what is left below
/// the shortest it waits with a worker.
pub(super) const STEPS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
    Duration::from_secs(14_400),
];

/// One queue of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// What workers take from.
    Lane(Lane, Priority),
    /// A step of the ladder, by its index.
    Wait(Lane, usize),
    /// What operators keep back.
    Held,
}

impl Place {
    /// Every queue.
    pub(super) fn all() -> Vec<Self> {
        let mut all: Vec<Self> = Lane::ALL.into_iter().flat_map(Self::of).collect();
        all.push(Self::Held);
        all
    }

    /// The queues in which messages of this lane are, but for those that are held.
    pub(super) fn of(lane: Lane) -> Vec<Self> {
        let mut places = vec![Self::Lane(lane, Priority::Interactive)];
        if is_worked(lane) {
            places.push(Self::Lane(lane, Priority::Bulk));
            places.extend((0..STEPS.len()).map(|step| Self::Wait(lane, step)));
        }
        places
    }

    /// Where a message goes that has to wait so long.
    pub(super) fn after(lane: Lane, priority: Priority, wait: Duration) -> Self {
        let step = STEPS.iter().rposition(|step| *step <= wait).filter(|_| is_worked(lane));
        step.map_or_else(|| Self::due(lane, priority), |step| Self::Wait(lane, step))
    }

    /// Where a message goes that is due.
    pub(super) const fn due(lane: Lane, priority: Priority) -> Self {
        if is_worked(lane) { Self::Lane(lane, priority) } else { Self::Lane(lane, Priority::Interactive) }
    }

    pub(super) fn name(self, prefix: &str) -> String {
        match self {
            Self::Lane(lane, Priority::Interactive) => format!("{prefix}.{lane}"),
            Self::Lane(lane, Priority::Bulk) => format!("{prefix}.{lane}.bulk"),
            Self::Wait(lane, step) => {
                let seconds = STEPS.get(step).map_or(0, Duration::as_secs);
                format!("{prefix}.{lane}.wait.{seconds}")
            }
            Self::Held => format!("{prefix}.held"),
        }
    }

    /// Whether each return of a message to this queue counts against its limit.
    pub(super) const fn is_limited(self) -> bool {
        matches!(self, Self::Lane(lane, _) if is_worked(lane))
    }

    fn arguments(self, config: &RabbitConfig) -> FieldTable {
        let mut table = FieldTable::default();
        let mut set = |key: &str, value: AMQPValue| {
            table.insert(key.into(), value);
        };
        let text = |text: &str| AMQPValue::LongString(text.into());
        set("x-queue-type", text("quorum"));
        set("x-quorum-initial-group-size", AMQPValue::LongInt(i32::from(config.replicas)));
        set("x-overflow", text("reject-publish"));
        let target = match self {
            Self::Lane(..) if self.is_limited() => {
                set("x-delivery-limit", AMQPValue::LongInt(i32::from(config.delivery_limit)));
                Some(Self::due(Lane::Dead, Priority::Interactive))
            }
            Self::Wait(lane, step) => {
                let wait = STEPS.get(step).map_or(0, Duration::as_millis);
                set("x-message-ttl", AMQPValue::LongLongInt(i64::try_from(wait).unwrap_or(i64::MAX)));
                Some(Self::due(lane, Priority::Interactive))
            }
            Self::Lane(..) | Self::Held => None,
        };
        if let Some(target) = target {
            set("x-dead-letter-exchange", text(""));
            set("x-dead-letter-routing-key", text(&target.name(&config.prefix)));
            set("x-dead-letter-strategy", text("at-least-once"));
        }
        table
    }
}

/// Whether workers take from it.
const fn is_worked(lane: Lane) -> bool {
    matches!(lane, Lane::Local | Lane::Remote)
}

/// Declares every queue. An error of [`is_mismatch`] means that the broker has one with other properties.
pub(super) async fn declare(channel: &Channel, config: &RabbitConfig) -> lapin::Result<()> {
    for place in Place::all() {
        let name = place.name(&config.prefix);
        channel.queue_declare(name.into(), QueueDeclareOptions::durable(), place.arguments(config)).await?;
    }
    Ok(())
}

/// Messages that wait in a queue and that no consumer has.
pub(super) async fn count(channel: &Channel, name: &str) -> lapin::Result<u32> {
    let passive = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(name.into(), passive, FieldTable::default()).await?;
    Ok(queue.message_count())
}

/// Whether the broker said that a queue is there with other properties (406), or that this user may not (403).
pub(super) fn is_mismatch(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.get_id(), 403 | 406))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_made_of_steps() {
        let wait = |seconds| Place::after(Lane::Remote, Priority::Interactive, Duration::from_secs(seconds));
        assert_eq!(wait(4), Place::Lane(Lane::Remote, Priority::Interactive));
        assert_eq!(wait(5), Place::Wait(Lane::Remote, 0));
        assert_eq!(wait(29), Place::Wait(Lane::Remote, 0));
        assert_eq!(wait(3600 * 10), Place::Wait(Lane::Remote, 6));
        let dead = Place::after(Lane::Dead, Priority::Bulk, Duration::from_secs(100));
        assert_eq!(dead.name("mail"), "mail.dead");
        assert_eq!(Place::Wait(Lane::Local, 2).name("mail"), "mail.local.wait.120");
    }
}
