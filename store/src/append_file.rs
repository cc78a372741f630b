//! A file that processes on several machines append to in turn, each while it holds the mailbox's lock.
//!
//! An NFS client that holds a file open for writing takes every change of it for its own and goes on showing the pages
//! it has. So on a network file system the file is held open for reading only; it is opened for writing by the first
//! write under the lock and closed, synced, before the lock is given back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::{Fs, FsFile};

#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    reading: Arc<dyn FsFile>,
    writing: Option<Arc<dyn FsFile>>,
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
        Self::new(path, file.clone(), Some(file), network)
    }

    fn new(
        path: &Path,
        reading: Arc<dyn FsFile>,
        writing: Option<Arc<dyn FsFile>>,
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

    /// Writes behind what there is; the caller holds the lock and knows the end.
    pub(crate) fn write_all_at(&mut self, fs: &dyn Fs, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(file) = &self.writing {
            return file.write_all_at(bytes, offset);
        }
        let file: Arc<dyn FsFile> = fs.open_write(&self.path)?.into();
        if file.meta()?.identity != self.identity {
            return Err(io::Error::other("another file has its name"));
        }
        self.writing.insert(file).write_all_at(bytes, offset)
    }

    /// The file to be synced; another one, in vain, when nothing was written.
    pub(crate) fn written(&self) -> Arc<dyn FsFile> {
        self.writing.clone().unwrap_or_else(|| self.reading.clone())
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
