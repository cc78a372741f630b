//! Delivery: exactly one message for one id, durable before it is answered.
//!
//! ```text
//! tmp: create write utimens fsync fstat close │ flock lstat stat×3 │ cache: fstat pwrite │ rename stat journal: pwrite │ unlock │ fsync new/
//! ```

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use envelope::MessageId;
use tracing::{info, warn};

use super::commit::Mark;
use super::stage::Staged;
use super::writer::{Writer, now};
use super::{Mailbox, locked};
use crate::file_name::{Base, FileName};
use crate::flags::FlagBits;
use crate::items::{Place, Position};
use crate::record::{Added, Op};
use crate::summary::{self, Summary};
use crate::{Delivered, Delivery, StoreError, Uid};

/// A message about to enter the mailbox.
pub(super) struct Arrival<'a> {
    pub(super) staged: &'a mut Staged,
    pub(super) base: Base,
    pub(super) internal_date: envelope::Timestamp,
    pub(super) size: u64,
    pub(super) disk_size: u64,
    pub(super) bits: FlagBits,
    pub(super) summary: Option<&'a Summary>,
}

/// Messages that have entered the mailbox.
pub(super) struct Arrived {
    /// Their numbers, in their order.
    pub(super) uids: Vec<u32>,
    /// Behind their record.
    pub(super) mark: Mark,
    /// Why the one behind them has not.
    pub(super) failure: Option<StoreError>,
}

/// A message to be brought to its place.
#[derive(Debug)]
pub(crate) struct Arriving<'a> {
    pub(crate) delivery: &'a Delivery<'a>,
    pub(crate) summary: &'a Summary,
    pub(crate) staged: Staged,
}

/// A message in its place that may not be on disk yet.
#[derive(Debug)]
pub(crate) struct Placed {
    delivered: Delivered,
    arrived: Option<(u32, Option<MessageId>)>,
    mark: Option<Mark>,
}

impl Placed {
    /// Whether it was not there before.
    pub(crate) const fn is_new(&self) -> bool {
        !self.delivered.duplicate
    }
}

impl Mailbox {
    /// Delivers a message; when this returns it is on disk. The same id again is answered as a duplicate.
    ///
    /// # Errors
    /// Nothing was delivered then, or it may have been: deliver again with the same id.
    pub fn deliver(&self, delivery: &Delivery<'_>) -> Result<Delivered, StoreError> {
        let started = Instant::now();
        let result = match self.admit(delivery.message_id) {
            Ok(Some(delivered)) => Ok(delivered),
            Ok(None) => self.place(delivery).and_then(|placed| self.settle_placed(placed)),
            Err(error) => Err(error),
        };
        self.count_delivery(&result);
        self.shared.metrics.delivery_seconds.observe(started.elapsed().as_secs_f64());
        result
    }

    fn place(&self, delivery: &Delivery<'_>) -> Result<Placed, StoreError> {
        let summary = summary::parse(delivery.content);
        let staged = self.stage(delivery.content, delivery.received_at)?;
        let arriving = Arriving { delivery, summary: &summary, staged };
        self.place_all(vec![arriving], None).pop().unwrap_or(Err(StoreError::Busy))
    }

    /// Whether there is room for a message. On a full volume one that is here already gets its answer: its sender must not
    /// hear that it is not.
    pub(crate) fn admit(&self, id: MessageId) -> Result<Option<Delivered>, StoreError> {
        let room = self.check_room();
        if !matches!(room, Err(StoreError::VolumeFull(_))) {
            return room.map(|()| None);
        }
        self.refresh()?;
        let known = {
            let mut core = locked(&self.core);
            let known = core.state.find_id(id);
            core.names_unsure |= known.is_some();
            known
        };
        let Some(known) = known else { return room.map(|()| None) };
        if let Some(mark) = self.journal_end() {
            self.commit(mark)?;
        }
        Ok(Some(Delivered { uid: known.map(Uid), duplicate: true }))
    }

    pub(crate) fn count_delivery(&self, result: &Result<Delivered, StoreError>) {
        let outcome = match result {
            Ok(Delivered { duplicate: true, .. }) => "duplicate",
            Ok(Delivered { uid: None, .. }) => "unlocked",
            Ok(_) => "new",
            Err(_) => "failed",
        };
        self.shared.metrics.deliveries.with_label_values(&[outcome]).inc();
    }

