//! A copy that is made again until it is one.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tracing::warn;

use super::{Carried, LEFT_BEHIND};
use crate::error::At as _;
use crate::file_name::front;
use crate::fs::{DirectoryItem, FileKind, Fs, is_there};
use crate::migrate::{copy, remove_tree};
use crate::{StoreError, account};

/// Makes one directory like another.
pub(super) struct Mirror<'a> {
    pub(super) fs: &'a dyn Fs,
    /// Nobody changes the source: control files go along, and all of it is on disk afterwards.
    pub(super) last: bool,
    pub(super) copied: u64,
    pub(super) carried: Carried,
    pub(super) progress: &'a mut dyn FnMut(u64),
}

impl Mirror<'_> {
    pub(super) fn directory(&mut self, source: &Path, target: &Path) -> Result<(), StoreError> {
        account::make_directory(self.fs, target)?;
        let items = self.fs.list(source).at("list", source)?;
        let known = self.fs.list(target).at("list", target)?;
        for item in known.iter().filter(|item| !items.iter().any(|found| found.name == item.name)) {
            self.remove(&target.join(&item.name), item.kind)?;
        }
        for item in &items {
            let (from, to) = (source.join(&item.name), target.join(&item.name));
            let name = item.name.to_string_lossy();
            match (item.kind, &*name) {
                (FileKind::Directory, "cur" | "new") => self.messages(&from, &to)?,
                (FileKind::Directory, "tmp") => account::make_directory(self.fs, &to)?,
                (FileKind::Directory, name) if name.starts_with(account::DELETED) => {}
                (FileKind::Directory, _) => match self.directory(&from, &to) {
                    // Without locks folders come and go.
                    Err(error) if error.is_not_found() && !self.last => {}
                    done => done?,
                },
                (FileKind::File, name) if !self.last || LEFT_BEHIND.contains(&name) => {}
                (FileKind::File, _) => {
                    if is_there(self.fs, &to).at("look at", &to)? {
                        self.remove(&to, FileKind::File)?;
                    }
                    copy(self.fs, &from, &to)?;
                }
                (FileKind::Other, _) if self.last => {
                    warn!(path = %from.display(), "neither file nor directory, left behind");
                }
                (FileKind::Other, _) => {}
            }
        }
        if self.last {
            self.fs.sync_dir(target).at("sync", target)?;
        }
        Ok(())
    }

    /// A message's file never changes but for its name.
    fn messages(&mut self, source: &Path, target: &Path) -> Result<(), StoreError> {
        account::make_directory(self.fs, target)?;
        let items = self.fs.list(source).at("list", source)?;
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
        for item in &items {
            let (from, to) = (source.join(&item.name), target.join(&item.name));
            if item.kind != FileKind::File {
                if self.last {
                    warn!(path = %from.display(), "not a regular file, left behind");
                }
                continue;
            }
            let front = front(item.name.as_bytes());
            self.carried.insert(front.to_vec());
            if present.contains(&item.name) {
                continue;
            }
            if let Some(old) = surplus.remove(front) {
                let old = target.join(&old.name);
                self.fs.rename(&old, &to).at("rename", &old)?;
                continue;
            }
            match copy(self.fs, &from, &to) {
                // Renamed or removed meanwhile: the next pass knows.
                Err(error) if error.is_not_found() && !self.last => {}
                copied => {
                    copied?;
                    self.copied += 1;
                    if self.copied.is_multiple_of(1000) {
                        (self.progress)(self.copied);
                    }
                }
            }
        }
        for item in surplus.values() {
            self.remove(&target.join(&item.name), item.kind)?;
        }
        if self.last {
            self.fs.sync_dir(target).at("sync", target)?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path, kind: FileKind) -> Result<(), StoreError> {
        let removed = match kind {
            FileKind::Directory => remove_tree(self.fs, path),
            _ => self.fs.remove_file(path),
        };
        removed.at("remove", path)
    }
}
