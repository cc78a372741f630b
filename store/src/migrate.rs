//! Taking mail over from Dovecot and Courier, and giving it back.
//!
//! ```text
//! their Maildir++                              our account
//!   cur/ new/ tmp/  .Work.Plans/ …      ⇄        the same
//!   dovecot-uidlist | courierimapuiddb           U= in the names, sluice.uidvalidity
//!   dovecot-keywords                             sluice.keywords
//!   subscriptions | courierimapsubscribed        subscriptions
//! ```
//! Message files get a second name (a hard link) and are copied only where the file system can't; neither side's files
//! are changed. UIDs and UIDVALIDITY go along, so that clients keep what they have cached.
//!
//! An account is taken over whole or not at all: it is looked at first, and everything that could not be kept is named;
//! then it is built beside its place, synced, and renamed into it.
//!
//! What it is not: no conversion of other formats (mbox, mdbox), no Courier keywords, no Sieve scripts.

mod adopt;
mod export;
mod plan;
mod uid_list;

use std::io;
use std::path::Path;

use crate::error::{At as _, LINK};
use crate::fs::{self, FileKind, Fs, FsFile};
use crate::{MailboxName, StoreError, UidValidity};

pub use uid_list::fuzz_uid_list;

/// A mailbox that was taken over, or given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Its name.
    pub mailbox: MailboxName,
    /// Messages in it.
    pub messages: u64,
    /// Those whose UID went along; the others get new ones at the first look.
    pub uids_kept: u64,
    /// When it went along.
    pub uid_validity: Option<UidValidity>,
    /// The file that said so.
    pub list: Option<&'static str>,
}

/// Why mail was not taken over or given back. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// What stands in the way, each with its place and what to do.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The store or a file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MigrateError {
    pub(crate) fn refused(problem: String) -> Self {
        Self::Refused(vec![problem])
    }
}

/// Gives a message file a second name; copies it where the file system can't. Gives whether it was copied.
fn link_or_copy(fs: &dyn Fs, from: &Path, to: &Path) -> Result<bool, StoreError> {
    match fs.link(from, to).at(LINK, to) {
        Ok(()) => Ok(false),
        Err(error) if error.is_link_refused() => copy(fs, from, to).map(|()| true),
        Err(error) => Err(error),
    }
}

/// A copy with the date of the original, on disk but for its name. Nothing is left of one that failed.
pub(crate) fn copy(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), StoreError> {
    let target = copy_unsynced(fs, from, to)?;
    let synced = target.sync().at("sync", to);
    if synced.is_err() {
        let _ = fs.remove_file(to);
    }
    synced
}

/// The same, to be synced.
pub(crate) fn copy_unsynced(fs: &dyn Fs, from: &Path, to: &Path) -> Result<Box<dyn FsFile>, StoreError> {
    let source = fs.open_read(from).at("open", from)?;
    let target = fs.create_new(to).at("create", to)?;
    let copied = copy_content(&*source, &*target, from, to);
    if copied.is_err() {
        let _ = fs.remove_file(to);
    }
    copied.map(|()| target)
}

fn copy_content(source: &dyn FsFile, target: &dyn FsFile, from: &Path, to: &Path) -> Result<(), StoreError> {
    const STEP: u64 = 1 << 20;
    let mut offset = 0;
    loop {
        let step = fs::read_range(source, offset, STEP).at("read", from)?;
        if step.is_empty() {
            break;
        }
        target.write_all_at(&step, offset).at("write", to)?;
        offset += step.len() as u64;
    }
    // The date of arrival, for names that do not tell it.
    let modified = source.meta().at("look at", from)?.modified;
    let since = std::time::Duration::from_nanos(u64::try_from(modified).unwrap_or(0));
    target.set_modified(std::time::SystemTime::UNIX_EPOCH + since).at("date", to)
}

fn write_file(fs: &dyn Fs, path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let file = fs.create_new(path).at("create", path)?;
    file.write_all_at(content, 0).at("write", path)?;
    file.sync().at("sync", path)
}

fn make_maildir(fs: &dyn Fs, directory: &Path, is_folder: bool) -> Result<(), StoreError> {
    fs.create_dir(directory).at("create", directory)?;
    for part in ["tmp", "new", "cur"] {
        let part = directory.join(part);
        fs.create_dir(&part).at("create", &part)?;
    }
    if is_folder { write_file(fs, &directory.join("maildirfolder"), b"") } else { Ok(()) }
}

/// Directories first in the dark, so that what is named is there after a power cut.
fn sync_maildir(fs: &dyn Fs, directory: &Path) -> Result<(), StoreError> {
    for part in [directory.join("new"), directory.join("cur"), directory.to_owned()] {
        fs.sync_dir(&part).at("sync", &part)?;
    }
    Ok(())
}

/// Removes what an attempt left; a tree that we made and that nobody uses.
pub(crate) fn remove_tree(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    for item in fs.list(path)? {
        let inner = path.join(&item.name);
        if item.kind == FileKind::Directory {
            remove_tree(fs, &inner)?;
        } else {
            fs.remove_file(&inner)?;
        }
    }
    fs.remove_dir(path)
}

#[cfg(test)]
mod tests;
