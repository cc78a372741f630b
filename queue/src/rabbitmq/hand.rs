//! What this process has taken from the broker and not yet settled.
//!
//! Messages come in the broker's order and wait here, at most `prefetch` of them for each queue, until a worker takes them: by sender in
//! turn, bulk after the rest. The broker counts them all as with us; when the connection is lost it gives them to somebody, and what was not with a
//! worker is forgotten here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use envelope::MessageId;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};

use super::wire::Meta;
use crate::bells::Bells;
use crate::flow::Flow;
use crate::schedule::{Arrival, Schedule, Slot, Take, now};
use crate::{Lane, LaneStats, Listed};

/// One message as it came.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) meta: Meta,
    pub(super) octets: Bytes,
    pub(super) acker: Acker,
    /// Which consumer brought it.
    pub(super) generation: u64,
}

/// Everything that is at hand.
#[derive(Debug)]
pub(super) struct Hand {
    held: Mutex<Option<Held>>,
    pub(super) bells: Bells,
}

#[derive(Debug)]
struct Held {
    schedule: Schedule<Taken>,
    /// Further copies of messages that a worker has: what it decided has come back before it is done with deciding, or its own copy came by a
    /// connection that is lost.
    successors: HashMap<MessageId, Taken>,
}

impl Held {
    /// Keeps the later of two successors; returns the other.
    fn succeed(&mut self, taken: Taken) -> Option<Taken> {
        let id = taken.meta.envelope.id;
        match self.successors.get(&id) {
            Some(kept) if kept.meta.attempts >= taken.meta.attempts => Some(taken),
            _ => self.successors.insert(id, taken),
        }
    }
}