    /// Brings messages to their places under one lock; durable they are after [`Self::settle_placed`]. Whoever gives a `wait`
    /// gets `LockTimeout` after it; without one they are written without the lock in the end.
    pub(crate) fn place_all(
        &self,
        arriving: Vec<Arriving<'_>>,
        wait: Option<Duration>,
    ) -> Vec<Result<Placed, StoreError>> {
        let mut placed = Vec::with_capacity(arriving.len());
        let mut arriving = VecDeque::from(arriving);
        let mut held = None;
        while !arriving.is_empty() {
            let writer = match held.take() {
                Some(writer) => Ok(writer),
                None => self.writer_within(wait),
            };
            match writer {
                Ok(mut writer) => {
                    let done = writer.place_some(arriving.make_contiguous());
                    arriving.drain(..done.len());
                    // What failed may have to be repaired, which is done with the lock taken anew.
                    held = done.iter().all(Result::is_ok).then_some(writer);
                    placed.extend(done);
                }
                Err(StoreError::LockTimeout) if wait.is_none() => {
                    placed.extend(arriving.drain(..).map(|one| self.deliver_unlocked(one)));
                }
                Err(error) => placed.extend(arriving.drain(..).map(|_| Err(error.clone()))),
            }
        }
        placed
    }

    /// Returns when what was placed is on disk; takes it back when that fails.
    pub(crate) fn settle_placed(&self, placed: Placed) -> Result<Delivered, StoreError> {
        if let Some(mark) = placed.mark {
            self.settle(placed.arrived.as_slice(), mark)?;
        }
        Ok(placed.delivered)
    }

    /// The plain Maildir way: no UID until the next synchronisation. The name is the same for every try.
    fn deliver_unlocked(&self, arriving: Arriving<'_>) -> Result<Placed, StoreError> {
        let Arriving { delivery, mut staged, .. } = arriving;
        let size = Some(delivery.content.len() as u64);
        let base = base(delivery);
        let name = FileName { base, uid: None, disk_size: size, wire_size: size, flags: None };
        let noted = self.lock.leave_note();
        staged.publish(&self.path, Place::New, &name.to_string()).map_err(|error| self.explain(error))?;
        self.sync_directories((true, false))?;
        // Before, for a crash in between; after, for a holder of the lock who took the first one away too early.
        if let Err(error) = noted.and_then(|()| self.lock.leave_note()) {
            warn!(mailbox = %self.path.display(), %error, "no note of a delivery without the lock");
        }
        locked(&self.core).look_now = true;
        self.shared.nodes.changed(&self.account, &self.name);
        warn!(mailbox = %self.path.display(), id = %delivery.message_id, "delivered without the lock");
        let delivered = Delivered { uid: None, duplicate: false };
        Ok(Placed { delivered, arrived: None, mark: None })
    }

    /// Tells whoever has the lock next that a file was put here without it; see [`crate::lock::LockFile::leave_note`].
    pub(crate) fn leave_note(&self) -> Result<(), StoreError> {
        self.lock.leave_note()
    }

    /// Makes arrivals durable; takes them back when that fails, so that the next try starts from nothing.
    pub(super) fn settle(&self, arrived: &[(u32, Option<MessageId>)], mark: Mark) -> Result<(), StoreError> {
        let result = match self.commit(mark) {
            // The account went to another volume since the message had its place: it was synced there before that.
            Err(StoreError::Gone) if !arrived.is_empty() => return Ok(()),
            result => result,
        };
        if result.is_err() && !arrived.is_empty() {
            self.take_back(arrived);
        }
        result
    }

    pub(super) fn take_back(&self, arrived: &[(u32, Option<MessageId>)]) {
        match self.writer().and_then(|mut writer| writer.take_back(arrived)) {
            Ok(()) => info!(mailbox = %self.path.display(), "arrival taken back after a failed sync"),
            Err(error) => warn!(mailbox = %self.path.display(), %error, "arrival not taken back"),
        }
    }
}

/// The name of a message that came.
fn name_of(added: &Added) -> FileName {
    FileName {
        base: added.base.clone(),
        uid: Some(added.uid),
        disk_size: Some(added.disk_size),
        wire_size: Some(added.size),
        flags: (added.place == Place::Cur).then_some(added.bits),
    }
}

