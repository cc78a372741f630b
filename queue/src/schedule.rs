//! Which message is due next: what both backends know of every queued message.
//!
//! ```text
//!             due                take
//!  deferred ───────→ ready ─────────────→ leased ──→ gone
//!     ↑                ↑                    │
//!     └─────defer──────┴──────put back──────┘
//! ```

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use envelope::{MessageId, Timestamp};
use tokio::sync::Notify;

use crate::{Lane, LaneStats, QueuedState};

/// A wait for a due time is cut into pieces of this length, so that a clock that jumps is noticed.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The wall clock: due times outlive the process.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// One queued message.
#[derive(Debug, Clone)]
pub(crate) struct Slot<P> {
    pub(crate) lane: Lane,
    pub(crate) due: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) received_at: Timestamp,
    pub(crate) payload: P,
    pub(crate) leased: bool,
    /// Breaks ties between messages of one due time: first come, first served.
    turn: u64,
}

/// A message to put into the schedule.
#[derive(Debug)]
pub(crate) struct Arrival<P> {
    pub(crate) lane: Lane,
    pub(crate) due: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) received_at: Timestamp,
    pub(crate) payload: P,
}

type Turn = (Timestamp, u64, MessageId);

#[derive(Debug, Default)]
struct LaneState {
    ready: BTreeSet<Turn>,
    deferred: BTreeSet<Turn>,
    leased: u64,
    ages: BTreeSet<(Timestamp, MessageId)>,
}

/// What there is to take.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// This one, and it is leased now.
    Leased(MessageId),
    /// Nothing yet; the first is due then.
    Due(Timestamp),
    /// Nothing waits.
    Empty,
}

/// All queued messages by id, and by lane and due time.
#[derive(Debug)]
pub(crate) struct Schedule<P> {
    slots: HashMap<MessageId, Slot<P>>,
    lanes: [LaneState; Lane::ALL.len()],
    turns: u64,
}

impl<P> Schedule<P> {
    pub(crate) fn new() -> Self {
        Self { slots: HashMap::new(), lanes: Default::default(), turns: 0 }
    }

    /// Puts a message in; says no when it is already there.
    pub(crate) fn insert(&mut self, id: MessageId, arrival: Arrival<P>) -> bool {
        if self.slots.contains_key(&id) {
            return false;
        }
        self.turns += 1;
        let Arrival { lane, due, attempts, received_at, payload } = arrival;
        let slot = Slot { lane, due, attempts, received_at, payload, leased: false, turn: self.turns };
        let state = self.lane(lane);
        state.ages.insert((received_at, id));
        state.deferred.insert((due, slot.turn, id));
        self.slots.insert(id, slot);
        true
    }

