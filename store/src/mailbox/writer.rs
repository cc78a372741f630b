//! The one who may change the mailbox: holds gate, lock file and memory.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use envelope::Timestamp;
use tracing::{debug, error, warn};

use super::commit::Mark;
use super::core::{Core, log_repair, modified};
use super::foreign::age;
use super::stage::sweep;
use super::{LOCK_FILE, Mailbox, locked};
use crate::append_file::AppendFile;
use crate::error::At as _;
use crate::flags::FlagBits;
use crate::fs::{Syncs, is_stale};
use crate::items::{Place, Position};
use crate::journal::{self, Log};
use crate::keywords::Keywords;
use crate::lock::{Locked, Passage};
use crate::record::Op;
use crate::state::DISTURBED;
use crate::summary::Summary;
use crate::uid_validity::{BLOCK, Reservation};
use crate::{Flags, StoreError, account, cache, snapshot};

/// Fields are dropped in this order: memory, then the lock file, then the gate.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) core: MutexGuard<'a, Core>,
    pub(super) mailbox: &'a Mailbox,
    /// The times that [`Self::disturb`] struck out.
    before: Option<(i128, i128)>,
    locked: Locked,
    _passage: Passage<'a>,
}

/// A mailbox's lock in the hands of somebody who changes nothing.
#[derive(Debug)]
pub(crate) struct Held<'a>(Writer<'a>);

impl Held<'_> {
    /// Whether there is no message in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.core.state.items.len() == 0
    }

    /// Whether nobody has written since the lock was taken.
    pub(crate) fn is_current(&self) -> bool {
        let mailbox = self.0.mailbox;
        let found = mailbox.shared.fs.meta(&mailbox.path.join(journal::FILE));
        let log = self.0.core.log.as_ref();
        log.zip(found.ok()).is_some_and(|(log, meta)| meta.identity == log.identity && meta.size == log.end)
    }
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Mailbox {
    /// Waits for the lock up to its deadline, catches up and repairs.
    pub(super) fn writer(&self) -> Result<Writer<'_>, StoreError> {
        self.writer_within(None)
    }

    /// The same with a wait other than `lock_wait_max`.
    pub(super) fn writer_within(&self, wait: Option<Duration>) -> Result<Writer<'_>, StoreError> {
        let deadline = wait.map_or_else(|| self.deadline(), |wait| Instant::now() + wait);
        let result = self.enter(deadline);
        if matches!(result, Err(StoreError::LockTimeout)) {
            self.shared.metrics.lock_timeouts.inc();
        }
        let mut writer = result?;
        writer.prepare().map_err(|error| self.explain(error))?;
        Ok(writer)
    }

    /// As [`Self::writer`], but `None` when anybody has the lock.
    pub(super) fn writer_at_once(&self) -> Result<Option<Writer<'_>>, StoreError> {
        match self.enter(Instant::now()) {
            Err(StoreError::LockTimeout) => Ok(None),
            other => {
                let mut writer = other?;
                writer.prepare().map_err(|error| self.explain(error))?;
                Ok(Some(writer))
            }
        }
    }

    /// Nobody else changes the mailbox while what this gives lives; every message in it has its number.
    pub(crate) fn hold(&self) -> Result<Held<'_>, StoreError> {
        let mut writer = self.writer()?;
        writer.synchronise(writer.core.state.uid_next)?;
        Ok(Held(writer))
    }

    /// Folds the journal into the index now.
    #[cfg(test)]
    pub(crate) fn fold(&self) -> Result<(), StoreError> {
        self.writer()?.write_snapshot()
    }

    pub(super) fn enter(&self, deadline: Instant) -> Result<Writer<'_>, StoreError> {
        let passage = self.gate.enter(deadline).ok_or(StoreError::LockTimeout)?;
        let held = self.lock.lock(deadline).map_err(|error| self.explain(error))?;
        Ok(Writer { core: locked(&self.core), mailbox: self, before: None, locked: held, _passage: passage })
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.show();
    }
}

