//! Which message is next: what the embedded and the memory backend know of every queued message.
//!
//! ```text
//!             due                take
//!  deferred ───────→ ready ─────────────→ leased ──→ gone
//!   ↑    │             ↑                    │
//!   │   hold           └─────put back───────┤
//!   │    ↓                                  │
//!   │   held ──release──→ ready             │
//!   └─────────────defer─────────────────────┘
//! ```
//!
//! # Who is next among those that are due
//!
//! Senders take turns: a message that becomes due gets a *tag*, one more than the later of the tag that was taken last and the last
//! tag of its own sender ([`Flow`]); the smallest tag is next. So a sender with a thousand messages gets one turn a round and not a
//! thousand before everybody else, and a lone sender's messages keep their order. This is start-time fair queueing with every
//! message counting the same. Mail of [`Priority::Bulk`] has tags of its own and gets one turn in [`BULK_EVERY`] while other mail
//! waits.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::time::{Duration, Instant, SystemTime};

use envelope::{MessageId, Priority, Timestamp};

use crate::flow::Flow;
use crate::{Lane, LaneStats, QueuedState};

mod slots;
#[cfg(test)]
mod tests;

use slots::{Number, Slots};

/// While other mail is due, bulk mail gets one turn in this many.
const BULK_EVERY: u32 = 10;
/// The wall clock was set when it goes further from the monotonic one than this.
const CLOCK_SET_FROM: Duration = Duration::from_secs(2);
/// In a second.
const MILLISECONDS: u64 = 1000;
/// Senders' tags are looked through for old ones when there are more than this.
const FLOWS_LOOKED_THROUGH: usize = 1024;

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
    /// An operator keeps it back.
    pub(crate) held: bool,
    flow: Flow,
    priority: Priority,
    /// Breaks ties between messages of one due time: first come, first served.
    turn: u64,
    /// Its place among those that are due, from when it is due until its due time changes; 0 before.
    tag: u64,
}

/// A message to put into the schedule.
#[derive(Debug)]
pub(crate) struct Arrival<P> {
    pub(crate) lane: Lane,
    pub(crate) due: Timestamp,
    pub(crate) attempts: u32,
    pub(crate) received_at: Timestamp,
    pub(crate) held: bool,
    pub(crate) flow: Flow,
    pub(crate) priority: Priority,
    pub(crate) payload: P,
}

#[derive(Debug, Default)]
struct LaneState {
    /// By tag; bulk apart from the rest.
    ready: Classes,
    /// By due time and turn.
    deferred: BTreeMap<(Timestamp, u64), Number>,
    leased: u64,
    held: u64,
    /// How many came in which second since 1970.
    ages: BTreeMap<u64, u32>,
}

#[derive(Debug, Default)]
struct Classes {
    interactive: Class,
    bulk: Class,
    /// Turns since bulk mail had one.
    since_bulk: u32,
}

/// Messages that are due, and whose turn it is.
#[derive(Debug, Default)]
struct Class {
    /// By tag and turn.
    queue: BTreeMap<(u64, u64), Number>,
    /// The tag that was taken last.
    taken: u64,
    /// The last tag of every sender that may still matter.
    flows: HashMap<Flow, u64>,
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
    slots: Slots<Slot<P>>,
    lanes: [LaneState; Lane::ALL.len()],
    turns: u64,
    /// When the wall clock was looked at last, by both clocks.
    looked: (Timestamp, Instant),
    /// Nobody takes turns: first come, first served.
    in_order: bool,
}

impl<P> Slot<P> {
    /// Whether nothing has happened to the message between two looks at it.
    pub(crate) const fn is_as(&self, seen: &Self) -> bool {
        self.turn == seen.turn
            && self.attempts == seen.attempts
            && self.leased == seen.leased
            && self.held == seen.held
    }
}

