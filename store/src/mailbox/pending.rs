//! What the journal already says and the Maildir does not show yet: renames for flags, removals of expunged files.
//!
//! The journal is the redo log: a crash before, between or after these steps is made good by whoever opens the
//! mailbox next.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::warn;

use super::core::Core;
use super::writer::Writer;
use super::{Mailbox, locked, try_locked};
use crate::StoreError;
use crate::error::At as _;
use crate::flags::FlagBits;
use crate::items::Place;
use crate::record::Op;

impl Mailbox {
    /// After a change of flags: the names follow, for all that changes meanwhile together.
    pub(super) fn let_names_follow(&self, changed: usize) {
        if self.shared.config.pending_rename_interval.as_duration().is_zero() {
            self.settle_if_small(changed);
        } else if self.is_large(changed) {
            self.note_owed();
        }
    }

    /// Renames and removes at once when it is little work; else the upkeep does it.
    pub(super) fn settle_if_small(&self, changed: usize) {
        if self.is_large(changed) {
            self.note_owed();
        } else if changed > 0
            && let Err(error) = self.settle_pending()
        {
            warn!(mailbox = %self.path.display(), %error, "renames left for later");
        }
    }

    fn is_large(&self, changed: usize) -> bool {
        changed > self.shared.config.small_change_max as usize
    }

    /// For the upkeep of other nodes, should this one die.
    fn note_owed(&self) {
        self.noted.store(true, Ordering::Release);
        self.shared.note_owed(&self.account, &self.path);
    }

    /// Renames and removes what is owed, as far as this process knows of it.
    pub(crate) fn settle_pending(&self) -> Result<(), StoreError> {
        if self.has_pending() { self.settle_all() } else { Ok(()) }
    }

    /// The same after a look at what others have left in the journal.
    pub(super) fn settle_all(&self) -> Result<(), StoreError> {
        let found = locked(&self.core).look_now;
        let mark = {
            let mut writer = self.writer()?;
            if writer.core.look_now {
                writer.notice_foreign_changes()?;
            }
            writer.settle_renames()?;
            writer.settle_removals()?;
            if writer.core.pending_since.is_none() && self.noted.swap(false, Ordering::AcqRel) {
                self.shared.forget_owed(&self.path);
            }
            writer.mark()
        };
        // What was found is shown; for our own renames nobody waits.
        if found { self.commit(mark) } else { Ok(()) }
    }

    /// Never waits: a mailbox that somebody is working on, perhaps on a disk that hangs, counts as one that owes something.
    pub(crate) fn has_pending(&self) -> bool {
        try_locked(&self.core).is_none_or(|core| core.pending_since.is_some() || core.look_now)
    }

    /// Whether something has waited for long enough. Whoever works on it now is not waited for: the next look comes.
    pub(crate) fn is_due(&self) -> bool {
        let interval = self.shared.config.pending_rename_interval.as_duration();
        let is_due = |core: &Core| {
            core.look_now || core.pending_since.is_some_and(|since| since.elapsed() >= interval)
        };
        try_locked(&self.core).is_some_and(|core| is_due(&core))
    }
}

impl Writer<'_> {
    fn settle_renames(&mut self) -> Result<(), StoreError> {
        if self.core.state.owed.is_empty() {
            return Ok(());
        }
        let fs = self.mailbox.shared.fs.clone();
        let untouched = (self.is_untouched(Place::New), self.is_untouched(Place::Cur));
        let mut renamed: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        let (mut from_new, mut lost) = (false, false);
        for uid in self.core.state.owed.clone() {
            let Some((_, item)) = self.core.state.items.by_uid(uid) else { continue };
            let from = self.mailbox.path.join(item.place.directory()).join(item.file_name());
            let bits = item.bits;
            let to = self.mailbox.path.join("cur").join(item.name_with(bits, Place::Cur));
            from_new |= item.place == Place::New;
            self.mailbox.cur_behind.store(true, Ordering::Release);
            match fs.rename(&from, &to) {
                Ok(()) => renamed.entry(bits.0).or_default().push(uid),
                Err(_) if fs.meta(&to).is_ok() => renamed.entry(bits.0).or_default().push(uid),
                Err(error) if error.kind() == io::ErrorKind::NotFound => lost = true,
                Err(error) => return Err(error).at("rename", &from),
            }
        }
        let named = renamed.into_iter();
        let named = named.map(|(bits, uids)| Op::Named { place: Place::Cur, bits: FlagBits(bits), uids });
        let mut operations: Vec<Op> = named.collect();
        operations.extend(self.touched(from_new.then_some(untouched.0), Some(untouched.1)));
        // A record that outlives its rename looks like another program's change.
        let directories = std::mem::take(&mut self.core.unsynced);
        self.mailbox.sync_directories(directories).inspect_err(|_| self.core.unsynced = (true, true))?;
        self.record(&operations)?;
        if lost {
            // Another program renamed or removed some: a listing tells which.
            self.synchronise(self.core.state.uid_next)?;
        }
        self.note_pending();
        Ok(())
    }

    pub(super) fn settle_removals(&mut self) -> Result<(), StoreError> {
        if self.core.state.removals.is_empty() {
            self.note_pending();
            return Ok(());
        }
        let fs = self.mailbox.shared.fs.clone();
        let untouched = (self.is_untouched(Place::New), self.is_untouched(Place::Cur));
        let (mut in_new, mut in_cur) = (false, false);
        let (mut uids, mut lost) = (Vec::new(), Vec::new());
        for place in [Place::New, Place::Cur] {
            self.mailbox.shared.freshen(&self.mailbox.path.join(place.directory()));
        }
        for (uid, removal) in self.core.state.removals.clone() {
            let path = self.mailbox.path.join(removal.place.directory()).join(&removal.name);
            match fs.remove_file(&path) {
                Ok(()) => uids.push(uid),
                Err(error) if error.kind() == io::ErrorKind::NotFound => lost.push(uid),
                Err(error) => return Err(error).at("remove", &path),
            }
            in_new |= removal.place == Place::New;
            in_cur |= removal.place == Place::Cur;
        }
        if !lost.is_empty() {
            (in_new, in_cur) = (true, true);
            // Renamed by another program, or already gone. What is not known to be gone waits: forgotten, its file would
            // be taken for a new message.
            if self.remove_expunged_files()? {
                uids.append(&mut lost);
            }
        }
        // Only a removal that a power cut can't undo may be forgotten.
        self.mailbox.sync_directories((in_new, in_cur))?;
        let mut operations: Vec<Op> = if uids.is_empty() { Vec::new() } else { vec![Op::Removed { uids }] };
        operations.extend(self.touched(in_new.then_some(untouched.0), in_cur.then_some(untouched.1)));
        self.record(&operations)?;
        self.note_pending();
        Ok(())
    }

    fn note_pending(&mut self) {
        let core = &mut *self.core;
        if core.state.owed.is_empty() && core.state.removals.is_empty() {
            core.pending_since = None;
        } else {
            core.pending_since = Some(Instant::now());
        }
    }
}
