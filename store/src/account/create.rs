//! CREATE (RFC 3501 §6.3.3), and the account itself.

use std::path::Path;

use super::{Account, DELETED, make_directory, next_uid_validity_locked};
use crate::error::At as _;
use crate::fs::{Fs, is_there};
use crate::mailbox::fresh_id;
use crate::uid_validity::Reservation;
use crate::{MailboxName, SpecialUse, StoreError};

impl Account {
    /// Makes the mailbox and missing parents.
    ///
    /// # Errors
    /// `AlreadyExists`, or a limit of the configuration.
    pub fn create(&self, name: &MailboxName) -> Result<(), StoreError> {
        let _locked = self.lock()?;
        self.create_locked(name)
    }

    pub(super) fn create_locked(&self, name: &MailboxName) -> Result<(), StoreError> {
        if self.is_mailbox(name)? {
            return Err(StoreError::AlreadyExists);
        }
        self.sweep_deleted();
        let config = &self.shared.config;
        if name.depth() > config.folder_depth_max as usize {
            return Err(StoreError::Limit("levels of a mailbox name"));
        }
        if self.folders()?.len() + name.depth() > config.mailboxes_max as usize {
            return Err(StoreError::Limit("mailboxes of one account"));
        }
        let mut missing = vec![name.clone()];
        let mut parent = name.parent();
        while let Some(level) = parent {
            if self.is_mailbox(&level)? {
                break;
            }
            parent = level.parent();
            missing.push(level);
        }
        for level in missing.iter().rev() {
            self.make_mailbox(level)?;
        }
        self.fs().sync_dir(&self.path).at("sync", &self.path)
    }

    /// The account's directory, INBOX and default folders. What a crash left half done is completed.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        make_levels(self.fs(), &self.shared.volumes.of(&self.path).root, &self.path)?;
        let _locked = self.lock()?;
        let inbox = MailboxName::inbox();
        if self.is_mailbox(&inbox)? {
            return Ok(());
        }
        let mut defaults = Vec::new();
        for special in SpecialUse::DEFAULT {
            let name = MailboxName::parse(special.mailbox_name())?;
            if !self.is_mailbox(&name)? {
                self.make_mailbox(&name)?;
            }
            defaults.push(name);
        }
        self.subscribe_all(&defaults)?;
        self.make_mailbox(&inbox)
    }

    /// A folder is built aside, so that a crash leaves no half of it for a listing; INBOX, which is the account, gets its
    /// `cur` last.
    fn make_mailbox(&self, name: &MailboxName) -> Result<(), StoreError> {
        let fs = self.fs();
        let directory = self.directory(name);
        if name.is_inbox() {
            return self.make_parts(&directory);
        }
        if is_there(fs, &directory).at("look at", &directory)? {
            // Half of one that another program made.
            return self.make_folder(&directory);
        }
        let aside = self.path.join(format!("{DELETED}{}", fresh_id()?));
        self.make_folder(&aside)?;
        let renamed = fs.rename(&aside, &directory).at("rename", &aside);
        if renamed.is_err() && !is_there(fs, &directory.join("cur")).at("look at", &directory)? {
            return renamed;
        }
        Ok(())
    }

    fn make_folder(&self, directory: &Path) -> Result<(), StoreError> {
        let fs = self.fs();
        make_directory(fs, directory)?;
        let mark = directory.join("maildirfolder");
        drop(fs.open_write(&mark).at("create", &mark)?);
        self.make_parts(directory)
    }

    fn make_parts(&self, directory: &Path) -> Result<(), StoreError> {
        let fs = self.fs();
        make_directory(fs, &directory.join("tmp"))?;
        make_directory(fs, &directory.join("new"))?;
        if Reservation::load(fs, directory)?.is_none() {
            let uid_validity = next_uid_validity_locked(&self.shared, &self.path)?;
            Reservation::fresh(uid_validity).save(fs, directory)?;
        }
        make_directory(fs, &directory.join("cur"))?;
        fs.sync_dir(directory).at("sync", directory)
    }
}

/// Makes the directory that is to hold `path`, as [`make_levels`].
pub(crate) fn make_parents(fs: &dyn Fs, root: &Path, path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), |parent| make_levels(fs, root, parent))
}

/// Makes every missing directory from `root`, which is there, down to `path`, and syncs the names: those too that are there
/// already, for who made them may have died before the sync.
fn make_levels(fs: &dyn Fs, root: &Path, path: &Path) -> Result<(), StoreError> {
    let below = path.strip_prefix(root).unwrap_or(Path::new(""));
    let mut directory = root.to_owned();
    for level in below.components() {
        let parent = directory.clone();
        directory.push(level);
        make_directory(fs, &directory)?;
        fs.sync_dir(&parent).at("sync", &parent)?;
    }
    Ok(())
}