impl<P> Schedule<P> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slots::new(),
            lanes: Default::default(),
            turns: 0,
            looked: (now(), Instant::now()),
            in_order: false,
        }
    }

    /// One in which all are one sender.
    pub(crate) fn in_order() -> Self {
        Self { in_order: true, ..Self::new() }
    }

    /// The wall clock. Where it was set since the last look, what waits goes on waiting as long as it would have.
    pub(crate) fn now(&mut self) -> Timestamp {
        let (wall, elapsed) = (now(), self.looked.1.elapsed());
        self.look(wall, elapsed);
        wall
    }

    /// What [`Self::now`] said last.
    pub(crate) const fn looked(&self) -> Timestamp {
        self.looked.0
    }

    fn look(&mut self, wall: Timestamp, elapsed: Duration) {
        let expected = self.looked.0.plus(elapsed);
        self.looked = (wall, self.looked.1 + elapsed);
        let (ahead, behind) = (wall.since(expected), expected.since(wall));
        if ahead.max(behind) < CLOCK_SET_FROM {
            return;
        }
        tracing::warn!(
            ?ahead,
            ?behind,
            "the clock was set: messages that wait wait as long as they would have"
        );
        // Those that are due or with a worker too: given back they would wait for a time that was meant by another clock.
        for slot in self.slots.values_mut() {
            slot.due = slot.due.plus(ahead).minus(behind);
        }
        for state in &mut self.lanes {
            let deferred = std::mem::take(&mut state.deferred);
            let moved = deferred
                .into_iter()
                .map(|((due, turn), number)| ((due.plus(ahead).minus(behind), turn), number));
            state.deferred = moved.collect();
        }
    }

    /// Puts a message in; says no when it is already there.
    pub(crate) fn insert(&mut self, id: MessageId, arrival: Arrival<P>) -> bool {
        if self.slots.number(id).is_some() {
            return false;
        }
        self.turns += 1;
        let Arrival { lane, due, attempts, received_at, held, mut flow, mut priority, payload } = arrival;
        if self.in_order {
            (flow, priority) = (Flow::default(), Priority::default());
        }
        let turn = self.turns;
        let slot = Slot {
            lane,
            due,
            attempts,
            received_at,
            payload,
            leased: false,
            held,
            flow,
            priority,
            turn,
            tag: 0,
        };
        let number = self.slots.insert(id, slot);
        number.is_some_and(|number| {
            self.link(number);
            true
        })
    }

    /// Takes the message of the lane whose turn it is.
    pub(crate) fn take(&mut self, lane: Lane, now: Timestamp) -> Take {
        self.ripen(lane, now);
        let state = lane_of(&mut self.lanes, lane);
        let Some(number) = state.ready.pop() else {
            return state.deferred.first_key_value().map_or(Take::Empty, |((due, _), _)| Take::Due(*due));
        };
        state.leased += 1;
        let Some((id, _)) = self.slots.get(number) else { return Take::Empty };
        let id = *id;
        if let Some(slot) = self.slots.get_mut(number) {
            slot.leased = true;
        }
        Take::Leased(id)
    }

    /// Takes this message, whether it is due or not; says no when somebody has it.
    pub(crate) fn take_this(&mut self, id: MessageId) -> bool {
        let Some(number) = self.slots.number(id) else { return false };
        if self.slots.get(number).is_none_or(|(_, slot)| slot.leased) {
            return false;
        }
        self.unlink(number);
        if let Some(slot) = self.slots.get_mut(number) {
            slot.leased = true;
        }
        self.link(number);
        true
    }

    /// Gives a leased message back, to its old turn.
    pub(crate) fn put_back(&mut self, id: MessageId) {
        self.change(id, |_| {});
    }

    /// Ends a lease with another lane, due time or payload.
    pub(crate) fn change(&mut self, id: MessageId, change: impl FnOnce(&mut Slot<P>)) {
        let Some(number) = self.slots.number(id) else { return };
        self.unlink(number);
        if let Some(slot) = self.slots.get_mut(number) {
            slot.leased = false;
            let (lane, due) = (slot.lane, slot.due);
            change(slot);
            if (slot.lane, slot.due) != (lane, due) {
                self.turns += 1;
                slot.turn = self.turns;
                slot.tag = 0;
            }
        }
        self.link(number);
    }

    /// Takes a message out for good.
    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Slot<P>> {
        let number = self.slots.number(id)?;
        self.unlink(number);
        self.slots.remove(number)
    }

    pub(crate) fn slot(&self, id: MessageId) -> Option<&Slot<P>> {
        self.slots.get(self.slots.number(id)?).map(|(_, slot)| slot)
    }

    pub(crate) fn slot_mut(&mut self, id: MessageId) -> Option<&mut P> {
        let number = self.slots.number(id)?;
        self.slots.get_mut(number).map(|slot| &mut slot.payload)
    }

    pub(crate) fn state(slot: &Slot<P>, now: Timestamp) -> QueuedState {
        match slot {
            Slot { leased: true, .. } => QueuedState::Leased,
            Slot { held: true, .. } => QueuedState::Held,
            Slot { due, .. } if *due <= now => QueuedState::Ready,
            Slot { .. } => QueuedState::Deferred,
        }
    }

    pub(crate) fn stats(&mut self, now: Timestamp) -> Vec<LaneStats> {
        Lane::ALL
            .into_iter()
            .map(|lane| {
                self.ripen(lane, now);
                let state = lane_of(&mut self.lanes, lane);
                LaneStats {
                    lane,
                    ready: state.ready.len() as u64,
                    leased: state.leased,
                    deferred: state.deferred.len() as u64,
                    held: state.held,
                    oldest: state.ages.first_key_value().map(|(second, _)| {
                        Timestamp::from_unix_milliseconds(second.saturating_mul(MILLISECONDS))
                    }),
                }
            })
            .collect()
    }

    /// Every message, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MessageId, &Slot<P>)> {
        self.slots.iter()
    }

    /// Some of the messages; none behind the last of them. A message stays in its chunk.
    pub(crate) fn chunk(&self, index: usize) -> Option<impl Iterator<Item = (MessageId, &Slot<P>)>> {
        self.slots.chunk(index)
    }

    /// Every message, or those of one lane, oldest first. Sorts them: for people, who ask now and then.
    pub(crate) fn by_age(&self, lane: Option<Lane>) -> impl Iterator<Item = (MessageId, &Slot<P>)> {
        let mut messages: Vec<_> =
            self.iter().filter(|(_, slot)| lane.is_none_or(|lane| slot.lane == lane)).collect();
        messages.sort_unstable_by_key(|(id, slot)| (slot.received_at, *id));
        messages.into_iter()
    }

    /// Moves to the due ones what has become due.
    fn ripen(&mut self, lane: Lane, now: Timestamp) {
        let state = lane_of(&mut self.lanes, lane);
        while let Some(first) = state.deferred.first_entry().filter(|first| first.key().0 <= now) {
            let number = first.remove();
            if let Some(slot) = self.slots.get_mut(number) {
                state.ready.class(slot.priority).admit(number, slot);
            }
        }
    }

    /// Enters a message where it belongs by its slot.
    fn link(&mut self, number: Number) {
        let Some((_, slot)) = self.slots.get(number) else { return };
        let state = lane_of(&mut self.lanes, slot.lane);
        *state.ages.entry(second(slot.received_at)).or_insert(0) += 1;
        if slot.leased {
            state.leased += 1;
        } else if slot.held {
            state.held += 1;
        } else {
            state.deferred.insert((slot.due, slot.turn), number);
        }
    }

    /// Takes a message out of where `link` and `ripen` have put it.
    fn unlink(&mut self, number: Number) {
        let Some((_, slot)) = self.slots.get(number) else { return };
        let state = lane_of(&mut self.lanes, slot.lane);
        if let btree_map::Entry::Occupied(mut count) = state.ages.entry(second(slot.received_at)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if slot.leased {
            state.leased = state.leased.saturating_sub(1);
        } else if slot.held {
            state.held = state.held.saturating_sub(1);
        } else {
            let ready = &mut state.ready.class(slot.priority).queue;
            if ready.remove(&(slot.tag, slot.turn)).is_none() {
                state.deferred.remove(&(slot.due, slot.turn));
            }
        }
    }
}

