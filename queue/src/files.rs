//! The one seam to the file system: everything the embedded queue does with files goes through
//! [`Files`], so that tests fail or crash at the n-th operation.
//!
//! Synchronous on purpose: callers are threads of their own or `spawn_blocking`.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

mod real;
#[cfg(test)]
pub(crate) mod sim;

pub(crate) use real::RealFiles;

/// What is held while a lock is held; dropping it releases the lock.
pub(crate) type LockGuard = Box<dyn std::any::Any + Send + Sync>;

/// Operations on names.
pub(crate) trait Files: Send + Sync + fmt::Debug + 'static {
    /// Makes a file that must not exist yet, for writing and reading.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>>;
    /// Replaces `to` by `from`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that is already away is an error of kind `NotFound`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory and its parents, durably; it may exist.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory, in no order; a missing directory is empty.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Octets in a file.
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// Octets an unprivileged writer may still put on the file system that holds `path`.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
    /// Takes the exclusive lock of a lock file, making the file if needed; `None` when another holds it.
    fn try_lock(&self, path: &Path) -> io::Result<Option<LockGuard>>;
    /// Does work on files that nobody waits for.
    fn in_background(&self, work: Box<dyn FnOnce() + Send>) -> io::Result<()>;
}

/// Operations on an open file.
pub(crate) trait FileHandle: Send + Sync + fmt::Debug {
    /// Writes all of `data` at `offset`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Reads until `buffer` is full or the file ends; returns how much.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// `fdatasync`.
    fn sync(&self) -> io::Result<()>;
    /// Reserves space, so that later writes do not fail for want of it.
    fn preallocate(&self, size: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_size(&self, size: u64) -> io::Result<()>;
}
