//! What the consumer knows: every message that has not left, where its octets are, what was decided.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use envelope::{Envelope, MessageId, Recipient, Timestamp};
use serde::{Deserialize, Serialize};

use super::record::{Batch, Kind, Payload, encode};
use super::scan::{Segment, Sighting};
use super::segment::START;
use crate::schedule::{Arrival, Schedule, Slot, now};
use crate::{Config, Lane};

/// How many ids one record of a snapshot names.
const DONE_CHUNK: usize = 1000;
/// A message that a worker had so often when its process ended is tried apart from others.
const SUSPECT_FROM: u32 = 2;
/// How many texts of errors are looked through for one that is the same.
const TEXTS_MAX: usize = 64;

/// A segment of a writer's log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentKey {
    pub(super) writer: Arc<str>,
    pub(super) seq: u64,
}

/// Where a queued message is. A million of them wait at times: what few of them have is apart.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) segment: Arc<SegmentKey>,
    pub(super) offset: Offset,
    pub(super) size: u32,
    /// What was decided about it, if anything was: why it waits. Messages for one destination share the text.
    waits: Option<Text>,
    apart: Option<Box<Apart>>,
}

/// A text in one word, shared.
type Text = Arc<Box<str>>;

/// Where a record begins in a segment: records begin at multiples of eight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offset(u32);

impl Offset {
    /// None behind the 32 GiB that no segment reaches.
    fn new(offset: u64) -> Option<Self> {
        u32::try_from(offset / 8).ok().map(Self).filter(|_| offset.is_multiple_of(8))
    }

    pub(super) const fn get(self) -> u64 {
        self.0 as u64 * 8
    }
}

/// What most messages have nothing of.
#[derive(Debug, Clone, Default)]
struct Apart {
    /// Names the body's file, when the body is not in the log.
    spool: Option<u128>,
    /// Segments with further copies: the id was published more than once.
    copies: Vec<Arc<SegmentKey>>,
    /// Who still waits, when it is not everybody.
    recipients: Option<Vec<Recipient>>,
}

impl Place {
    fn spool(&self) -> Option<u128> {
        self.apart.as_ref()?.spool
    }

    fn copies(&self) -> &[Arc<SegmentKey>] {
        self.apart.as_ref().map_or(&[], |apart| &apart.copies)
    }

    /// Who still waits; none when all that the record names do.
    pub(super) fn recipients(&self) -> Option<&[Recipient]> {
        self.apart.as_ref()?.recipients.as_deref()
    }

    /// Why the last try failed; empty before the first failure.
    pub(super) fn last_error(&self) -> &str {
        self.waits.as_ref().map_or("", |text| text)
    }

    fn change(&mut self, change: impl FnOnce(&mut Apart)) {
        let mut apart = self.apart.take().unwrap_or_default();
        change(&mut apart);
        let needed = apart.spool.is_some() || !apart.copies.is_empty() || apart.recipients.is_some();
        self.apart = needed.then_some(apart);
    }
}

/// A message that was published a moment ago, kept in memory.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) envelope: Envelope,
    pub(super) body: Bytes,
    /// What it counts for.
    pub(super) size: u64,
}

/// A decision that leaves the message queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) lane: Lane,
    pub(super) due: Timestamp,
    pub(super) attempts: u32,
    pub(super) recipients: Option<Vec<Recipient>>,
    pub(super) error: String,
    /// An operator keeps it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) held: bool,
}

/// What was decided about a message.
#[derive(Debug, Clone)]
pub(super) enum Decision {
    Done,
    Waiting(Waiting),
}

/// What is known of a segment.
#[derive(Debug)]
pub(super) struct SegmentState {
    pub(super) segment: Segment,
    key: Arc<SegmentKey>,
    /// Messages that are here and are not to be read from here: they have left, or have a later copy.
    spent: Vec<MessageId>,
    /// Messages that are to be read from here.
    live: u64,
    /// How far it has been read.
    pub(super) offset: u64,
    /// Read to its end.
    pub(super) ended: bool,
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct State {
    pub(super) directory: PathBuf,
    pub(super) schedule: Schedule<Place>,
    pub(super) segments: BTreeMap<SegmentKey, SegmentState>,
    /// Messages that have left, and in how many places they still are on disk.
    done: HashMap<MessageId, u32>,
    /// Decisions about messages that have not been found yet.
    ahead: HashMap<MessageId, Decision>,
    /// Messages that a process had more than once when it ended, and until when they wait; until they are found.
    suspects: HashMap<MessageId, Timestamp>,
    /// Why messages wait, for sharing; what was used last is first.
    texts: VecDeque<Text>,
    cached: HashMap<MessageId, Cached>,
    pub(super) cached_bytes: u64,
    pub(super) cached_bytes_max: u64,
}

/// Who is next among those that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turns {
    /// Senders take turns.
    Fair,
    /// First come, first served: a log that is replayed.
    InOrder,
}