impl Writer<'_> {
    fn prepare(&mut self) -> Result<(), StoreError> {
        self.catch_up_or_repair()?;
        if self.locked.has_note() {
            self.synchronise(self.core.state.uid_next)?;
            self.locked.remove_note().at("clear", &self.mailbox.path.join(LOCK_FILE))?;
        }
        Ok(())
    }

    fn catch_up_or_repair(&mut self) -> Result<(), StoreError> {
        let sound = if self.core.damage.is_none() { self.core.catch_up(self.mailbox)? } else { false };
        if sound && self.core.log.is_some() {
            return Ok(());
        }
        // Another process may have repaired it meanwhile; only our own failed write is known better here.
        if self.core.damage != Some("failed_write") {
            self.core.damage = None;
            let sound = self.core.load(self.mailbox)?;
            if sound {
                return Ok(());
            }
        }
        self.repair()
    }

    /// Makes counters, snapshot and journal whole again from what there is.
    fn repair(&mut self) -> Result<(), StoreError> {
        let reason = self.core.damage.unwrap_or("torn");
        let fresh =
            self.core.reservation.is_some_and(|found| found.uid_end == 1) && self.core.state.uid_next == 1;
        let reservation = match self.core.reservation {
            Some(reservation) => reservation,
            None => self.renew_reservation()?,
        };
        self.core.state.uid_validity = reservation.uid_validity;
        // Beyond what the snapshot and the good part of the journal tell of, the files' names say which message is which.
        let known_below = if self.core.state.items.len() == 0 { 1 } else { self.core.state.uid_next };
        if reason != "unfinished" {
            // Numbers up to the end of the reserved block may have been given.
            self.core.state.raise(reservation.uid_end, reservation.mod_seq_end.saturating_sub(1));
        }
        let keywords = Keywords::load(&*self.mailbox.shared.fs, &self.mailbox.path)?;
        self.core.state.keywords = Arc::new(keywords);
        self.core.reservation = Some(reservation);
        self.core.loaded = true;
        self.core.changed = true;
        // A journal that is not to be trusted gets no more appends; the snapshot below starts a new one.
        self.core.damage = Some(reason);
        self.synchronise(known_below)?;
        self.write_snapshot()?;
        self.core.damage = None;
        if !fresh && reason != "unfinished" {
            log_repair(self.mailbox, reason);
        }
        Ok(())
    }

    /// The file is lost: the index may know the old value; else a new one, larger than any before.
    fn renew_reservation(&mut self) -> Result<Reservation, StoreError> {
        let mailbox = self.mailbox;
        let state = &self.core.state;
        let reservation = if state.uid_validity != 0 {
            Reservation {
                uid_validity: state.uid_validity,
                uid_end: state.uid_next.saturating_add(BLOCK),
                mod_seq_end: state.mod_seq.saturating_add(u64::from(BLOCK)),
            }
        } else {
            let uid_validity = account::next_uid_validity(&mailbox.shared, &mailbox.account)?;
            Reservation::fresh(uid_validity)
        };
        reservation.save(&*mailbox.shared.fs, &mailbox.path)?;
        Ok(reservation)
    }

    /// Gives the first of `count` new UIDs.
    pub(super) fn allocate(&mut self, count: u32) -> Result<u32, StoreError> {
        let first = self.core.state.uid_next;
        let end = first.checked_add(count).ok_or(StoreError::Limit("UIDs of one mailbox"))?;
        self.reserve(end, self.core.state.mod_seq)?;
        Ok(first)
    }

    /// Gives a new mod-sequence.
    pub(super) fn next_mod_seq(&mut self) -> Result<u64, StoreError> {
        let next = self.core.state.mod_seq.saturating_add(1);
        self.reserve(self.core.state.uid_next, next)?;
        Ok(next)
    }

    fn reserve(&mut self, uid_end: u32, mod_seq: u64) -> Result<(), StoreError> {
        let old = self.core.reservation.ok_or(StoreError::NoSuchMailbox)?;
        if uid_end <= old.uid_end && mod_seq < old.mod_seq_end {
            return Ok(());
        }
        let new = Reservation {
            uid_end: old.uid_end.max(uid_end.saturating_add(BLOCK)),
            mod_seq_end: old.mod_seq_end.max(mod_seq.saturating_add(u64::from(BLOCK))),
            ..old
        };
        new.save(&*self.mailbox.shared.fs, &self.mailbox.path)
            .map_err(|error| self.mailbox.explain(error))?;
        self.core.reservation = Some(new);
        Ok(())
    }

    /// Writes one record and applies it. While a repair is under way it is only applied: a snapshot follows.
    pub(super) fn record(&mut self, operations: &[Op]) -> Result<(), StoreError> {
        if operations.is_empty() {
            return Ok(());
        }
        let core = &mut *self.core;
        core.hidden = true;
        if core.damage.is_none()
            && let Some(log) = &mut core.log
            && let Err(error) = log.append(&*self.mailbox.shared.fs, operations)
        {
            if is_stale(&error) {
                // The lock was lost and another node has written: what it wrote is read before anything else is done.
                core.loaded = false;
            } else {
                core.damage = Some("failed_write");
            }
            return Err(error).at("append to", &self.mailbox.path.join(journal::FILE));
        }
        if operations.iter().any(Op::must_be_synced)
            && let Some(log) = &core.log
        {
            core.needed = Mark { generation: log.generation, end: log.end };
        }
        let before = core.usage();
        core.state.apply_all(operations);
        if core.state.directories != Some(DISTURBED) {
            self.before = None;
        }
        if core.damage.is_none() {
            self.mailbox.shared.usages.changed(&self.mailbox.account, before, core.usage());
        } else {
            // An index that is being made anew begins with nothing: what it takes in was counted before.
            self.mailbox.shared.usages.forget(&self.mailbox.account);
        }
        core.changed = true;
        core.own = true;
        if !core.state.owed.is_empty() || !core.state.removals.is_empty() {
            core.pending_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Bits for `flags`, with new letters for new keywords.
    pub(super) fn bits_of(&mut self, flags: &Flags) -> Result<FlagBits, StoreError> {
        if flags.keywords.is_empty() {
            return Ok(FlagBits::system(flags));
        }
        let state = &self.core.state;
        let used = || state.items.tally().used;
        if let Some(table) = state.keywords.extended(flags, used)? {
            table.save(&*self.mailbox.shared.fs, &self.mailbox.path)?;
            self.record(&[Op::Keywords(table.0)])?;
        }
        Ok(self.core.state.keywords.known_bits(flags))
    }

    /// On a network file system the next holder of the lock sees only what is synced, so that comes before the lock is
    /// given back; else one sync later serves all who wait.
    fn show(&mut self) {
        let core = &mut *self.core;
        if !self.mailbox.shared.network {
            return;
        }
        let hidden = std::mem::take(&mut core.hidden);
        if let Some(cache) = &mut core.cache {
            let synced = if hidden { cache.written().sync() } else { Ok(()) };
            cache.release();
            if let Err(error) = synced {
                warn!(mailbox = %self.mailbox.path.display(), %error, "summary cache not synced");
                core.cache = None;
            }
        }
        let Some(log) = &mut core.log else { return };
        let file = log.file.written();
        log.file.release();
        if !hidden {
            return;
        }
        let mark = Mark { generation: log.generation, end: log.end };
        let path = self.mailbox.path.join(journal::FILE);
        let directories = std::mem::take(&mut core.unsynced);
        // Names first, as in a commit; and the journal in any case, for what is shown late lands on what others wrote.
        let names = self.mailbox.sync_directories(directories);
        let shown = file.sync().at("sync", &path);
        match names.and(shown) {
            Ok(()) => core.flushed = mark,
            Err(failure) => {
                error!(mailbox = %self.mailbox.path.display(), error = %failure, "sync failed, the index will be written anew");
                core.unsynced = (true, true);
                core.flush_failed = mark;
                core.damage = Some("failed_write");
            }
        }
    }

    /// Puts summaries into the cache; a cache that can't be written is no reason to fail.
    pub(super) fn cache(&mut self, summaries: &[(u32, &Summary)]) -> Vec<(u32, Position)> {
        let mailbox = self.mailbox;
        if !self.core.cache_is_current {
            // A reader may have opened it while somebody was putting another into its place.
            self.core.cache = None;
        }
        let file = self.core.cache_file(mailbox);
        let positions = file.and_then(|file| {
            cache::append(&*mailbox.shared.fs, file, summaries)
                .at("append to", &self.mailbox.path.join(cache::FILE))
        });
        self.core.cache_is_current = positions.is_ok();
        positions.unwrap_or_else(|error| {
            warn!(%error, "summary cache not written");
            self.core.cache = None;
            Vec::new()
        })
    }

    /// Leaves the records of messages that are gone out of the cache, when they are most of it: into a new file, to be
    /// installed behind the index that knows it. Gives whether there is one.
    fn compact_cache(&mut self) -> bool {
        let mailbox = self.mailbox;
        let core = &mut *self.core;
        let live: u64 = core.state.items.iter().filter_map(|item| Some(u64::from(item.cached?.length))).sum();
        let fs = &*mailbox.shared.fs;
        let size = fs.meta(&mailbox.path.join(cache::FILE)).map_or(0, |meta| meta.size);
        let waste = size.saturating_sub(live);
        if waste < mailbox.shared.config.cache_waste_max.as_u64() || waste < live {
            return false;
        }
        let wanted = core.state.items.iter().filter_map(|item| Some((item.uid(), item.cached?))).collect();
        core.cache = None;
        let compacted = core.cache_file(mailbox).map(|file| file.reader()).and_then(|file| {
            cache::compacted(fs, &mailbox.path, &*file, wanted).at("write", &mailbox.path.join(cache::FILE))
        });
        match compacted {
            Ok(positions) => {
                core.state.apply_all(&[Op::Cached { positions }]);
                true
            }
            Err(error) => {
                warn!(%error, "summary cache not compacted");
                false
            }
        }
    }

    /// To be called before our own change of a directory: whether another program changed it before.
    pub(super) fn is_untouched(&self, place: Place) -> bool {
        let known = self.core.state.directories.map(|(new, cur)| if place == Place::New { new } else { cur });
        modified(self.mailbox, place).is_ok_and(|now| known == Some(now))
    }

    /// To be called before a file with a new UID gets its name: strikes out the recorded times, so that whoever has the lock
    /// next looks at the files unless [`Self::touched`] is recorded. Another change in the same step of the file system's
    /// clock would not show, and a process that dies in between would leave a number that somebody else gives again.
    pub(super) fn disturb(&mut self) -> Result<(), StoreError> {
        match self.core.state.directories {
            Some(times) if times != DISTURBED && !self.next_change_shows(times) => {
                self.before = Some(times);
                self.record(&[Op::Directories { new: DISTURBED.0, cur: DISTURBED.1 }])
            }
            _ => Ok(()),
        }
    }

    /// Whether a change from now on gives the directories another time for certain: where the file system's clock is ours, and
    /// has gone on since.
    fn next_change_shows(&self, (new, cur): (i128, i128)) -> bool {
        let resolution = self.mailbox.shared.config.mtime_resolution.as_duration();
        !self.mailbox.shared.network && [new, cur].into_iter().all(|time| age(time) >= resolution)
    }

    /// To be called after our own change of directories that were untouched: the times to be recorded.
    pub(super) fn touched(&mut self, new: Option<bool>, cur: Option<bool>) -> Option<Op> {
        let (mut new_time, mut cur_time) = self.before.take().or(self.core.state.directories)?;
        self.core.unsynced.0 |= new.is_some();
        self.core.unsynced.1 |= cur.is_some();
        self.core.look_again.get_or_insert_with(Instant::now);
        if new == Some(true) {
            new_time = modified(self.mailbox, Place::New).unwrap_or(new_time);
        }
        if cur == Some(true) {
            cur_time = modified(self.mailbox, Place::Cur).unwrap_or(cur_time);
        }
        Some(Op::Directories { new: new_time, cur: cur_time })
    }

    /// Where the journal is now; folds it into the index when it has grown.
    pub(super) fn mark(&mut self) -> Mark {
        let limit = self.mailbox.shared.config.journal_size_max.as_u64();
        let end = self.core.log.as_ref().map_or(0, |log| log.end);
        if end > limit
            && end > self.core.snapshot_size
            && let Err(error) = self.write_snapshot()
        {
            warn!(mailbox = %self.mailbox.path.display(), %error, "journal not folded into the index");
        }
        self.core
            .log
            .as_ref()
            .map_or_else(Mark::default, |log| Mark { generation: log.generation, end: log.end })
    }

    /// Writes the state as a new index with an empty journal. What is owed to the directories is synced first.
    pub(super) fn write_snapshot(&mut self) -> Result<(), StoreError> {
        let mailbox = self.mailbox;
        let fs = &*mailbox.shared.fs;
        let directories = self.core.unsynced;
        mailbox.sync_directories(directories)?;
        self.core.unsynced = (false, false);
        let kept = mailbox.shared.config.message_ids_kept.as_duration();
        let now = now();
        self.core.state.gone.retain(|_, at| now.since(*at) < kept);
        let generation = self.core.log.as_ref().map_or(0, |log| log.generation) + 1;
        let compacted = self.compact_cache();
        let log = Log::prepare(
            fs,
            &mailbox.path,
            generation,
            self.core.state.uid_validity,
            mailbox.shared.network,
        )?;
        let saved = snapshot::save(fs, &mailbox.path, generation, &self.core.state, Syncs::Each);
        let installed = saved.and_then(|size| Log::install(fs, &mailbox.path).map(|()| size));
        match installed {
            Ok(size) => {
                debug!(mailbox = %mailbox.path.display(), size, "index written");
                sweep(&mailbox.shared, &mailbox.path.join("tmp"));
                self.core.snapshot_size = size;
                self.core.log = Some(log);
                if compacted {
                    if let Err(error) = cache::install_compacted(fs, &mailbox.path) {
                        warn!(%error, "summaries will be parsed anew");
                    }
                    self.core.cache = None;
                    self.core.cache_is_current = false;
                }
                Ok(())
            }
            Err(error) => {
                // Whether the new index is in place is not known: start over from the files.
                self.core.damage = Some("failed_write");
                self.core.log = Some(Log { file: log.file, identity: (0, 0), generation, end: 0 });
                Err(error)
            }
        }
    }
}

impl Core {
    pub(super) fn cache_file(&mut self, mailbox: &Mailbox) -> Result<&mut AppendFile, StoreError> {
        let file = match self.cache.take() {
            Some(file) => file,
            None => cache::open(&*mailbox.shared.fs, &mailbox.path, mailbox.shared.network)?,
        };
        Ok(self.cache.insert(file))
    }
}