    /// Takes the message of the lane that has been due for the longest.
    pub(crate) fn take(&mut self, lane: Lane, now: Timestamp) -> Take {
        let state = self.lane(lane);
        state.ripen(now);
        let Some((_, _, id)) = state.ready.pop_first() else {
            return state.deferred.first().map_or(Take::Empty, |(due, _, _)| Take::Due(*due));
        };
        state.leased += 1;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.leased = true;
        }
        Take::Leased(id)
    }

    /// Gives a leased message back, to its old turn.
    pub(crate) fn put_back(&mut self, id: MessageId) {
        self.change(id, |_| {});
    }

    /// Ends a lease with another lane, due time or payload.
    pub(crate) fn change(&mut self, id: MessageId, change: impl FnOnce(&mut Slot<P>)) {
        let Some(mut slot) = self.slots.remove(&id) else { return };
        self.unlink(id, &slot);
        slot.leased = false;
        let due = slot.due;
        change(&mut slot);
        if slot.due != due {
            self.turns += 1;
            slot.turn = self.turns;
        }
        let state = self.lane(slot.lane);
        state.ages.insert((slot.received_at, id));
        state.deferred.insert((slot.due, slot.turn, id));
        self.slots.insert(id, slot);
    }

    /// Takes a message out for good.
    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Slot<P>> {
        let slot = self.slots.remove(&id)?;
        self.unlink(id, &slot);
        Some(slot)
    }

    pub(crate) fn slot(&self, id: MessageId) -> Option<&Slot<P>> {
        self.slots.get(&id)
    }

    pub(crate) fn slot_mut(&mut self, id: MessageId) -> Option<&mut P> {
        self.slots.get_mut(&id).map(|slot| &mut slot.payload)
    }

    pub(crate) fn state(slot: &Slot<P>, now: Timestamp) -> QueuedState {
        match slot {
            Slot { leased: true, .. } => QueuedState::Leased,
            Slot { due, .. } if *due <= now => QueuedState::Ready,
            Slot { .. } => QueuedState::Deferred,
        }
    }

    pub(crate) fn stats(&mut self, now: Timestamp) -> Vec<LaneStats> {
        Lane::ALL
            .into_iter()
            .map(|lane| {
                let state = self.lane(lane);
                state.ripen(now);
                LaneStats {
                    lane,
                    ready: state.ready.len() as u64,
                    leased: state.leased,
                    deferred: state.deferred.len() as u64,
                    oldest: state.ages.first().map(|(received_at, _)| *received_at),
                }
            })
            .collect()
    }

    /// Every message, or those of one lane, oldest first.
    pub(crate) fn by_age(&self, lane: Option<Lane>) -> impl Iterator<Item = (MessageId, &Slot<P>)> {
        let mut lanes: Vec<_> = Lane::ALL
            .iter()
            .zip(&self.lanes)
            .filter(|(each, _)| lane.is_none_or(|wanted| wanted == **each))
            .map(|(_, state)| state.ages.iter().peekable())
            .collect();
        std::iter::from_fn(move || {
            let heads = lanes.iter_mut().filter_map(|ages| Some((*ages.peek().copied()?, ages)));
            let (_, oldest) = heads.min_by_key(|(age, _)| *age)?;
            oldest.next().map(|(_, id)| *id)
        })
        .filter_map(|id| self.slots.get(&id).map(|slot| (id, slot)))
    }

    fn unlink(&mut self, id: MessageId, slot: &Slot<P>) {
        let state = self.lane(slot.lane);
        state.ages.remove(&(slot.received_at, id));
        if slot.leased {
            state.leased = state.leased.saturating_sub(1);
        } else {
            let turn = (slot.due, slot.turn, id);
            let _ = state.ready.remove(&turn) || state.deferred.remove(&turn);
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneState {
        let [local, remote, quarantine, dead] = &mut self.lanes;
        match lane {
            Lane::Local => local,
            Lane::Remote => remote,
            Lane::Quarantine => quarantine,
            Lane::Dead => dead,
        }
    }
}

impl LaneState {
    fn ripen(&mut self, now: Timestamp) {
        while let Some(turn) = self.deferred.first().copied().filter(|(due, _, _)| *due <= now) {
            self.deferred.remove(&turn);
            self.ready.insert(turn);
        }
    }
}

/// Wakes those who wait for a message of a lane.
#[derive(Debug, Default)]
pub(crate) struct Bells([Notify; Lane::ALL.len()]);

impl Bells {
    /// Something changed in this lane.
    pub(crate) fn ring(&self, lane: Lane) {
        self.of(lane).notify_one();
    }

    /// Everybody look.
    pub(crate) fn ring_all(&self) {
        self.0.iter().for_each(Notify::notify_waiters);
    }

    /// Waits until `take` has something. Cancel-safe as far as what `take` returned goes back when dropped.
    pub(crate) async fn wait<T>(&self, lane: Lane, mut take: impl FnMut() -> Result<T, Take>) -> T {
        let bell = self.of(lane);
        // Whether this wait took something or was given up: another must look after what is due next.
        let _pass_on = PassOn(bell);
        loop {
            let mut ring = std::pin::pin!(bell.notified());
            ring.as_mut().enable();
            match take() {
                Ok(taken) => return taken,
                Err(Take::Due(due)) => {
                    let wait = due.since(now()).clamp(Duration::from_millis(1), WAIT_MAX);
                    let _ = tokio::time::timeout(wait, ring).await;
                }
                Err(Take::Empty | Take::Leased(_)) => ring.await,
            }
        }
    }

    fn of(&self, lane: Lane) -> &Notify {
        let [local, remote, quarantine, dead] = &self.0;
        match lane {
            Lane::Local => local,
            Lane::Remote => remote,
            Lane::Quarantine => quarantine,
            Lane::Dead => dead,
        }
    }
}

struct PassOn<'a>(&'a Notify);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> MessageId {
        MessageId::from_bytes([number; 16])
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_unix_milliseconds(milliseconds)
    }

    fn arrival(lane: Lane, due: u64) -> Arrival<()> {
        Arrival { lane, due: at(due), attempts: 0, received_at: at(due), payload: () }
    }

    #[test]
    fn takes_by_due_time_then_by_arrival_and_only_in_its_lane() {
        let mut schedule = Schedule::new();
        for (number, lane, due) in
            [(1, Lane::Local, 20), (2, Lane::Local, 10), (3, Lane::Local, 10), (4, Lane::Remote, 5)]
        {
            assert!(schedule.insert(id(number), arrival(lane, due)));
        }
        assert!(!schedule.insert(id(1), arrival(Lane::Local, 1)), "the same id is one message");
        assert_eq!(schedule.take(Lane::Local, at(9)), Take::Due(at(10)));
        assert_eq!(schedule.take(Lane::Local, at(10)), Take::Leased(id(2)));
        assert_eq!(schedule.take(Lane::Local, at(10)), Take::Leased(id(3)));
        assert_eq!(schedule.take(Lane::Local, at(10)), Take::Due(at(20)));
        assert_eq!(schedule.take(Lane::Quarantine, at(10)), Take::Empty);
        schedule.put_back(id(3));
        schedule.put_back(id(2));
        assert_eq!(schedule.take(Lane::Local, at(30)), Take::Leased(id(2)), "back to its old turn");
    }

    #[test]
    fn counts_follow_every_move() {
        let mut schedule = Schedule::new();
        schedule.insert(id(1), arrival(Lane::Local, 1));
        schedule.insert(id(2), arrival(Lane::Local, 100));
        let count = |schedule: &mut Schedule<()>, lane| {
            let stats = schedule.stats(at(50));
            let stats = stats.iter().find(|stats| stats.lane == lane).unwrap();
            (stats.ready, stats.leased, stats.deferred, stats.oldest.map(Timestamp::unix_milliseconds))
        };
        assert_eq!(count(&mut schedule, Lane::Local), (1, 0, 1, Some(1)));
        assert_eq!(schedule.take(Lane::Local, at(50)), Take::Leased(id(1)));
        assert_eq!(count(&mut schedule, Lane::Local), (0, 1, 1, Some(1)));
        schedule.change(id(1), |slot| slot.lane = Lane::Dead);
        assert_eq!(count(&mut schedule, Lane::Local), (0, 0, 1, Some(100)));
        assert_eq!(count(&mut schedule, Lane::Dead), (1, 0, 0, Some(1)));
        schedule.change(id(2), |slot| slot.due = at(40));
        assert_eq!(count(&mut schedule, Lane::Local), (1, 0, 0, Some(100)));
        let ages: Vec<_> = schedule.by_age(None).map(|(id, _)| id).collect();
        assert_eq!(ages, [id(1), id(2)]);
        assert_eq!(schedule.by_age(Some(Lane::Local)).count(), 1);
        schedule.remove(id(1));
        schedule.remove(id(2));
        assert_eq!(count(&mut schedule, Lane::Dead), (0, 0, 0, None));
        assert_eq!(schedule.by_age(None).count(), 0);
    }
}
