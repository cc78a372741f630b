//! Looks at a queue from another process: without locks and without changing anything.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use envelope::{MessageId, Timestamp};

use super::read::{Unreadable, read_envelope, read_message};
use super::reader::replay;
use super::scan::{Extent, Pass, Segment, Sighting, open_all, pass};
use super::segment::START;
use super::state::{Place, SegmentKey, State};
use crate::files::{Files, RealFiles};
use crate::schedule::{Schedule, Slot, now};
use crate::{LaneStats, ListFilter, Listed, QueueError};

/// How often it begins anew when files go away while it reads.
const TRIES: usize = 5;

/// What was in the queue at one moment. A message that is with a worker shows as ready.
#[derive(Debug)]
pub struct Snapshot {
    files: Arc<dyn Files>,
    state: State,
    damaged: u64,
}

/// Reads the queue in `dir`. Blocks; takes as long as reading the logs once.
pub fn inspect(dir: &Path) -> Result<Snapshot, QueueError> {
    inspect_in(&(Arc::new(RealFiles) as Arc<dyn Files>), dir)
}

pub(super) fn inspect_in(files: &Arc<dyn Files>, dir: &Path) -> Result<Snapshot, QueueError> {
    let failed =
        |source| QueueError::Io { step: "read the queue in", path: dir.display().to_string(), source };
    let mut tries = 0;
    loop {
        tries += 1;
        match read(files, dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
            other => return other.map_err(failed),
        }
    }
}

fn read(files: &Arc<dyn Files>, dir: &Path) -> io::Result<Snapshot> {
    let mut state = State::new(dir.to_owned(), 0);
    let mut damaged = 0;
    // Messages first: one that is settled meanwhile then shows as settled, never as one that comes again.
    let mut found: Vec<(SegmentKey, Segment, Vec<Sighting>)> = Vec::new();
    for writer in files.list(&dir.join("log"))? {
        let directory = dir.join("log").join(&writer);
        let writer: Arc<str> = writer.into();
        let segments = open_all(&**files, &directory)?;
        let last = segments.len();
        for (index, (seq, segment, cut)) in segments.into_iter().enumerate() {
            // The last one may be in the middle of being written: what follows the last commit marker is
            // believed where it is whole, and is no damage where it is not.
            let mut whole = Pass { offset: START, ..Pass::default() };
            if index + 1 == last {
                whole = pass(&segment, START, Extent::Live { patient: false }, usize::MAX)?;
            }
            let rest = pass(&segment, whole.offset, Extent::Sealed(cut), usize::MAX)?;
            damaged += if index + 1 == last { whole.damaged } else { rest.damaged };
            whole.messages.extend(rest.messages);
            found.push((SegmentKey { writer: Arc::clone(&writer), seq }, segment, whole.messages));
        }
    }
    damaged += replay(&**files, &dir.join("consumer"), &mut state)?;
    for (key, segment, messages) in found {
        state.open_segment(&key, segment);
        for message in messages {
            state.arrive(&key, &message, None);
        }
    }
    Ok(Snapshot { files: Arc::clone(files), state, damaged })
}

impl Snapshot {
    /// Counts and oldest age of every lane.
    pub fn stats(&mut self) -> Vec<LaneStats> {
        self.state.schedule.stats(now())
    }

    /// At most `limit` messages that fit the filter, oldest first. A message whose envelope cannot be
    /// read is left out.
    pub fn list(&self, filter: &ListFilter, limit: usize) -> Vec<Listed> {
        let now = now();
        self.state
            .schedule
            .by_age(filter.lane)
            .filter_map(|(id, slot)| self.listed(id, slot, now).ok())
            .filter(|listed| filter.fits(listed, now))
            .take(limit)
            .collect()
    }

    /// What is known of one message; `None` when it is not queued.
    pub fn find(&self, id: MessageId) -> Result<Option<Listed>, QueueError> {
        let slot = self.state.schedule.slot(id);
        slot.map(|slot| self.listed(id, slot, now()).map_err(|error| self.failed(id, error))).transpose()
    }

    /// The octets of one message; `None` when it is not queued.
    pub fn body(&self, id: MessageId) -> Result<Option<Bytes>, QueueError> {
        let Some(slot) = self.state.schedule.slot(id) else { return Ok(None) };
        let Some(segment) = self.state.segments.get(&slot.payload.segment) else { return Ok(None) };
        read_message(&*self.files, &self.state.directory, &segment.segment, id, &slot.payload)
            .map(|(_, body)| Some(body))
            .map_err(|error| self.failed(id, error))
    }

    /// Places in the logs that could not be read: damage, or what a crash left half-written.
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    fn listed(&self, id: MessageId, slot: &Slot<Place>, now: Timestamp) -> Result<Listed, Unreadable> {
        let segment = self.state.segments.get(&slot.payload.segment);
        listed(segment.map(|state| &state.segment), id, slot, now)
    }

    fn failed(&self, id: MessageId, error: Unreadable) -> QueueError {
        let path = format!("message {id} in {}", self.state.directory.display());
        QueueError::Io { step: "read", path, source: io::Error::other(error) }
    }
}

/// Reads the envelope of a message and joins it with what is known.
pub(super) fn listed(
    segment: Option<&Segment>,
    id: MessageId,
    slot: &Slot<Place>,
    now: Timestamp,
) -> Result<Listed, Unreadable> {
    let segment = segment.ok_or(Unreadable::Damaged("its segment is away"))?;
    Ok(Listed {
        envelope: read_envelope(segment, id, &slot.payload)?,
        lane: slot.lane,
        state: Schedule::state(slot, now),
        attempts: slot.attempts,
        next_attempt: slot.due,
        last_error: slot.payload.last_error().to_owned(),
    })
}
