//! A copy that is made again until it is one.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::{Carried, LEFT_BEHIND};
use crate::error::At as _;
use crate::file_name::front;
use crate::fs::{DirectoryItem, FileKind, Fs, is_there};
use crate::mailbox::age;
use crate::migrate::{copy, copy_unsynced, remove_tree};
use crate::{StoreError, account};

/// How often a directory is listed that other programs change meanwhile.
const LIST_TRIES: u32 = 10;
/// Copies between two words to whoever waits.
const STEP: u64 = 1000;

/// Makes one directory like another.
pub(super) struct Mirror<'a> {
    pub(super) fs: &'a dyn Fs,
    /// Every file and directory is synced by itself; else the whole volume is, afterwards.
    pub(super) sync_each: bool,
    /// Nobody changes the source but programs that know no locks: control files go along.
    pub(super) last: bool,
    /// The step of directories' times.
    pub(super) resolution: Duration,
    pub(super) copied: u64,
    pub(super) carried: Carried,
    /// Hears how many were copied, and says when there is no more room.
    pub(super) progress: &'a mut dyn FnMut(u64) -> Result<(), StoreError>,
}

impl Mirror<'_> {
    /// `folder` is where in the account `source` is. `Busy` when other programs change the source too fast.
    pub(super) fn directory(
        &mut self,
        source: &Path,
        target: &Path,
        folder: &Path,
    ) -> Result<(), StoreError> {
        account::make_directory(self.fs, target)?;
        let items = self.fs.list(source).at("list", source)?;
        let known = self.fs.list(target).at("list", target)?;
        let names: HashSet<_> = items.iter().map(|item| &item.name).collect();
        for item in known.iter().filter(|item| !names.contains(&item.name)) {
            self.remove(&target.join(&item.name), item.kind)?;
        }
        for item in &items {
            let (from, to) = (source.join(&item.name), target.join(&item.name));
            let name = item.name.to_string_lossy();
            match (item.kind, &*name) {
                (FileKind::Directory, "cur" | "new") => self.messages(&from, &to, folder)?,
                (FileKind::Directory, "tmp") => account::make_directory(self.fs, &to)?,
                (FileKind::Directory, name) if name.starts_with(account::DELETED) => {}
                (FileKind::Directory, _) => {
                    let done = self.directory(&from, &to, &folder.join(&item.name));
                    self.settle(done)?;
                }
                (FileKind::File, name) if !self.last || LEFT_BEHIND.contains(&name) => {}
                (FileKind::File, name) if name.starts_with(".nfs") => {}
                (FileKind::File, _) => {
                    if is_there(self.fs, &to).at("look at", &to)? {
                        self.remove(&to, FileKind::File)?;
                    }
                    let copied = self.copy(&from, &to);
                    self.settle(copied)?;
                }
                (FileKind::Other, _) if self.last => {
                    warn!(path = %from.display(), "neither file nor directory, left behind");
                }
                (FileKind::Other, _) => {}
            }
        }
        self.sync_directory(target)
    }

    /// A message's file never changes but for its name.
    fn messages(&mut self, source: &Path, target: &Path, folder: &Path) -> Result<(), StoreError> {
        account::make_directory(self.fs, target)?;
        let items = self.list(source)?;
        let known = self.fs.list(target).at("list", target)?;
        let names: HashSet<_> = items.iter().map(|item| &item.name).collect();
        let mut surplus: HashMap<&[u8], &DirectoryItem> = HashMap::new();
        let mut present = HashSet::new();
        for item in &known {
            if names.contains(&item.name) {
                present.insert(&item.name);
            } else if let Some(second) = surplus.insert(front(item.name.as_bytes()), item) {
                self.remove(&target.join(&second.name), second.kind)?;
            }
        }
        for item in items.iter().filter(|item| !item.name.as_bytes().starts_with(b".")) {
            let (from, to) = (source.join(&item.name), target.join(&item.name));
            if item.kind != FileKind::File {
                if self.last {
                    warn!(path = %from.display(), "not a regular file, left behind");
                }
                continue;
            }
            let front = front(item.name.as_bytes());
            self.carried.entry(folder.to_owned()).or_default().insert(front.to_vec());
            if present.contains(&item.name) {
                continue;
            }
            if let Some(old) = surplus.remove(front) {
                let old = target.join(&old.name);
                self.fs.rename(&old, &to).at("rename", &old)?;
                continue;
            }
            let copied = self.copy(&from, &to);
            self.settle(copied)?;
            self.copied += 1;
            if self.copied.is_multiple_of(STEP) {
                (self.progress)(self.copied)?;
            }
        }
        for item in surplus.values() {
            self.remove(&target.join(&item.name), item.kind)?;
        }
        self.sync_directory(target)
    }

    /// What is there. The last word has a listing during which nothing changed: of a directory in which files are renamed
    /// meanwhile it misses names.
    fn list(&self, directory: &Path) -> Result<Vec<DirectoryItem>, StoreError> {
        let modified = || self.fs.meta(directory).at("look at", directory).map(|meta| meta.modified);
        let mut earlier = None;
        for _ in 0..LIST_TRIES {
            let before = modified()?;
            let items = self.fs.list(directory).at("list", directory)?;
            // A change in the same step of the clock does not show: the time must be an old one, whoever's clock it is by.
            let is_old = || earlier == Some(before) || age(before) >= self.resolution;
            if !self.last || (modified()? == before && is_old()) {
                return Ok(items);
            }
            earlier = Some(before);
            thread::sleep(self.resolution);
        }
        Err(StoreError::Busy)
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        if self.sync_each { copy(self.fs, from, to) } else { copy_unsynced(self.fs, from, to).map(drop) }
    }

    /// What another program renamed or removed meanwhile is known to the next pass.
    fn settle(&self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        match done {
            Err(error) if error.is_not_found() || error.is_stale() => {
                if self.last {
                    Err(StoreError::Busy)
                } else {
                    Ok(())
                }
            }
            done => done,
        }
    }

    fn sync_directory(&self, path: &Path) -> Result<(), StoreError> {
        if self.last && self.sync_each { self.fs.sync_dir(path).at("sync", path) } else { Ok(()) }
    }

    fn remove(&self, path: &Path, kind: FileKind) -> Result<(), StoreError> {
        let removed = match kind {
            FileKind::Directory => remove_tree(self.fs, path),
            _ => self.fs.remove_file(path),
        };
        removed.at("remove", path)
    }
}
