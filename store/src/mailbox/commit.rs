//! Durability: nothing is shown to a client or answered before it is synced, and one sync serves all who wait.
//!
//! The lock is not held meanwhile. That is safe because pictures are made only of what is synced: a number lost
//! with an unsynced tail of the journal was never told to anybody.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::error;

use super::core::Core;
use super::{Mailbox, locked};
use crate::error::At as _;
use crate::items::Place;
use crate::{StoreError, View, journal};

/// A point in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark {
    pub(crate) generation: u64,
    pub(crate) end: u64,
}

/// How far the journal is on disk.
#[derive(Debug, Default)]
pub(super) struct Synced {
    good: Mark,
    /// How far the journal itself is: behind `good` by records that files' names tell as well.
    journal: Mark,
    /// Syncs behind the first and up to the second failed: what lies between is not to be trusted, though later ones end well.
    failed: (Mark, Mark),
}

impl Synced {
    fn has_failed(&self, mark: Mark) -> bool {
        let (from, to) = self.failed;
        from < mark && mark <= to
    }

    /// A sync of what is behind `from`, up to `target`, has failed.
    fn fail(&mut self, from: Mark, target: Mark) {
        let (before, to) = self.failed;
        let from = if to == Mark::default() { from } else { before.min(from) };
        self.failed = (from, target.max(to));
    }
}

const PUBLISH_TRIES: u32 = 3;

impl Mailbox {
    /// Returns when everything up to `mark`, and the directories' names, are on disk and in the picture.
    pub(super) fn commit(&self, mark: Mark) -> Result<(), StoreError> {
        let mut synced = locked(&self.synced);
        if synced.has_failed(mark) {
            return Err(self.sync_failed());
        }
        if synced.good >= mark && self.is_settled() {
            return Ok(());
        }
        for attempt in 0.. {
            let mut core = locked(&self.core);
            let Some(log) = &core.log else { return Err(self.missing()) };
            let target = Mark { generation: log.generation, end: log.end };
            let (flushed, flush_failed) = (core.flushed, core.flush_failed);
            let journal_too = core.needed > synced.journal.max(flushed);
            let file = log.file.written();
            let mut directories = std::mem::take(&mut core.unsynced);
            let unsure = std::mem::take(&mut core.names_unsure);
            if unsure {
                directories = (true, true);
            }
            // While others go on appending, wait for them only so often.
            let patient = attempt < PUBLISH_TRIES;
            let held = if patient {
                drop(core);
                None
            } else {
                Some(core)
            };
            let result = if flush_failed >= mark {
                Err(self.sync_failed())
            } else {
                // Names first: a record on disk whose file is not looks like a removal by another program.
                let names = self.sync_directories(directories);
                names.and_then(|()| {
                    if !journal_too {
                        return Ok(());
                    }
                    file.sync().at("sync", &self.path.join(journal::FILE))
                })
            };
            let mut core = held.unwrap_or_else(|| locked(&self.core));
            if let Err(failure) = result {
                // Whose name was in doubt has a mark that was good before.
                let from = if unsure { Mark::default() } else { synced.good };
                synced.fail(from, target);
                core.damage = Some("failed_write");
                core.unsynced = (true, true);
                error!(mailbox = %self.path.display(), error = %failure, "sync failed, the index will be written anew");
                return Err(failure);
            }
            synced.good = synced.good.max(target);
            if journal_too {
                synced.journal = synced.journal.max(target);
            }
            let now = core.log.as_ref().map(|log| Mark { generation: log.generation, end: log.end });
            if now == Some(target) {
                self.publish(&mut core);
                break;
            }
        }
        Ok(())
    }

    /// Where the journal ends now; what is before is on disk once a sync of the volume that begins now has ended.
    pub(crate) fn journal_end(&self) -> Option<Mark> {
        let core = locked(&self.core);
        core.log.as_ref().map(|log| Mark { generation: log.generation, end: log.end })
    }

    /// A sync of the volume that began after the journal ended there has ended well.
    pub(crate) fn note_synced(&self, target: Mark) {
        let mut synced = locked(&self.synced);
        let mut core = locked(&self.core);
        if core.damage.is_some() || synced.failed.1 >= target {
            return;
        }
        synced.good = synced.good.max(target);
        synced.journal = synced.journal.max(target);
        let now = core.log.as_ref().map(|log| Mark { generation: log.generation, end: log.end });
        if now == Some(target) {
            self.publish(&mut core);
        }
    }

    fn sync_failed(&self) -> StoreError {
        StoreError::Io {
            step: "sync",
            path: self.path.display().to_string(),
            source: Arc::new(std::io::Error::other("an earlier sync failed")),
        }
    }

    pub(super) fn sync_directories(&self, (new, cur): (bool, bool)) -> Result<(), StoreError> {
        // A file that went from `new/` to `cur/` must not be lost from one before it is safe in the other. What an earlier
        // process left unsynced is not known: the first sync takes both.
        let cur = cur || (new && self.cur_behind.load(Ordering::Acquire));
        for (place, wanted) in [(Place::Cur, cur), (Place::New, new)] {
            if !wanted {
                continue;
            }
            if place == Place::Cur {
                self.cur_behind.store(false, Ordering::Release);
            }
            let path = self.path.join(place.directory());
            let result = self.shared.fs.sync_dir(&path).at("sync", &path);
            if result.is_err() && place == Place::Cur {
                self.cur_behind.store(true, Ordering::Release);
            }
            result.map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    /// Nothing of what was committed is missing from the picture, and nobody relies on names that may not be on disk.
    fn is_settled(&self) -> bool {
        let core = locked(&self.core);
        !core.changed && !core.names_unsure
    }

    /// Makes the picture of what is synced.
    pub(super) fn publish(&self, core: &mut Core) -> Arc<View> {
        let mut current = locked(&self.view);
        if let Some(view) = current.as_ref().filter(|_| !core.changed) {
            return view.clone();
        }
        core.changed = false;
        if std::mem::take(&mut core.own) {
            self.shared.nodes.changed(&self.account, &self.name);
        }
        let generation = current.as_ref().map_or(0, |view| view.generation) + 1;
        let view = Arc::new(core.state.view(generation));
        *current = Some(view.clone());
        drop(current);
        self.changes.send_replace(generation);
        view
    }

    /// For a mailbox without anything to sync.
    pub(super) fn publish_first(&self) -> Result<Arc<View>, StoreError> {
        let mark = {
            let mut core = locked(&self.core);
            core.changed = true;
            core.unpublished()
        };
        self.commit(mark.ok_or_else(|| self.missing())?)?;
        let view = locked(&self.view).clone();
        view.ok_or(StoreError::NoSuchMailbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_stays_failed_whatever_is_synced_later() {
        let mark = |end| Mark { generation: 1, end };
        let mut synced = Synced { good: mark(10), ..Synced::default() };
        assert!(!synced.has_failed(mark(10)) && !synced.has_failed(mark(20)));
        synced.fail(synced.good, mark(20));
        synced.good = Mark { generation: 2, end: 5 };
        let failed = [10, 11, 20, 21].map(|end| synced.has_failed(mark(end)));
        assert_eq!(failed, [false, true, true, false]);
        // Another failure, of names that are older than the journal's end.
        synced.fail(Mark::default(), Mark { generation: 2, end: 7 });
        assert!(synced.has_failed(mark(10)) && synced.has_failed(synced.good));
        assert!(!synced.has_failed(Mark { generation: 3, end: 1 }), "the index was written anew");
    }
}