const fn second(at: Timestamp) -> u64 {
    at.unix_milliseconds() / MILLISECONDS
}

fn lane_of(lanes: &mut [LaneState; Lane::ALL.len()], lane: Lane) -> &mut LaneState {
    let [local, remote, quarantine, dead] = lanes;
    match lane {
        Lane::Local => local,
        Lane::Remote => remote,
        Lane::Quarantine => quarantine,
        Lane::Dead => dead,
    }
}

impl Classes {
    const fn class(&mut self, priority: Priority) -> &mut Class {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Bulk => &mut self.bulk,
        }
    }

    fn len(&self) -> usize {
        self.interactive.queue.len() + self.bulk.queue.len()
    }

    fn pop(&mut self) -> Option<Number> {
        let bulk_first = self.since_bulk + 1 >= BULK_EVERY || self.interactive.queue.is_empty();
        if bulk_first && let Some(number) = self.bulk.pop() {
            self.since_bulk = 0;
            return Some(number);
        }
        let number = self.interactive.pop()?;
        self.since_bulk = self.since_bulk.saturating_add(1);
        Some(number)
    }
}

impl Class {
    fn admit<P>(&mut self, number: Number, slot: &mut Slot<P>) {
        if slot.tag == 0 {
            let last = self.flows.entry(slot.flow).or_insert(0);
            slot.tag = self.taken.max(*last) + 1;
            *last = slot.tag;
        }
        self.queue.insert((slot.tag, slot.turn), number);
    }

    fn pop(&mut self) -> Option<Number> {
        let ((tag, _), number) = self.queue.pop_first()?;
        self.taken = self.taken.max(tag);
        if self.flows.len() > FLOWS_LOOKED_THROUGH.max(2 * self.queue.len()) {
            // A sender whose last tag has passed is a new sender.
            self.flows.retain(|_, last| *last > tag);
        }
        Some(number)
    }
}