impl State {
    pub(super) fn of(config: &Config, turns: Turns) -> Self {
        let mut state = Self::new(config.dir.clone(), config.tail_cache_max.as_u64());
        if turns == Turns::InOrder {
            state.schedule = Schedule::in_order();
        }
        state
    }

    pub(super) fn new(directory: PathBuf, cached_bytes_max: u64) -> Self {
        Self {
            directory,
            schedule: Schedule::new(),
            segments: BTreeMap::new(),
            done: HashMap::new(),
            ahead: HashMap::new(),
            suspects: HashMap::new(),
            texts: VecDeque::new(),
            cached: HashMap::new(),
            cached_bytes: 0,
            cached_bytes_max,
        }
    }

    /// Takes a decision from an earlier log; the last one about a message holds.
    pub(super) fn replay(&mut self, id: MessageId, decision: Decision) {
        self.ahead.insert(id, decision);
    }

    /// Workers had this message so many times when their process ended. At first it may have been another that ended it: then it is tried
    /// apart from the rest, and past the bound it is nobody's to try: then it says so.
    pub(super) fn suspect(&mut self, id: MessageId, ends: u32, ends_max: u32, apart: Duration) -> bool {
        if ends < SUSPECT_FROM || matches!(self.ahead.get(&id), Some(Decision::Done)) {
            return false;
        }
        if ends < ends_max {
            let turn = u32::try_from(self.suspects.len()).unwrap_or(u32::MAX).saturating_add(1);
            self.suspects.insert(id, now().plus(apart.saturating_mul(turn)));
            return false;
        }
        let earlier = match self.ahead.remove(&id) {
            Some(Decision::Waiting(waiting)) => Some(waiting),
            Some(Decision::Done) | None => None,
        };
        let (attempts, recipients) =
            earlier.map_or((ends, None), |waiting| (waiting.attempts, waiting.recipients));
        let (due, error) = (now(), ended(ends));
        let waiting = Waiting { lane: Lane::Dead, due, attempts, recipients, error, held: false };
        self.ahead.insert(id, Decision::Waiting(waiting));
        true
    }

    /// All logs have been read: what was decided about messages that are nowhere is forgotten.
    pub(super) fn forget_unseen(&mut self) {
        self.ahead = HashMap::new();
        self.suspects = HashMap::new();
    }

    /// Takes a message that was found in a segment: one of a batch, before which the schedule has looked at the clock. Returns a body file that
    /// nobody needs any more.
    pub(super) fn arrive(
        &mut self,
        key: &SegmentKey,
        found: &Sighting,
        cached: Option<Cached>,
    ) -> Option<PathBuf> {
        let id = found.header.id;
        let own = found.spool.map(|name| spool_path(&self.directory, &key.writer, id, name));
        let Some(offset) = Offset::new(found.offset) else {
            // It stays: nothing is removed that was not understood.
            tracing::error!(%id, offset = found.offset, "a record is at no place where one can be");
            self.segments.get_mut(key)?.live += 1;
            return None;
        };
        let segment = self.segments.get_mut(key)?;
        if let Some(copies) = self.done.get_mut(&id) {
            *copies += 1;
            segment.spent.push(id);
            return own;
        }
        let waiting = match self.ahead.remove(&id) {
            Some(Decision::Done) => {
                self.done.insert(id, 1);
                segment.spent.push(id);
                return own;
            }
            Some(Decision::Waiting(waiting)) => Some(waiting),
            None => None,
        };
        segment.live += 1;
        let segment = Arc::clone(&segment.key);
        if self.schedule.slot(id).is_some() {
            return self.another_copy(segment, offset, found);
        }
        if let Some(cached) = cached.filter(|cached| self.cached_bytes + cached.size <= self.cached_bytes_max)
        {
            self.cached_bytes += cached.size;
            self.cached.insert(id, cached);
        }
        let waits = waiting.as_ref().map(|waiting| self.text(&waiting.error));
        let waiting = waiting.unwrap_or_else(|| Waiting {
            lane: found.header.lane,
            due: found.received_at.min(self.schedule.looked()),
            attempts: 0,
            recipients: None,
            error: String::new(),
            held: false,
        });
        let Waiting { lane, due, attempts, held, recipients, .. } = waiting;
        let due = self.suspects.remove(&id).map_or(due, |apart| apart.max(due));
        let mut payload = Place { segment, offset, size: found.header.size, waits, apart: None };
        if found.spool.is_some() || recipients.is_some() {
            payload.change(|apart| (apart.spool, apart.recipients) = (found.spool, recipients));
        }
        let Sighting { received_at, flow, priority, .. } = *found;
        let arrival = Arrival { lane, due, attempts, received_at, held, flow, priority, payload };
        self.schedule.insert(id, arrival);
        None
    }

