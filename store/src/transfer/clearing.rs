//! The old place of an account goes, and nothing that somebody put there goes with it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::info;

use super::{Carried, GONE};
use crate::error::At as _;
use crate::file_name::{Base, FileName, front};
use crate::fs::{FileKind, Fs, is_there};
use crate::mailbox::{fresh_id, now};
use crate::migrate::{copy, remove_tree};
use crate::{Account, Mailbox, MailboxName, StoreError, account};

/// How often a directory is emptied that others still write to.
const CLEAR_TRIES: u32 = 20;

/// Empties the old place.
pub(super) struct Clearing<'a> {
    pub(super) fs: &'a dyn Fs,
    pub(super) account: &'a Account,
    /// What went along; not known when the move was broken off.
    pub(super) carried: Option<&'a Carried>,
    /// What names at the new place begin with, by folder.
    pub(super) present: HashMap<PathBuf, HashSet<Vec<u8>>>,
    pub(super) late: u64,
}

impl Clearing<'_> {
    /// `folder` is where in the account `directory` was.
    pub(super) fn tree(&mut self, directory: &Path, folder: &Path) -> Result<(), StoreError> {
        for _ in 0..CLEAR_TRIES {
            let items = match self.fs.list(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                items => items.at("list", directory)?,
            };
            for item in items {
                let path = directory.join(&item.name);
                let name = item.name.to_string_lossy();
                let is_part = ["cur", "new"].contains(&name.strip_prefix(GONE).unwrap_or(&name));
                match item.kind {
                    FileKind::Directory if is_part => self.part(&path, folder)?,
                    // What a DELETE that was broken off left.
                    FileKind::Directory if name.starts_with(account::DELETED) => {
                        remove_tree(self.fs, &path).at("remove", &path)?;
                    }
                    FileKind::Directory => self.tree(&path, &folder.join(&item.name))?,
                    FileKind::File | FileKind::Other => self.remove(&path)?,
                }
            }
            if self.remove_directory(directory)? {
                return Ok(());
            }
        }
        Err(StoreError::Busy)
    }

    fn part(&mut self, directory: &Path, folder: &Path) -> Result<(), StoreError> {
        for _ in 0..CLEAR_TRIES {
            for item in self.fs.list(directory).at("list", directory)? {
                let path = directory.join(&item.name);
                if item.kind == FileKind::Directory {
                    self.tree(&path, folder)?;
                    continue;
                }
                if item.kind == FileKind::File && !self.went_along(folder, item.name.as_bytes())? {
                    self.bring(&path, folder, item.name.as_bytes())?;
                }
                self.remove(&path)?;
            }
            if self.remove_directory(directory)? {
                return Ok(());
            }
        }
        Err(StoreError::Busy)
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match self.fs.remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.at("remove", path),
        }
    }

    /// False when somebody put something into it.
    fn remove_directory(&self, path: &Path) -> Result<bool, StoreError> {
        match self.fs.remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            removed => removed.at("remove", path).map(|()| true),
        }
    }

    fn mailbox(&self, folder: &Path) -> Result<Arc<Mailbox>, StoreError> {
        let name = folder.to_str().filter(|name| !name.is_empty()).and_then(MailboxName::from_directory);
        match name.map(|name| self.account.mailbox(&name)) {
            // Removed since: as with any delivery to a folder that is gone.
            None | Some(Err(StoreError::NoSuchMailbox)) => self.account.mailbox(&MailboxName::inbox()),
            Some(mailbox) => mailbox,
        }
    }

    /// Whether a file of the old place went along. When that is not known any more, the name says it: whatever was there under
    /// the locks had got its number before.
    fn went_along(&mut self, folder: &Path, name: &[u8]) -> Result<bool, StoreError> {
        if let Some(carried) = self.carried {
            return Ok(carried.get(folder).is_some_and(|carried| carried.contains(front(name))));
        }
        let parsed = FileName::parse(name);
        if parsed.as_ref().is_some_and(|parsed| parsed.uid.is_some()) {
            return Ok(true);
        }
        let mailbox = self.mailbox(folder)?;
        if !self.present.contains_key(folder) {
            let mut bases = HashSet::new();
            for part in ["cur", "new"] {
                let directory = mailbox.path().join(part);
                let items = self.fs.list(&directory).at("list", &directory)?;
                bases.extend(items.iter().map(|item| base(item.name.as_bytes()).to_vec()));
            }
            self.present.insert(folder.to_owned(), bases);
        }
        if self.present.get(folder).is_some_and(|present| present.contains(base(name))) {
            return Ok(true);
        }
        match parsed.and_then(|name| name.base.message_id()) {
            Some(id) => mailbox.knows(id),
            None => Ok(false),
        }
    }

    /// As a message that another program delivered: its UID comes at the next look.
    fn bring(&mut self, path: &Path, folder: &Path, name: &[u8]) -> Result<(), StoreError> {
        let mailbox = self.mailbox(folder)?;
        let name = match FileName::parse(name) {
            Some(name) => FileName { uid: None, ..name },
            None => {
                let base = Base::Own { seconds: now().unix_seconds(), id: fresh_id()? };
                FileName { base, uid: None, disk_size: None, wire_size: None, flags: None }
            }
        };
        let into = mailbox.path().join(if name.flags.is_some() { "cur" } else { "new" });
        let target = into.join(name.to_string());
        if is_there(self.fs, &target).at("look at", &target)? {
            return Ok(());
        }
        // Whole or not at all, for others look at it from now on.
        let draft = mailbox.path().join("tmp").join(fresh_id()?.to_string());
        match copy(self.fs, path, &draft) {
            Err(error) if error.is_not_found() => return Ok(()),
            copied => copied?,
        }
        mailbox.leave_note()?;
        let renamed = self.fs.rename(&draft, &target).at("rename", &draft);
        if renamed.is_err() && !is_there(self.fs, &target).at("look at", &target)? {
            let _ = self.fs.remove_file(&draft);
            return renamed;
        }
        self.fs.sync_dir(&into).at("sync", &into)?;
        // Before, for a crash in between; after, for a holder of the lock who took the first one away too early.
        mailbox.leave_note()?;
        info!(path = %path.display(), to = %target.display(), "message brought after");
        self.late += 1;
        Ok(())
    }
}

/// What of a name stays when the message gets its number.
fn base(name: &[u8]) -> &[u8] {
    front(name).split(|byte| *byte == b',').next().unwrap_or_default()
}
