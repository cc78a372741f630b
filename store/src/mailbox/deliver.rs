//! Delivery: exactly one message for one id, durable before it is answered.
//!
//! ```text
//! tmp: create write utimens fsync fstat close │ flock lstat stat×3 │ cache: fstat pwrite │ rename stat journal: pwrite │ unlock │ fsync new/
//! ```

use std::time::{Duration, Instant};

use envelope::MessageId;
use tracing::{info, warn};

use super::commit::Mark;
use super::stage::Staged;
use super::writer::{Writer, now};
use super::{Mailbox, locked};
use crate::file_name::{Base, FileName};
use crate::flags::FlagBits;
use crate::items::Place;
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
    pub(super) place: Place,
    pub(super) summary: Option<&'a Summary>,
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
        match locked(&self.core).state.find_id(id) {
            Some(known) => Ok(Some(Delivered { uid: known.map(Uid), duplicate: true })),
            None => room.map(|()| None),
        }
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
        let mut arriving = arriving.into_iter();
        let mut held = None;
        while let Some(next) = arriving.next() {
            let writer = match held.take() {
                Some(writer) => Ok(writer),
                None => self.writer_within(wait),
            };
            match writer {
                Ok(mut writer) => {
                    let done = writer.place(next);
                    // What failed may have to be repaired, which is done with the lock taken anew.
                    held = done.is_ok().then_some(writer);
                    placed.push(done);
                }
                Err(StoreError::LockTimeout) if wait.is_none() => {
                    let rest = std::iter::once(next).chain(arriving);
                    placed.extend(rest.map(|one| self.deliver_unlocked(one)));
                    return placed;
                }
                Err(error) => {
                    placed.extend(arriving.by_ref().map(|_| Err(error.clone())));
                    placed.push(Err(error));
                }
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

/// What a delivery's file name begins with.
const fn base(delivery: &Delivery<'_>) -> Base {
    Base::Own { seconds: delivery.received_at.unix_seconds(), id: delivery.message_id }
}

impl Writer<'_> {
    fn place(&mut self, arriving: Arriving<'_>) -> Result<Placed, StoreError> {
        let Arriving { delivery, summary, mut staged } = arriving;
        let untouched = self.seek_strays()?;
        if let Some(known) = self.known(delivery.message_id)? {
            let delivered = Delivered { uid: known.map(Uid), duplicate: true };
            return Ok(Placed { delivered, arrived: None, mark: Some(self.mark()) });
        }
        let bits = self.bits_of(&delivery.flags)?;
        let size = delivery.content.len() as u64;
        let arrival = Arrival {
            staged: &mut staged,
            base: base(delivery),
            internal_date: delivery.received_at,
            size,
            disk_size: size,
            bits,
            place: if bits == FlagBits::default() { Place::New } else { Place::Cur },
            summary: Some(summary),
        };
        let (uid, mark) = self.arrive(arrival, untouched)?;
        let delivered = Delivered { uid: Some(Uid(uid)), duplicate: false };
        Ok(Placed { delivered, arrived: Some((uid, Some(delivery.message_id))), mark: Some(mark) })
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

    /// Publishes a staged file as a new message; `untouched` is what [`Self::seek_strays`] said.
    pub(super) fn arrive(
        &mut self,
        arrival: Arrival<'_>,
        untouched: bool,
    ) -> Result<(u32, Mark), StoreError> {
        let uid = self.allocate(1)?;
        if arrival.place == Place::Cur {
            self.announce(1)?;
        }
        self.disturb()?;
        let added = self.arrive_as(uid, arrival)?;
        let place = added.place;
        let mut operations = vec![Op::Added(added)];
        let times = match place {
            Place::New => self.touched(Some(untouched), None),
            Place::Cur => self.touched(None, Some(untouched)),
        };
        operations.extend(times);
        self.record(&operations)?;
        Ok((uid, self.mark()))
    }

    /// Records that the next `count` UIDs are given, before files get them: nobody seeks strays in `cur/`, so what a
    /// process leaves there when it dies in between must not have a number that the index believes to be free.
    pub(super) fn announce(&mut self, count: u32) -> Result<(), StoreError> {
        let state = &self.core.state;
        let (uid_next, mod_seq) = (state.uid_next.saturating_add(count), state.mod_seq);
        self.record(&[Op::Counters { uid_next, mod_seq }])
    }

    /// Renames a staged file to its name with a UID; the record of it is the caller's to write.
    pub(super) fn arrive_as(&mut self, uid: u32, arrival: Arrival<'_>) -> Result<Added, StoreError> {
        let mod_seq = self.next_mod_seq()?;
        let position = arrival.summary.and_then(|summary| self.cache(&[(uid, summary)]).pop());
        let name = FileName {
            base: arrival.base.clone(),
            uid: Some(uid),
            disk_size: Some(arrival.disk_size),
            wire_size: Some(arrival.size),
            flags: (arrival.place == Place::Cur).then_some(arrival.bits),
        };
        let published = arrival.staged.publish(&self.mailbox.path, arrival.place, &name.to_string());
        published.map_err(|error| self.mailbox.explain(error))?;
        Ok(Added {
            uid,
            mod_seq,
            base: arrival.base,
            internal_date: arrival.internal_date,
            size: arrival.size,
            disk_size: arrival.disk_size,
            bits: arrival.bits,
            place: arrival.place,
            cached: position.map(|(_, position)| position),
        })
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