/// What a delivery's file name begins with.
const fn base(delivery: &Delivery<'_>) -> Base {
    Base::Own { seconds: delivery.received_at.unix_seconds(), id: delivery.message_id }
}

impl Writer<'_> {
    /// Brings the first of `arriving` to their places: as many as one record takes, those with the same flags and ids that differ. At
    /// least one has an answer; behind an error none has.
    fn place_some(&mut self, arriving: &mut [Arriving<'_>]) -> Vec<Result<Placed, StoreError>> {
        let mut ids = HashSet::new();
        let flags = arriving.first().map(|first| &first.delivery.flags);
        let fits = |one: &&Arriving<'_>| {
            Some(&one.delivery.flags) == flags && ids.insert(one.delivery.message_id.to_bytes())
        };
        let count = arriving.iter().take_while(fits).count();
        let (together, _) = arriving.split_at_mut(count);
        match self.place_together(together) {
            Ok((placed, failure)) => placed.into_iter().map(Ok).chain(failure.map(Err)).collect(),
            Err(error) => vec![Err(error)],
        }
    }

    /// Those that are in their places, and why the one behind them is not.
    fn place_together(
        &mut self,
        together: &mut [Arriving<'_>],
    ) -> Result<(Vec<Placed>, Option<StoreError>), StoreError> {
        let Some(first) = together.first() else { return Ok((Vec::new(), None)) };
        let untouched = self.seek_strays()?;
        let bits = self.bits_of(&first.delivery.flags)?;
        let place = if bits == FlagBits::default() { Place::New } else { Place::Cur };
        let known: Vec<_> =
            together.iter().map(|one| self.known(one.delivery.message_id)).collect::<Result<_, _>>()?;
        // Who is told that a message is here forgets it: its name has to be on disk, whoever gave it and however he ended.
        self.core.names_unsure |= known.iter().any(Option::is_some);
        let new = together.iter_mut().zip(&known).filter(|(_, known)| known.is_none());
        let mut arrivals: Vec<_> = new
            .map(|(Arriving { delivery, summary, staged }, _)| {
                let size = delivery.content.len() as u64;
                Arrival {
                    staged,
                    base: base(delivery),
                    internal_date: delivery.received_at,
                    size,
                    disk_size: size,
                    bits,
                    summary: Some(summary),
                }
            })
            .collect();
        let Arrived { uids, mark, mut failure } = self.arrive(&mut arrivals, place, untouched)?;
        let mut uids = uids.into_iter();
        let mut placed = Vec::with_capacity(together.len());
        for (one, known) in together.iter().zip(known) {
            let duplicate = known.is_some();
            let uid = match known {
                Some(known) => known,
                None => match uids.next() {
                    Some(uid) => Some(uid),
                    // The one that failed.
                    None => break,
                },
            };
            let arrived = uid.filter(|_| !duplicate).map(|uid| (uid, Some(one.delivery.message_id)));
            let delivered = Delivered { uid: uid.map(Uid), duplicate };
            placed.push(Placed { delivered, arrived, mark: Some(mark) });
        }
        if placed.len() == together.len() {
            failure = None;
        }
        Ok((placed, failure))
    }

    /// The UID under which a message is here, or `Some(None)` when it was and went. A record whose file is gone, left by a
    /// write that failed after its work was done, is no message: answering for it would lose the one that comes now.
    fn known(&mut self, id: MessageId) -> Result<Option<Option<u32>>, StoreError> {
        let known = self.core.state.find_id(id);
        if known.flatten().is_none_or(|uid| self.is_there(uid)) {
            return Ok(known);
        }
        self.synchronise(self.core.state.uid_next)?;
        match self.core.state.find_id(id) {
            Some(Some(uid)) if !self.is_there(uid) => Err(StoreError::Busy),
            known => Ok(known),
        }
    }

    /// Publishes staged files as new messages with one record for all of them; `untouched` is what [`Self::seek_strays`] said.
    ///
    /// # Errors
    /// Of none it is known that it is there; of those that were to come to `cur/` none is, where the disk still works.
    pub(super) fn arrive(
        &mut self,
        arrivals: &mut [Arrival<'_>],
        place: Place,
        untouched: bool,
    ) -> Result<Arrived, StoreError> {
        if arrivals.is_empty() {
            return Ok(Arrived { uids: Vec::new(), mark: self.mark(), failure: None });
        }
        let count =
            u32::try_from(arrivals.len()).map_err(|_| StoreError::Limit("messages that arrive together"))?;
        let first = self.allocate(count)?;
        if place == Place::Cur {
            self.announce(count)?;
        }
        self.disturb()?;
        let summaries: Vec<_> =
            (first..).zip(&*arrivals).filter_map(|(uid, one)| Some((uid, one.summary?))).collect();
        let cached: BTreeMap<u32, Position> =
            if summaries.is_empty() { BTreeMap::new() } else { self.cache(&summaries).into_iter().collect() };
        let (mut uids, mut failure) = (Vec::with_capacity(arrivals.len()), None);
        let mut operations = Vec::with_capacity(arrivals.len() + 1);
        for (uid, arrival) in (first..).zip(arrivals) {
            match self.arrive_as(uid, arrival, place) {
                Ok(added) => {
                    uids.push(uid);
                    operations.push(Op::Added(Added { cached: cached.get(&uid).copied(), ..added }));
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if operations.is_empty() {
            return Ok(Arrived { uids, mark: self.mark(), failure });
        }
        let times = match place {
            Place::New => self.touched(Some(untouched), None),
            Place::Cur => self.touched(None, Some(untouched)),
        };
        // Behind an error the times stay struck out or old: what failed may be there all the same, and is to be looked for.
        operations.extend(times.filter(|_| failure.is_none()));
        if let Err(error) = self.record(&operations) {
            if place == Place::Cur {
                self.withdraw(&operations);
            }
            return Err(error);
        }
        Ok(Arrived { uids, mark: self.mark(), failure })
    }

    /// Removes files that have no record: whoever brought them hears that nothing came, and will try again under other ids. A delivery
    /// comes again with the same one, and finds its file.
    fn withdraw(&self, operations: &[Op]) {
        for operation in operations {
            let Op::Added(added) = operation else { continue };
            let path = self.mailbox.path.join(added.place.directory()).join(name_of(added).to_string());
            let removed = self.mailbox.shared.fs.remove_file(&path);
            info!(path = %path.display(), done = removed.is_ok(), "arrival without a record removed");
        }
    }

    /// Records that the next `count` UIDs are given, before files get them: nobody seeks strays in `cur/`, so what a
    /// process leaves there when it dies in between must not have a number that the index believes to be free.
    fn announce(&mut self, count: u32) -> Result<(), StoreError> {
        let state = &self.core.state;
        let (uid_next, mod_seq) = (state.uid_next.saturating_add(count), state.mod_seq);
        self.record(&[Op::Counters { uid_next, mod_seq }])
    }

    /// Renames a staged file to its name with a UID; the record of it is the caller's to write.
    fn arrive_as(&mut self, uid: u32, arrival: &mut Arrival<'_>, place: Place) -> Result<Added, StoreError> {
        let mod_seq = self.next_mod_seq()?;
        let Arrival { ref base, internal_date, size, disk_size, bits, .. } = *arrival;
        let base = base.clone();
        let added = Added { uid, mod_seq, base, internal_date, size, disk_size, bits, place, cached: None };
        let published = arrival.staged.publish(&self.mailbox.path, place, &name_of(&added).to_string());
        published.map_err(|error| self.mailbox.explain(error))?;
        Ok(added)
    }

    /// Removes messages that could not be made durable, and forgets their ids.
    pub(super) fn take_back(&mut self, arrived: &[(u32, Option<MessageId>)]) -> Result<(), StoreError> {
        let uids: Vec<u32> = arrived.iter().map(|(uid, _)| *uid).collect();
        let mod_seq = self.next_mod_seq()?;
        let mut operations = vec![Op::Expunged { mod_seq, at: now(), uids }];
        // In one record: an id that stays known without its message would turn the next try into a duplicate of nothing.
        let ids = arrived.iter().filter_map(|(_, id)| *id);
        operations.extend(ids.map(|id| Op::Forgotten { id: id.to_bytes() }));
        self.record(&operations)?;
        self.settle_removals()
    }
}