    /// The same id again: the last copy is the one to read, so that the segments before it can go.
    fn another_copy(
        &mut self,
        segment: Arc<SegmentKey>,
        offset: Offset,
        found: &Sighting,
    ) -> Option<PathBuf> {
        let id = found.header.id;
        let own = found.spool.map(|name| spool_path(&self.directory, &segment.writer, id, name));
        let place = self.schedule.slot_mut(id)?;
        let old = place.spool().map(|name| spool_path(&self.directory, &place.segment.writer, id, name));
        // Never the body that the later copy names.
        let old = old.filter(|old| own.as_ref() != Some(old));
        let former = std::mem::replace(&mut place.segment, segment);
        (place.offset, place.size) = (offset, found.header.size);
        // What was in memory is the same message.
        if let Some(segment) = self.segments.get_mut(&former) {
            segment.live = segment.live.saturating_sub(1);
            segment.spent.push(id);
        }
        place.change(|apart| {
            apart.spool = found.spool;
            apart.copies.push(former);
        });
        old
    }

    /// The text of an error, shared with the last messages that have the same.
    fn text(&mut self, error: &str) -> Text {
        let known = self.texts.iter().position(|text| &***text == error);
        let text = match known.and_then(|index| self.texts.remove(index)) {
            Some(text) => text,
            None => Arc::new(error.into()),
        };
        self.texts.push_front(Arc::clone(&text));
        self.texts.truncate(TEXTS_MAX);
        text
    }

