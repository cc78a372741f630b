//! The one seam through which the store touches a file system.
//!
//! Tests put an implementation here that fails, or loses power, at the n-th call.

mod real;

#[cfg(test)]
pub(crate) mod simulated;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::SystemTime;

pub use real::RealFs;

/// What a name stands for; links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink, device, socket or pipe: never a message.
    Other,
}

/// What stat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMeta {
    /// What it is.
    pub kind: FileKind,
    /// Device and inode: two names with the same are one file.
    pub identity: (u64, u64),
    /// Octets.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub modified: i128,
    /// Time of the latest change of anything, names included, in nanoseconds since 1970.
    pub changed: i128,
}

/// What is left on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Octets.
    pub octets: u64,
    /// Files; none where they are not counted.
    pub files: Option<u64>,
}

/// One name of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryItem {
    /// As it is on disk; any bytes but `/` and NUL.
    pub name: OsString,
    /// What it stands for.
    pub kind: FileKind,
}

/// An open file.
pub trait FsFile: Send + Sync + fmt::Debug {
    /// Reads up to `buffer.len()` octets at `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Sets the modification time.
    fn set_modified(&self, time: SystemTime) -> io::Result<()>;
    /// Contents and length are on disk when this returns. After an error the file is condemned: a second call may lie.
    fn sync(&self) -> io::Result<()>;
    /// Everything written on this file's file system is on disk when this returns.
    fn sync_volume(&self) -> io::Result<()>;
    /// What fstat says, never from a cache that another machine's changes don't reach.
    fn meta(&self) -> io::Result<FileMeta>;
    /// Takes the exclusive lock; false when another has it. Dropping the file gives it back.
    fn try_lock(&self) -> io::Result<bool>;
    /// Gives the lock back.
    fn unlock(&self) -> io::Result<()>;
}

/// Every file operation of the store.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Whether other machines may change the files below `path` (NFS and its like). There, what is written shows to
    /// others when it is synced, and what others wrote shows by name once the directory was asked for anew.
    fn is_network(&self, path: &Path) -> io::Result<bool>;
    /// Whether [`FsFile::sync_volume`] serves for everything on the file system of `path`, and tells every failure.
    fn syncs_whole(&self, path: &Path) -> io::Result<bool>;
    /// A new file for writing; fails when the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    /// For reading; never through a symlink, never blocking on a pipe.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    /// For reading and writing; made when missing.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    /// Renames a file or directory, replacing a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// A second name for a file; fails when the name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes one directory.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Every name in the directory but `.` and `..`. May miss or repeat names that are renamed meanwhile.
    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryItem>>;
    /// What lstat says, never from a cache that another machine's changes don't reach.
    fn meta(&self, path: &Path) -> io::Result<FileMeta>;
    /// The names in the directory are on disk when this returns.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// What is left on the file system of `path` for a user without privileges.
    fn free(&self, path: &Path) -> io::Result<Free>;
}

/// The most that is read of a control file.
const CONTROL_FILE_MAX: u64 = 4 << 30;

/// Whether the server no longer knows the file behind a handle: another node removed or replaced it.
pub(crate) fn is_stale(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StaleNetworkFileHandle
}

/// Whether there is something of that name; an error when it can't be told.
pub(crate) fn is_there(fs: &dyn Fs, path: &Path) -> io::Result<bool> {
    use io::ErrorKind::{NotADirectory, NotFound, StaleNetworkFileHandle};
    match fs.meta(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | StaleNetworkFileHandle) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads from `offset` to the end as it is now.
pub(crate) fn read_from(file: &dyn FsFile, offset: u64) -> io::Result<Vec<u8>> {
    let size = file.meta()?.size;
    read_range(file, offset, size.saturating_sub(offset).min(CONTROL_FILE_MAX))
}

/// Reads up to `length` octets at `offset`; short at the end of the file.
pub(crate) fn read_range(file: &dyn FsFile, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    read_into(file, offset, length, &mut buffer)?;
    Ok(buffer)
}

/// The same into `buffer`, whose content goes and whose memory serves again.
pub(crate) fn read_into(file: &dyn FsFile, offset: u64, length: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(())
}

/// Reads a whole file; `None` when there is none.
pub(crate) fn read_optional(fs: &dyn Fs, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs.open_read(path) {
        Ok(file) => read_from(&*file, 0).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// When what is written is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// Each file and directory by itself, in the order of the writes.
    Each,
    /// All of it later, by a sync of the whole volume: until then nothing may depend on it.
    Later,
}

impl Syncs {
    pub(crate) fn file(self, file: &dyn FsFile) -> io::Result<()> {
        if self == Self::Each { file.sync() } else { Ok(()) }
    }

    pub(crate) fn directory(self, fs: &dyn Fs, path: &Path) -> io::Result<()> {
        if self == Self::Each { fs.sync_dir(path) } else { Ok(()) }
    }
}

/// Replaces a control file: a complete new file, synced, then renamed over the old one, then the directory synced.
/// The caller holds the lock that guards `path`.
pub(crate) fn replace(fs: &dyn Fs, directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    replace_with(fs, directory, (name, content), Syncs::Each)
}

/// As [`replace`].
pub(crate) fn replace_with(
    fs: &dyn Fs,
    directory: &Path,
    (name, content): (&str, &[u8]),
    syncs: Syncs,
) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    let result = write_and_rename(fs, &temporary, &directory.join(name), (content, syncs));
    if result.is_err() {
        let _ = fs.remove_file(&temporary);
    }
    result?;
    syncs.directory(fs, directory)
}

fn write_and_rename(
    fs: &dyn Fs,
    temporary: &Path,
    target: &Path,
    (content, syncs): (&[u8], Syncs),
) -> io::Result<()> {
    match fs.remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = fs.create_new(temporary)?;
    file.write_all_at(content, 0)?;
    syncs.file(&*file)?;
    fs.rename(temporary, target)
}
