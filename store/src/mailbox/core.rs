//! The mailbox in memory together with the open files it came from.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Instant;

use envelope::Usage;
use tracing::warn;

use super::commit::Mark;
use super::{LOCK_FILE, Mailbox};
use crate::StoreError;
use crate::append_file::AppendFile;
use crate::error::At as _;
use crate::file_name::FileName;
use crate::fs::{FileKind, is_stale, is_there};
use crate::items::Place;
use crate::journal::{self, Log};
use crate::keywords::Keywords;
use crate::record::Op;
use crate::snapshot::{self, Found};
use crate::state::State;
use crate::uid_validity::Reservation;

/// What a look without the lock found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peek {
    Ready,
    /// Something must be repaired, or another program changed the directories.
    NeedsWriter,
}

#[derive(Debug, Default)]
pub(super) struct Core {
    pub(super) state: State,
    pub(super) log: Option<Log>,
    pub(super) cache: Option<AppendFile>,
    /// The cache was opened by the lock's holder since the index was last loaded: nobody has replaced it since.
    pub(super) cache_is_current: bool,
    /// None while unknown to this process.
    pub(super) reservation: Option<Reservation>,
    pub(super) loaded: bool,
    /// Why index and journal must be written anew.
    pub(super) damage: Option<&'static str>,
    /// Directories with changes that are not synced: new, cur.
    pub(super) unsynced: (bool, bool),
    /// Both may have names of an earlier process, which died before it synced them; somebody relies on those now.
    pub(super) names_unsure: bool,
    /// A change of our own may hide one of another program; since when.
    pub(super) look_again: Option<Instant>,
    /// The directories were changed without the lock: they are listed whatever their times say.
    pub(super) look_now: bool,
    /// `new/` was looked through for files that a dead process left without a record.
    pub(super) strays_sought: bool,
    /// Since when renames or removals wait.
    pub(super) pending_since: Option<Instant>,
    /// The state is newer than the picture.
    pub(super) changed: bool,
    /// By something that this process wrote: other nodes don't know of it.
    pub(super) own: bool,
    pub(super) snapshot_size: u64,
    /// The journal's end behind the last record that must be on disk before it is shown. A delivery's need not: the file's
    /// synced name says all of it.
    pub(super) needed: Mark,
    /// The journal or the cache has data that other machines don't see yet.
    pub(super) hidden: bool,
    /// How far the lock's holder synced the journal before it gave the lock back, and how far that failed.
    pub(super) flushed: Mark,
    pub(super) flush_failed: Mark,
}

/// A snapshot may be replaced between reading it and its journal; then read again.
const LOAD_TRIES: u32 = 5;

impl Core {
    /// Loads or catches up without the lock, and looks for foreign changes.
    pub(super) fn peek(&mut self, mailbox: &Mailbox) -> Result<Peek, StoreError> {
        if self.damage.is_some() {
            return Ok(Peek::NeedsWriter);
        }
        let current = self.catch_up(mailbox)?;
        if !current || self.log.is_none() || self.foreign_change(mailbox)? || self.has_stray(mailbox)? {
            return Ok(Peek::NeedsWriter);
        }
        Ok(Peek::Ready)
    }

    pub(super) const fn usage(&self) -> Usage {
        Usage { octets: self.state.octets, messages: self.state.items.len() as u64 }
    }

    /// Applies what other processes wrote. False when there is damage, for which a writer is needed.
    pub(super) fn catch_up(&mut self, mailbox: &Mailbox) -> Result<bool, StoreError> {
        let fs = &*mailbox.shared.fs;
        let path = mailbox.path.join(journal::FILE);
        mailbox.shared.freshen(&mailbox.path);
        if self.loaded
            && let Some(log) = &mut self.log
        {
            match fs.meta(&path) {
                Ok(meta) if meta.identity == log.identity && meta.size == log.end => return Ok(true),
                Ok(meta) if meta.identity == log.identity && meta.size > log.end => match log.tail() {
                    Ok(tail) => {
                        log.end = tail.end;
                        self.changed |= !tail.operations.is_empty();
                        if tail.operations.iter().any(Op::must_be_synced) {
                            self.needed = Mark { generation: log.generation, end: log.end };
                        }
                        self.state.apply_all(&tail.operations);
                        return Ok(!tail.torn);
                    }
                    Err(error) if is_stale(&error) => {}
                    Err(error) => return Err(error).at("read", &path),
                },
                Ok(_) => {}
                Err(error) if is_stale(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let cur = mailbox.path.join("cur");
                    if !is_there(fs, &cur).at("look at", &cur)? {
                        return Err(mailbox.missing());
                    }
                }
                Err(error) => return Err(error).at("look at", &path),
            }
        }
        self.load(mailbox).map_err(|error| mailbox.explain(error))
    }

    /// Reads everything anew. False when something is missing or damaged.
    pub(super) fn load(&mut self, mailbox: &Mailbox) -> Result<bool, StoreError> {
        self.cache = None;
        self.cache_is_current = false;
        for attempt in 1..=LOAD_TRIES {
            match self.try_load(mailbox) {
                Ok(Some(sound)) => return Ok(sound),
                Ok(None) => {}
                // Another node replaced a file between our opening and reading it.
                Err(error) if error.is_stale() && attempt < LOAD_TRIES => {}
                Err(error) => return Err(error),
            }
        }
        self.damage = Some("damaged");
        Ok(false)
    }

