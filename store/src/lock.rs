//! One writer a mailbox: a gate between the threads of this process, `flock` between processes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::StoreError;
use crate::error::At as _;
use crate::fs::{FsFile, is_stale};
use crate::store::Shared;

/// A mutex with a deadline.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    taken: Mutex<bool>,
    freed: Condvar,
}

/// Frees the gate when dropped.
#[derive(Debug)]
pub(crate) struct Passage<'a>(&'a Gate);

impl Gate {
    pub(crate) fn enter(&self, deadline: Instant) -> Option<Passage<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            (taken, _) = self.freed.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        drop(taken);
        Some(Passage(self))
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.freed.notify_one();
    }
}

/// A lock file that is kept open between uses.
#[derive(Debug)]
pub(crate) struct LockFile {
    shared: Arc<Shared>,
    directory: PathBuf,
    path: PathBuf,
    open: Mutex<Option<Arc<dyn FsFile>>>,
}

/// Gives the lock back when dropped.
#[derive(Debug)]
pub(crate) struct Locked {
    file: Arc<dyn FsFile>,
    has_note: bool,
}

impl Locked {
    /// Whether somebody changed the directories without the lock and left a note of it; see [`LockFile::leave_note`].
    pub(crate) const fn has_note(&self) -> bool {
        self.has_note
    }

    /// To be called when what the note is about was found.
    pub(crate) fn remove_note(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.has_note = false;
        Ok(())
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

pub(crate) const FIRST_PAUSE: Duration = Duration::from_micros(500);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl LockFile {
    pub(crate) fn new(shared: Arc<Shared>, directory: &Path, name: &str) -> Self {
        Self { shared, directory: directory.to_owned(), path: directory.join(name), open: Mutex::new(None) }
    }

    /// Takes the lock, or says `LockTimeout`. A lock file that was removed or replaced while we waited does not count.
    pub(crate) fn lock(&self, deadline: Instant) -> Result<Locked, StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let file = self.file()?;
            let taken = match file.try_lock() {
                Err(error) if is_stale(&error) && Instant::now() < deadline => {
                    self.close();
                    continue;
                }
                other => other.at("lock", &self.path),
            };
            if taken.is_err() {
                // It may have been taken all the same: the end of the file gives it back.
                self.close();
            }
            if taken? {
                let mut locked = Locked { file, has_note: false };
                if let Some(size) = self.current_size(&*locked.file)? {
                    locked.has_note = size > 0;
                    return Ok(locked);
                }
                self.close();
            }
            if Instant::now() >= deadline {
                return Err(StoreError::LockTimeout);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Lets go of the open file.
    pub(crate) fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn file(&self) -> Result<Arc<dyn FsFile>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*open {
            return Ok(file.clone());
        }
        let file: Arc<dyn FsFile> = self.shared.fs.open_write(&self.path).at("open", &self.path)?.into();
        *open = Some(file.clone());
        Ok(file)
    }

    /// Tells whoever has the lock next that the directories were changed without it: the times that a holder records
    /// after a change of its own may hide ours. An octet in the lock file, which every holder looks at anyway.
    pub(crate) fn leave_note(&self) -> Result<(), StoreError> {
        let file = self.shared.fs.open_write(&self.path).at("open", &self.path)?;
        file.write_all_at(b"!", 0).at("write", &self.path)?;
        file.sync().at("sync", &self.path)
    }

    /// Octets of the lock file; `None` when another file has its name.
    fn current_size(&self, file: &dyn FsFile) -> Result<Option<u64>, StoreError> {
        // Another machine may have renamed or removed the whole directory, or that of the account.
        let is_folder =
            self.directory.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let levels: Vec<_> = self.directory.ancestors().take(if is_folder { 3 } else { 2 }).collect();
        levels.into_iter().rev().for_each(|level| self.shared.freshen(level));
        match self.shared.fs.meta(&self.path) {
            Ok(meta) => {
                let is_ours = meta.identity == file.meta().at("look at", &self.path)?.identity;
                Ok(is_ours.then_some(meta.size))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_stale(&error) => Ok(None),
            Err(error) => Err(error).at("look at", &self.path),
        }
    }
}