    /// The message has left. Returns its body file, which nobody needs any more.
    pub(super) fn finish(&mut self, id: MessageId) -> Option<PathBuf> {
        let place = self.schedule.remove(id)?.payload;
        self.uncache(id);
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live = segment.live.saturating_sub(1);
            segment.spent.push(id);
        }
        self.done.insert(id, 1 + place.copies().len() as u32);
        place.spool().map(|name| spool_path(&self.directory, &place.segment.writer, id, name))
    }

    /// The message waits.
    pub(super) fn defer(&mut self, id: MessageId, waiting: Waiting) {
        let text = self.text(&waiting.error);
        self.schedule.change(id, |slot| {
            (slot.lane, slot.due, slot.attempts) = (waiting.lane, waiting.due, waiting.attempts);
            slot.held = waiting.held;
            slot.payload.change(|apart| apart.recipients = waiting.recipients);
            slot.payload.waits = Some(text);
        });
    }

    /// Whoever leases it has the octets now.
    pub(super) fn uncache(&mut self, id: MessageId) -> Option<Cached> {
        let cached = self.cached.remove(&id)?;
        self.cached_bytes -= cached.size;
        Some(cached)
    }

    /// A segment that is about to be read.
    pub(super) fn open_segment(&mut self, key: &SegmentKey, segment: Segment) {
        let (spent, named) = (Vec::new(), Arc::new(key.clone()));
        let state = SegmentState { segment, key: named, spent, live: 0, offset: START, ended: false };
        self.segments.entry(key.clone()).or_insert(state);
    }

    /// Segments of which nothing is needed any more. One whose header says how much of an earlier one counts stays as long as
    /// that one: without it, what was refused would be read after the next start.
    pub(super) fn spent(&self) -> Vec<SegmentKey> {
        let cuts_another = |key: &SegmentKey, segment: &SegmentState| {
            let first = SegmentKey { writer: Arc::clone(&key.writer), seq: 0 };
            self.segments
                .range(first..key.clone())
                .any(|(other, _)| segment.segment.header.cut_of(other.seq).is_some())
        };
        self.segments
            .iter()
            .filter(|(_, segment)| segment.ended && segment.live == 0)
            .filter(|(key, segment)| !cuts_another(key, segment))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The segment is gone from the disk for good: so may be what is remembered of its messages.
    pub(super) fn close_segment(&mut self, key: &SegmentKey) {
        let Some(segment) = self.segments.remove(key) else { return };
        for id in segment.spent {
            if let Some(copies) = self.done.get_mut(&id) {
                *copies = copies.saturating_sub(1);
                if *copies == 0 {
                    self.done.remove(&id);
                }
            } else if let Some(place) = self.schedule.slot_mut(id)
                && let Some(index) = place.copies().iter().position(|copy| **copy == *key)
            {
                place.change(|apart| {
                    apart.copies.swap_remove(index);
                });
            }
        }
    }

    /// All that is needed to read a message without holding the state.
    pub(super) fn located(
        &self,
        id: MessageId,
        slot: &Slot<Place>,
    ) -> (MessageId, Option<Segment>, Slot<Place>) {
        let segment = self.segments.get(&slot.payload.segment).map(|state| state.segment.clone());
        (id, segment, slot.clone())
    }

    /// Whether segments of this writer are known.
    pub(super) fn has_segments_of(&self, writer: &str) -> bool {
        self.segments.keys().any(|key| &*key.writer == writer)
    }

    /// A piece of what a new log begins with: every decision that still matters.
    pub(super) fn snapshot(&self, piece: usize) -> Option<Batch> {
        let Some(chunk) = piece.checked_sub(1) else { return Some(self.unqueued()) };
        let mut batch = Batch::default();
        for (id, slot) in self.schedule.chunk(chunk)?.filter(|(_, slot)| slot.payload.waits.is_some()) {
            let waiting = Waiting {
                lane: slot.lane,
                due: slot.due,
                attempts: slot.attempts,
                recipients: slot.payload.recipients().map(<[Recipient]>::to_vec),
                error: slot.payload.last_error().to_owned(),
                held: slot.held,
            };
            batch.extend(encode_waiting(id, &waiting));
        }
        Some(batch)
    }

    /// What is decided about messages that have left, or have not been found yet.
    fn unqueued(&self) -> Batch {
        let mut batch = Batch::default();
        let ahead = self.ahead.iter().filter(|(_, decision)| matches!(decision, Decision::Done));
        let done: Vec<MessageId> = self.done.keys().chain(ahead.map(|(id, _)| id)).copied().collect();
        for chunk in done.chunks(DONE_CHUNK) {
            batch.extend(encode_done(chunk));
        }
        for (id, decision) in &self.ahead {
            if let Decision::Waiting(waiting) = decision {
                batch.extend(encode_waiting(*id, waiting));
            }
        }
        batch
    }
}

/// Why a message that ends its worker's process is a dead letter.
pub(super) fn ended(ends: u32) -> String {
    format!("a worker's process ended {ends} times while it had this message")
}

/// Where the body of a message is when it is in a file of its own.
pub(super) fn spool_path(directory: &Path, writer: &str, id: MessageId, name: u128) -> PathBuf {
    directory.join("spool").join(writer).join(format!("{id}-{name:032x}.body"))
}

/// A record that says which messages have left.
pub(super) fn encode_done(ids: &[MessageId]) -> Option<Vec<u8>> {
    let octets: Vec<u8> = ids.iter().flat_map(|id| id.to_bytes()).collect();
    encode(Kind::Done, Lane::Local, MessageId::from_bytes([0; 16]), &[], Payload::Here(&octets))
}

/// A record that says how a message waits.
pub(super) fn encode_waiting(id: MessageId, waiting: &Waiting) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(waiting).ok()?;
    encode(Kind::Waiting, waiting.lane, id, &json, Payload::Here(&[]))
}
