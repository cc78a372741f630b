//! The file of the next segment, written with zeros before it is needed.
//!
//! Space that is only reserved makes every sync wait for the file system's journal, which has to say that the blocks now hold something:
//! with workers who make files on the same disk, a sync takes twice as long or more. Blocks that were written before are just written again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::files::{FileHandle, Files};

/// The one file of a log directory that is no segment yet; the next open removes it.
pub(super) const NAME: &str = "spare.new";
/// Written at once.
const PIECE: usize = 1 << 20;
/// Synced after so many pieces, so that no sync of the log waits behind all of it.
const SYNCED_TOGETHER: u64 = 4;
/// So many times its size must be free on the disk for a spare file to be made.
const FREE_TIMES: u64 = 8;

#[derive(Debug)]
enum Stage {
    Writing,
    Ready(Arc<dyn FileHandle>),
    /// Failed, or taken.
    Nothing,
    /// Its owner waits for the writing to end.
    Abandoned,
}

#[derive(Debug)]
struct Shared {
    stage: Mutex<Stage>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_wanted(&self) -> bool {
        matches!(*self.lock(), Stage::Writing)
    }
}

/// A file that is being written with zeros, or has been; it is removed with its owner.
#[derive(Debug)]
pub(super) struct Spare {
    files: Arc<dyn Files>,
    path: PathBuf,
    size: u64,
    shared: Arc<Shared>,
}

impl Spare {
    /// Begins to write one of `size` octets, in the background.
    pub(super) fn prepare(files: &Arc<dyn Files>, directory: &Path, size: u64) -> Self {
        let path = directory.join(NAME);
        let shared = Arc::new(Shared { stage: Mutex::new(Stage::Writing), changed: Condvar::new() });
        let spare = Self { files: Arc::clone(files), path: path.clone(), size, shared: Arc::clone(&shared) };
        let own = Arc::clone(files);
        let begun = files.in_background(Box::new(move || {
            let created = create(&*own, &path, size, &shared);
            let mut stage = shared.lock();
            *stage = match (created, &*stage) {
                (Ok(handle), Stage::Writing) => Stage::Ready(handle),
                (created, _) => {
                    if let Err(error) = created.and_then(|_| own.remove(&path)) {
                        // The next segment begins in a new file then.
                        tracing::debug!(%error, path = %path.display(), "no spare file for the queue's log");
                    }
                    Stage::Nothing
                }
            };
            drop(stage);
            shared.changed.notify_all();
        }));
        if let Err(error) = begun {
            tracing::debug!(%error, "failed to begin with a spare file for the queue's log");
            *spare.shared.lock() = Stage::Nothing;
        }
        spare
    }

    /// Whether it can be taken.
    pub(super) fn is_ready(&self) -> bool {
        matches!(*self.shared.lock(), Stage::Ready(_))
    }

    /// Whether it may yet become ready.
    pub(super) fn is_being_written(&self) -> bool {
        self.shared.is_wanted()
    }

    /// The file, its path and its size; `None` when there is none.
    pub(super) fn take(self) -> Option<(Arc<dyn FileHandle>, PathBuf, u64)> {
        let mut stage = self.shared.lock();
        let Stage::Ready(handle) = &*stage else { return None };
        let taken = (Arc::clone(handle), self.path.clone(), self.size);
        *stage = Stage::Nothing;
        Some(taken)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        let mut stage = self.shared.lock();
        if matches!(*stage, Stage::Ready(_)) {
            *stage = Stage::Nothing;
            let _ = self.files.remove(&self.path);
        }
        if matches!(*stage, Stage::Writing) {
            *stage = Stage::Abandoned;
        }
        // Whoever opens the log next must find nobody at work in it: one piece, at most a sync of a few.
        while matches!(*stage, Stage::Abandoned) {
            stage = self.shared.changed.wait(stage).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn create(files: &dyn Files, path: &Path, size: u64, shared: &Shared) -> io::Result<Arc<dyn FileHandle>> {
    let free = files.free_space(path.parent().unwrap_or(path))?;
    if free < size.saturating_mul(FREE_TIMES) {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is too full for it"));
    }
    let created = files.create(path).and_then(|handle| write_zeros(&*handle, size, shared).map(|()| handle));
    if created.is_err() {
        // A create that failed may have made it all the same.
        let _ = files.remove(path);
    }
    created
}

fn write_zeros(handle: &dyn FileHandle, size: u64, shared: &Shared) -> io::Result<()> {
    handle.preallocate(size)?;
    let zeros = vec![0; PIECE];
    for number in 0..size.div_ceil(PIECE as u64) {
        if !shared.is_wanted() {
            return Ok(());
        }
        let offset = number * PIECE as u64;
        let octets = (size - offset).min(PIECE as u64);
        handle.write_at(zeros.get(..octets as usize).unwrap_or(&zeros), offset)?;
        if number % SYNCED_TOGETHER == SYNCED_TOGETHER - 1 {
            handle.sync()?;
        }
    }
    handle.sync()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::sim::{Disk, Plan};

    const LOG: &str = "/q/log/one";

    fn disk(plan: Plan) -> (Disk, Arc<dyn Files>) {
        let disk = Disk::new(1);
        let files: Arc<dyn Files> = Arc::new(disk.process(plan));
        files.create_directory(Path::new(LOG)).unwrap();
        (disk, files)
    }

    #[test]
    fn it_is_zeros_and_goes_with_its_owner() {
        let (disk, files) = disk(Plan::Nothing);
        let spare = Spare::prepare(&files, Path::new(LOG), 3 << 19);
        assert!(spare.is_ready() && !spare.is_being_written());
        let (handle, path, size) = spare.take().unwrap();
        let content = disk.content(&path);
        assert_eq!((content.len(), size), (3 << 19, 3 << 19));
        assert!(content.iter().all(|octet| *octet == 0));
        handle.write_at(b"x", 7).unwrap();
        // What was taken is the owner's no more.
        assert_eq!(disk.files("spare").len(), 1);
        files.remove(&path).unwrap();
        drop(Spare::prepare(&files, Path::new(LOG), 1 << 16));
        assert_eq!(disk.files("spare").len(), 0);
    }

    #[test]
    fn without_room_or_with_a_failure_there_is_none_and_nothing_stays() {
        let (full, files) = disk(Plan::Nothing);
        full.set_free_space(7 << 16);
        let spare = Spare::prepare(&files, Path::new(LOG), 1 << 16);
        assert!(!spare.is_ready() && !spare.is_being_written() && spare.take().is_none());
        // Made, reserved, written, synced.
        for failing in 1..=4 {
            let (disk, files) = disk(Plan::FailAt(failing));
            let spare = Spare::prepare(&files, Path::new(LOG), 1 << 16);
            assert!(!spare.is_ready() && !spare.is_being_written() && spare.take().is_none());
            assert!(disk.files("spare").is_empty(), "{failing}");
        }
    }

    #[test]
    fn an_owner_that_goes_early_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(crate::files::RealFiles);
        for _ in 0..20 {
            drop(Spare::prepare(&files, folder.path(), 64 << 20));
            assert_eq!(files.list(folder.path()).unwrap(), [""; 0]);
        }
    }
}
