//! The old place of an account goes, and nothing that somebody put there goes with it.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use super::{Carried, GONE};
use crate::error::At as _;
use crate::file_name::{FileName, front};
use crate::fs::{FileKind, Fs};
use crate::migrate::copy;
use crate::{Account, Mailbox, MailboxName, StoreError};

/// How often a directory is emptied that others still write to.
const CLEAR_TRIES: u32 = 20;

/// Empties the old place.
pub(super) struct Clearing<'a> {
    pub(super) fs: &'a dyn Fs,
    pub(super) account: &'a Account,
    /// What went along; not known when the move was broken off.
    pub(super) carried: Option<&'a Carried>,
    /// Fronts of what is at the new place, by folder.
    pub(super) present: HashMap<PathBuf, Carried>,
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
                if item.kind == FileKind::File && !self.is_there(folder, item.name.as_bytes())? {
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

    /// Whether a file of the old place is at the new one, or was.
    fn is_there(&mut self, folder: &Path, name: &[u8]) -> Result<bool, StoreError> {
        if let Some(carried) = self.carried {
            return Ok(carried.contains(front(name)));
        }
        let mailbox = self.mailbox(folder)?;
        if !self.present.contains_key(folder) {
            let mut fronts = Carried::new();
            for part in ["cur", "new"] {
                let directory = mailbox.path().join(part);
                let items = self.fs.list(&directory).at("list", &directory)?;
                fronts.extend(items.iter().map(|item| front(item.name.as_bytes()).to_vec()));
            }
            self.present.insert(folder.to_owned(), fronts);
        }
        if self.present.get(folder).is_some_and(|present| present.contains(front(name))) {
            return Ok(true);
        }
        match FileName::parse(name).and_then(|name| name.base.message_id()) {
            Some(id) => mailbox.knows(id),
            None => Ok(false),
        }
    }

    /// As a message that another program delivered: its UID comes at the next look.
    fn bring(&mut self, path: &Path, folder: &Path, name: &[u8]) -> Result<(), StoreError> {
        let Some(name) = FileName::parse(name) else {
            warn!(path = %path.display(), "no message by its name, removed");
            return Ok(());
        };
        let mailbox = self.mailbox(folder)?;
        let new = mailbox.path().join("new");
        let target = new.join(FileName { uid: None, flags: None, ..name }.to_string());
        match copy(self.fs, path, &target) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.is_not_found() => return Ok(()),
            copied => copied?,
        }
        self.fs.sync_dir(&new).at("sync", &new)?;
        info!(path = %path.display(), to = %target.display(), "message brought after");
        self.late += 1;
        Ok(())
    }
}
