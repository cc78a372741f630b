//! DELETE (RFC 3501 §6.3.4).

use std::io;
use std::path::Path;

use tracing::warn;

use super::Account;
use crate::error::At as _;
use crate::fs::{FileKind, Fs};
use crate::mailbox::fresh_id;
use crate::{MailboxName, StoreError};

pub(crate) const DELETED: &str = "sluice.deleted.";

impl Account {
    /// Removes the mailbox with its messages; its children stay. Sessions that have it open get `NoSuchMailbox`.
    ///
    /// # Errors
    /// `InboxIsPermanent`, `NoSuchMailbox`, or `HasChildren` for a level that is no mailbox itself.
    pub fn delete(&self, name: &MailboxName) -> Result<(), StoreError> {
        if name.is_inbox() {
            return Err(StoreError::InboxIsPermanent);
        }
        let _locked = self.lock()?;
        if !self.is_mailbox(name)? {
            let has_children = self.folders()?.iter().any(|folder| folder.below(name).is_some());
            return Err(if has_children { StoreError::HasChildren } else { self.missing() });
        }
        let directory = self.directory(name);
        let away = self.path.join(format!("{DELETED}{}", fresh_id()?));
        let renamed = self.fs().rename(&directory, &away).at("rename", &directory);
        if renamed.is_err() && (self.fs().meta(&directory).is_ok() || self.fs().meta(&away).is_err()) {
            return renamed;
        }
        self.shared.forget(&directory);
        self.fs().sync_dir(&self.path).at("sync", &self.path)?;
        self.shared.nodes.changed(&self.path, name);
        self.sweep_deleted();
        Ok(())
    }

    /// Removes what earlier deletions left; what can't be removed now is tried again next time.
    pub(super) fn sweep_deleted(&self) {
        let Ok(items) = self.fs().list(&self.path) else { return };
        for item in items {
            if item.name.as_encoded_bytes().starts_with(DELETED.as_bytes())
                && item.kind == FileKind::Directory
            {
                let path = self.path.join(&item.name);
                if let Err(error) = remove_folder(self.fs(), &path) {
                    warn!(path = %path.display(), %error, "deleted mailbox not removed yet");
                }
            }
        }
    }
}

/// Two levels deep, as folders are; anything deeper was not made by us and stays.
fn remove_folder(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    for item in fs.list(path)? {
        let inner = path.join(&item.name);
        if item.kind == FileKind::Directory {
            for file in fs.list(&inner)? {
                fs.remove_file(&inner.join(&file.name))?;
            }
            fs.remove_dir(&inner)?;
        } else {
            fs.remove_file(&inner)?;
        }
    }
    fs.remove_dir(path)
}
