//! A file that processes on several machines append to in turn, each while it holds the mailbox's lock.
//!
//! An NFS client that holds a file open for writing takes every change of it for its own and goes on showing the pages
//! it has. So on a network file system the file is held open for reading only; it is opened for writing by the first
//! write under the lock and closed, synced, before the lock is given back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fs::{Fs, FsFile};

/// Leases last for longer: a file that was opened so lately is still ours.
const FENCE_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    reading: Arc<dyn FsFile>,
    /// And since when.
    writing: Option<(Arc<dyn FsFile>, Instant)>,
    identity: (u64, u64),
    network: bool,
}

impl AppendFile {
    /// Opens the file; makes it when it is missing.
    pub(crate) fn open(fs: &dyn Fs, path: &Path, network: bool) -> io::Result<Self> {
        if network {
            match fs.open_read(path) {
                Ok(reading) => return Self::new(path, reading.into(), None, network),
                Err(error) if error.kind() == io::ErrorKind::NotFound => drop(fs.open_write(path)?),
                Err(error) => return Err(error),
            }
            return Self::new(path, fs.open_read(path)?.into(), None, network);
        }
        let file: Arc<dyn FsFile> = fs.open_write(path)?.into();
        Self::new(path, file.clone(), Some((file, Instant::now())), network)
    }

    fn new(
        path: &Path,
        reading: Arc<dyn FsFile>,
        writing: Option<(Arc<dyn FsFile>, Instant)>,
        network: bool,
    ) -> io::Result<Self> {
        let identity = reading.meta()?.identity;
        Ok(Self { path: path.to_owned(), reading, writing, identity, network })
    }

    pub(crate) const fn identity(&self) -> (u64, u64) {
        self.identity
    }

    pub(crate) fn reader(&self) -> Arc<dyn FsFile> {
        self.reading.clone()
    }

    /// Writes behind what there is; the caller holds the lock and knows the end. On a network file system a lock ends with its
    /// lease, which somebody who was cut off does not hear: a file that has grown or was replaced since is somebody else's
    /// now, and the error says so ([`is_stale`]).
    ///
    /// [`is_stale`]: crate::fs::is_stale
    pub(crate) fn write_all_at(&mut self, fs: &dyn Fs, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some((file, opened)) = &self.writing {
            if self.network && opened.elapsed() > FENCE_AFTER && file.meta()?.size != offset {
                return Err(io::ErrorKind::StaleNetworkFileHandle.into());
            }
            return file.write_all_at(bytes, offset);
        }
        let file: Arc<dyn FsFile> = fs.open_write(&self.path)?.into();
        let found = file.meta()?;
        if found.identity != self.identity || (self.network && found.size != offset) {
            return Err(io::ErrorKind::StaleNetworkFileHandle.into());
        }
        self.writing.insert((file, Instant::now())).0.write_all_at(bytes, offset)
    }

    /// The file to be synced; another one, in vain, when nothing was written.
    pub(crate) fn written(&self) -> Arc<dyn FsFile> {
        self.writing.as_ref().map_or_else(|| self.reading.clone(), |(file, _)| file.clone())
    }

    /// To be called after the sync and before the lock is given back.
    pub(crate) fn release(&mut self) {
        if self.network {
            self.writing = None;
        }
    }

    /// The file was renamed.
    pub(crate) fn renamed_to(&mut self, path: &Path) {
        path.clone_into(&mut self.path);
    }
}
