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

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use envelope::{MessageId, Priority, Timestamp};

use crate::flow::Flow;
use crate::{Lane, LaneStats, QueuedState};

/// While other mail is due, bulk mail gets one turn in this many.
const BULK_EVERY: u32 = 10;
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
    /// By due time and arrival.
    deferred: BTreeSet<(Timestamp, u64, MessageId)>,
    leased: u64,
    held: u64,
    ages: BTreeSet<(Timestamp, MessageId)>,
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
    queue: BTreeSet<(u64, u64, MessageId)>,
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
    slots: HashMap<MessageId, Slot<P>>,
    lanes: [LaneState; Lane::ALL.len()],
    turns: u64,
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
        Self { slots: HashMap::new(), lanes: Default::default(), turns: 0, in_order: false }
    }

    /// One in which all are one sender.
    pub(crate) fn in_order() -> Self {
        Self { in_order: true, ..Self::new() }
    }

    /// Puts a message in; says no when it is already there.
    pub(crate) fn insert(&mut self, id: MessageId, arrival: Arrival<P>) -> bool {
        if self.slots.contains_key(&id) {
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
        self.link(id, slot);
        true
    }

    /// Takes the message of the lane whose turn it is.
    pub(crate) fn take(&mut self, lane: Lane, now: Timestamp) -> Take {
        self.ripen(lane, now);
        let state = lane_of(&mut self.lanes, lane);
        let Some(id) = state.ready.pop() else {
            return state.deferred.first().map_or(Take::Empty, |(due, _, _)| Take::Due(*due));
        };
        state.leased += 1;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.leased = true;
        }
        Take::Leased(id)
    }

    /// Takes this message, whether it is due or not; says no when somebody has it.
    pub(crate) fn take_this(&mut self, id: MessageId) -> bool {
        let Some(mut slot) = self.slots.remove(&id) else { return false };
        let free = !slot.leased;
        if free {
            self.unlink(id, &slot);
            slot.leased = true;
            let state = lane_of(&mut self.lanes, slot.lane);
            state.leased += 1;
            state.ages.insert((slot.received_at, id));
        }
        self.slots.insert(id, slot);
        free
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
        let (lane, due) = (slot.lane, slot.due);
        change(&mut slot);
        if (slot.lane, slot.due) != (lane, due) {
            self.turns += 1;
            slot.turn = self.turns;
            slot.tag = 0;
        }
        self.link(id, slot);
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

    /// Moves to the due ones what has become due.
    fn ripen(&mut self, lane: Lane, now: Timestamp) {
        let state = lane_of(&mut self.lanes, lane);
        while let Some((due, turn, id)) = state.deferred.first().copied().filter(|(due, _, _)| *due <= now) {
            state.deferred.remove(&(due, turn, id));
            if let Some(slot) = self.slots.get_mut(&id) {
                state.ready.class(slot.priority).admit(id, slot);
            }
        }
    }

    fn link(&mut self, id: MessageId, slot: Slot<P>) {
        let state = lane_of(&mut self.lanes, slot.lane);
        state.ages.insert((slot.received_at, id));
        if slot.held {
            state.held += 1;
        } else {
            state.deferred.insert((slot.due, slot.turn, id));
        }
        self.slots.insert(id, slot);
    }

    fn unlink(&mut self, id: MessageId, slot: &Slot<P>) {
        let state = lane_of(&mut self.lanes, slot.lane);
        state.ages.remove(&(slot.received_at, id));
        if slot.leased {
            state.leased = state.leased.saturating_sub(1);
        } else if slot.held {
            state.held = state.held.saturating_sub(1);
        } else {
            let ready = &mut state.ready.class(slot.priority).queue;
            let _ =
                ready.remove(&(slot.tag, slot.turn, id)) || state.deferred.remove(&(slot.due, slot.turn, id));
        }
    }
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

    fn pop(&mut self) -> Option<MessageId> {
        let bulk_first = self.since_bulk + 1 >= BULK_EVERY || self.interactive.queue.is_empty();
        if bulk_first && let Some(id) = self.bulk.pop() {
            self.since_bulk = 0;
            return Some(id);
        }
        let id = self.interactive.pop()?;
        self.since_bulk = self.since_bulk.saturating_add(1);
        Some(id)
    }
}

impl Class {
    fn admit<P>(&mut self, id: MessageId, slot: &mut Slot<P>) {
        if slot.tag == 0 {
            let last = self.flows.entry(slot.flow).or_insert(0);
            slot.tag = self.taken.max(*last) + 1;
            *last = slot.tag;
        }
        self.queue.insert((slot.tag, slot.turn, id));
    }

    fn pop(&mut self) -> Option<MessageId> {
        let (tag, _, id) = self.queue.pop_first()?;
        self.taken = self.taken.max(tag);
        if self.flows.len() > FLOWS_LOOKED_THROUGH.max(2 * self.queue.len()) {
            // A sender whose last tag has passed is a new sender.
            self.flows.retain(|_, last| *last > tag);
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests;