    /// `None` when index and journal do not belong together.
    fn try_load(&mut self, mailbox: &Mailbox) -> Result<Option<bool>, StoreError> {
        let (fs, directory) = (&*mailbox.shared.fs, &*mailbox.path);
        mailbox.shared.freshen(directory);
        fs.meta(&directory.join("cur")).at("look at", &directory.join("cur"))?;
        let reservation = Reservation::load(fs, directory)?;
        let keywords = Keywords::load(fs, directory)?;
        let (snapshot, problem) = match snapshot::load(fs, directory)? {
            Found::Good(snapshot) => (Some(snapshot), None),
            Found::Missing => (None, Some("missing")),
            Found::Damaged => (None, Some("damaged")),
        };
        let log = Log::open(fs, directory, mailbox.shared.network)?;
        self.reservation = reservation;
        self.changed = true;
        let Some(snapshot) = snapshot else {
            let uid_validity = reservation.map_or(0, |reservation| reservation.uid_validity);
            self.state = State::new(uid_validity, keywords);
            self.log = log;
            self.damage = problem;
            return Ok(Some(false));
        };
        self.state = snapshot.state;
        let sound = match log {
            Some(mut log) if log.generation == snapshot.generation => {
                let tail = log.tail().at("read", &directory.join(journal::FILE))?;
                self.state.apply_all(&tail.operations);
                log.end = tail.end;
                self.needed = Mark { generation: log.generation, end: log.end };
                self.log = Some(log);
                !tail.torn
            }
            Some(log) if log.generation > snapshot.generation => return Ok(None),
            // A crash came between the two renames of a compaction: the snapshot has it all.
            Some(log) => {
                self.log = Some(Log { generation: snapshot.generation, end: 0, ..log });
                self.damage = Some("unfinished");
                false
            }
            None => {
                self.log = None;
                self.damage = Some("missing");
                false
            }
        };
        self.state.set_keywords(keywords);
        self.strays_sought = false;
        self.look_now = fs.meta(&directory.join(LOCK_FILE)).is_ok_and(|meta| meta.size > 0);
        let same = reservation.is_some_and(|found| found.uid_validity == self.state.uid_validity);
        let sound = sound && same && reservation.is_some_and(|found| self.is_reserved(found));
        self.loaded = true;
        if self.state.owed.is_empty() && self.state.removals.is_empty() {
            self.pending_since = None;
        } else {
            self.pending_since.get_or_insert_with(Instant::now);
        }
        Ok(Some(sound))
    }

    const fn is_reserved(&self, reservation: Reservation) -> bool {
        self.state.uid_next <= reservation.uid_end && self.state.mod_seq < reservation.mod_seq_end
    }

    /// Right after loading, and before anybody trusts the times of the directories: whether there is a file in `new/` with
    /// a UID that the index believes to be free. Its record was lost, or its process died before it wrote one.
    pub(super) fn has_stray(&mut self, mailbox: &Mailbox) -> Result<bool, StoreError> {
        if self.strays_sought {
            return Ok(false);
        }
        let directory = mailbox.path.join(Place::New.directory());
        let names = mailbox.shared.fs.list(&directory).at("list", &directory);
        let mut names = names.map_err(|error| mailbox.explain(error))?;
        names.retain(|item| item.kind == FileKind::File);
        let uid = |name: &OsString| FileName::parse(name.as_bytes()).and_then(|name| name.uid);
        let stray = names.iter().filter_map(|item| uid(&item.name)).any(|uid| uid >= self.state.uid_next);
        self.strays_sought = !stray;
        Ok(stray)
    }

    /// Whether another program may have changed the directories.
    fn foreign_change(&self, mailbox: &Mailbox) -> Result<bool, StoreError> {
        let interval = mailbox.shared.config.foreign_check_interval.as_duration();
        if self.look_now || self.look_again.is_some_and(|since| since.elapsed() >= interval) {
            return Ok(true);
        }
        let now = (modified(mailbox, Place::New)?, modified(mailbox, Place::Cur)?);
        Ok(self.state.directories != Some(now))
    }

    /// Where the journal is when there is something that no picture shows.
    pub(super) fn unpublished(&self) -> Option<Mark> {
        self.log
            .as_ref()
            .filter(|_| self.changed)
            .map(|log| Mark { generation: log.generation, end: log.end })
    }
}

pub(super) fn modified(mailbox: &Mailbox, place: Place) -> Result<i128, StoreError> {
    let path = mailbox.path.join(place.directory());
    let meta = mailbox.shared.fs.meta(&path).at("look at", &path);
    meta.map(|meta| meta.modified).map_err(|error| mailbox.explain(error))
}

/// Logged once for every repair.
pub(super) fn log_repair(mailbox: &Mailbox, reason: &'static str) {
    mailbox.shared.metrics.rebuilds.with_label_values(&[reason]).inc();
    warn!(mailbox = %mailbox.path.display(), reason, "mailbox index rebuilt from file names");
}