impl Hand {
    pub(super) fn new() -> Self {
        let held = Held { schedule: Schedule::new(), successors: HashMap::new() };
        Self { held: Mutex::new(Some(held)), bells: Bells::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a consumer brought, due after `wait`. Of two copies of a message the later try knows who has been served: the other is
    /// acknowledged, unless a worker has it, and then the later one waits for the worker's decision.
    pub(super) async fn arrive(&self, taken: Taken, wait: Duration) {
        let lane = taken.meta.lane;
        let spare = self.insert(taken, wait);
        self.bells.ring(lane);
        if let Some(spare) = spare {
            tracing::info!(id = %spare.meta.envelope.id, "a second copy of a message at hand is dropped");
            let _ = spare.acker.ack(BasicAckOptions::default()).await;
        }
    }

    /// Returns the copy that is not needed.
    fn insert(&self, mut taken: Taken, wait: Duration) -> Option<Taken> {
        let mut guard = self.lock();
        let held = guard.as_mut()?;
        // By the clock that the schedule goes by: it may be set at any time. Every take looks at it.
        taken.meta.due = if wait.is_zero() { held.schedule.looked() } else { held.schedule.now().plus(wait) };
        let id = taken.meta.envelope.id;
        let Some(slot) = held.schedule.slot(id) else {
            held.schedule.insert(id, arrival(taken));
            return None;
        };
        if slot.leased && slot.attempts <= taken.meta.attempts {
            // The worker's copy may have come by a connection that is lost; then this is the one that counts.
            return held.succeed(taken);
        }
        if slot.attempts >= taken.meta.attempts {
            return Some(taken);
        }
        let earlier = held.schedule.remove(id).map(|slot| slot.payload);
        held.schedule.insert(id, arrival(taken));
        earlier
    }

    /// The next message of a lane; leased here.
    pub(super) fn take(&self, lane: Lane) -> Result<Option<(MessageId, Taken)>, Take> {
        let mut guard = self.lock();
        let Some(Held { schedule, .. }) = guard.as_mut() else { return Ok(None) };
        let now = schedule.now();
        match schedule.take(lane, now) {
            Take::Leased(id) => match schedule.slot(id) {
                Some(slot) => Ok(Some((id, slot.payload.clone()))),
                None => Err(Take::Empty),
            },
            nothing => Err(nothing),
        }
    }

    /// Takes this one, if nobody has it.
    pub(super) fn take_this(&self, id: MessageId) -> Option<Taken> {
        let mut guard = self.lock();
        let schedule = &mut guard.as_mut()?.schedule;
        if schedule.take_this(id) { schedule.slot(id).map(|slot| slot.payload.clone()) } else { None }
    }

    /// A copy of this one.
    pub(super) fn show(&self, id: MessageId) -> Option<Taken> {
        self.lock().as_ref()?.schedule.slot(id).map(|slot| slot.payload.clone())
    }

    /// It has left, or is in another queue of the broker: its decision is there, and with it every copy that is no later try is done. That one
    /// is returned, for its acknowledgement.
    pub(super) fn forget(&self, id: MessageId) -> Option<Taken> {
        let mut guard = self.lock();
        let held = guard.as_mut()?;
        let settled = held.schedule.remove(id).map_or(0, |slot| slot.attempts);
        let successor = held.successors.remove(&id)?;
        if successor.meta.attempts <= settled {
            return Some(successor);
        }
        let lane = successor.meta.lane;
        held.schedule.insert(id, arrival(successor));
        drop(guard);
        self.bells.ring(lane);
        None
    }

    /// A worker gives it back, and gets it again after `wait`. One whose consumer is lost comes again from the broker, or has already.
    pub(super) fn put_back(&self, id: MessageId, wait: Duration) {
        let mut guard = self.lock();
        let Some(held) = guard.as_mut() else { return };
        if held.schedule.slot(id).is_some_and(|slot| slot.payload.acker.usable()) {
            if wait.is_zero() {
                held.schedule.put_back(id);
            } else {
                let due = held.schedule.now().plus(wait);
                held.schedule.change(id, |slot| slot.due = due);
            }
        } else {
            held.schedule.remove(id);
            if let Some(successor) = held.successors.remove(&id) {
                held.schedule.insert(id, arrival(successor));
            }
        }
        let lane = held.schedule.slot(id).map(|slot| slot.lane);
        drop(guard);
        lane.into_iter().for_each(|lane| self.bells.ring(lane));
    }

    /// A consumer is gone: what it brought and no worker has is the broker's again.
    pub(super) fn lose(&self, generation: u64) {
        if let Some(held) = self.lock().as_mut() {
            let schedule = &mut held.schedule;
            let lost: Vec<MessageId> = schedule
                .iter()
                .filter(|(_, slot)| slot.payload.generation == generation && !slot.leased)
                .map(|(id, _)| id)
                .collect();
            lost.into_iter().for_each(|id| {
                schedule.remove(id);
            });
            held.successors.retain(|_, taken| taken.generation != generation);
        }
    }

    /// How many messages of this consumer are here.
    pub(super) fn count(&self, generation: u64) -> usize {
        self.lock().as_ref().map_or(0, |held| {
            let ours = |taken: &Taken| taken.generation == generation;
            held.schedule.iter().filter(|(_, slot)| ours(&slot.payload)).count()
                + held.successors.values().filter(|taken| ours(taken)).count()
        })
    }

    pub(super) fn stats(&self) -> Vec<LaneStats> {
        self.lock().as_mut().map(|held| held.schedule.stats(now())).unwrap_or_default()
    }

    pub(super) fn listed(&self) -> Vec<Listed> {
        let now = now();
        self.lock()
            .as_ref()
            .map(|held| held.schedule.by_age(None).map(|(_, slot)| listed(slot, now)).collect())
            .unwrap_or_default()
    }

    /// Nothing is taken any more; what no worker has goes back to the broker.
    pub(super) async fn close(&self) {
        let held = self.lock().take();
        self.bells.ring_all();
        let Some(Held { schedule, successors }) = held else { return };
        let waiting = schedule.iter().filter(|(_, slot)| !slot.leased).map(|(_, slot)| &slot.payload);
        for taken in waiting.chain(successors.values()) {
            let _ = taken.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await;
        }
    }
}

fn arrival(taken: Taken) -> Arrival<Taken> {
    let meta = &taken.meta;
    let envelope = &meta.envelope;
    Arrival {
        lane: meta.lane,
        due: meta.due,
        attempts: meta.attempts,
        received_at: envelope.received_at,
        held: false,
        flow: Flow::of(envelope),
        priority: envelope.priority,
        payload: taken,
    }
}

fn listed(slot: &Slot<Taken>, now: envelope::Timestamp) -> Listed {
    let meta = &slot.payload.meta;
    Listed {
        envelope: meta.envelope.clone(),
        lane: slot.lane,
        state: Schedule::state(slot, now),
        attempts: slot.attempts,
        next_attempt: slot.due,
        last_error: meta.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use lapin::message::Delivery;

    use super::*;
    use crate::suite::{self, id};

    fn taken(attempts: u32, generation: u64) -> Taken {
        let acker = Delivery::mock(1, "".into(), "".into(), false, Vec::new()).acker;
        let envelope = suite::envelope(1, 0);
        let meta = Meta {
            due: envelope.received_at,
            left: None,
            envelope,
            lane: Lane::Local,
            attempts,
            error: String::new(),
            spooled: None,
        };
        Taken { meta, octets: Bytes::new(), acker, generation }
    }

    fn attempts(hand: &Hand) -> Option<u32> {
        hand.take(Lane::Local).ok().flatten().map(|(_, taken)| taken.meta.attempts)
    }

    #[tokio::test]
    async fn of_two_copies_the_later_try_stays() {
        for order in [[0, 1], [1, 0], [1, 1]] {
            let hand = Hand::new();
            for attempts in order {
                hand.arrive(taken(attempts, 0), Duration::ZERO).await;
            }
            assert_eq!((attempts(&hand), attempts(&hand)), (Some(1), None), "{order:?}");
        }
    }

    #[tokio::test]
    async fn what_was_decided_and_is_back_before_the_decision_is_done_is_kept() {
        let hand = Hand::new();
        hand.arrive(taken(0, 0), Duration::ZERO).await;
        assert_eq!(attempts(&hand), Some(0));
        hand.arrive(taken(1, 0), Duration::ZERO).await;
        hand.arrive(taken(2, 0), Duration::ZERO).await;
        hand.arrive(taken(1, 0), Duration::ZERO).await;
        assert_eq!(attempts(&hand), None, "while a worker has the earlier one");
        assert!(hand.forget(id(1)).is_none());
        assert_eq!(attempts(&hand), Some(2));
        hand.arrive(taken(2, 0), Duration::ZERO).await;
        assert!(hand.forget(id(1)).is_some(), "it says no more than what is settled");
        assert_eq!(attempts(&hand), None);
    }

    #[tokio::test]
    async fn the_copy_that_comes_again_after_a_lost_connection_is_not_dropped_for_the_one_that_was_lost() {
        let hand = Hand::new();
        let lost = taken(0, 0);
        let acker = lost.acker.clone();
        hand.arrive(lost, Duration::ZERO).await;
        assert_eq!(attempts(&hand), Some(0));
        hand.arrive(taken(0, 1), Duration::ZERO).await;
        assert_eq!(attempts(&hand), None, "while a worker has the other");
        // As a lost connection leaves it: nothing can be said about that copy any more.
        acker.ack(BasicAckOptions::default()).await.unwrap();
        hand.put_back(id(1), Duration::ZERO);
        assert_eq!(attempts(&hand), Some(0));
    }

    #[tokio::test]
    async fn what_a_lost_consumer_brought_is_forgotten_unless_a_worker_has_it() {
        let hand = Hand::new();
        hand.arrive(taken(0, 3), Duration::ZERO).await;
        assert_eq!(hand.count(3), 1);
        hand.lose(3);
        assert_eq!((hand.count(3), attempts(&hand)), (0, None));
        hand.arrive(taken(0, 4), Duration::ZERO).await;
        assert_eq!(attempts(&hand), Some(0));
        hand.lose(4);
        assert_eq!(hand.count(4), 1, "a worker has it");
    }
}
