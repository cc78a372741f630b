//! CREATE (RFC 3501 §6.3.3), and the account itself.

use std::path::Path;

use super::{Account, make_directory, next_uid_validity_locked};
use crate::error::At as _;
use crate::fs::Fs;
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
        make_levels(self.fs(), &self.shared.config.root, &self.path)?;
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

    fn make_mailbox(&self, name: &MailboxName) -> Result<(), StoreError> {
        let fs = self.fs();
        let directory = self.directory(name);
        if !name.is_inbox() {
            make_directory(fs, &directory)?;
            let mark = directory.join("maildirfolder");
            drop(fs.open_write(&mark).at("create", &mark)?);
        }
        make_directory(fs, &directory.join("tmp"))?;
        make_directory(fs, &directory.join("new"))?;
        if Reservation::load(fs, &directory)?.is_none() {
            let uid_validity = next_uid_validity_locked(&self.shared, &self.path)?;
            Reservation::fresh(uid_validity).save(fs, &directory)?;
        }
        make_directory(fs, &directory.join("cur"))?;
        fs.sync_dir(&directory).at("sync", &directory)
    }
}

/// Makes every missing directory from `root`, which is there, down to `path`, and syncs the names.
pub(crate) fn make_levels(fs: &dyn Fs, root: &Path, path: &Path) -> Result<(), StoreError> {
    let below = path.strip_prefix(root).unwrap_or(Path::new(""));
    let mut directory = root.to_owned();
    for level in below.components() {
        let parent = directory.clone();
        directory.push(level);
        if make_directory(fs, &directory)? {
            fs.sync_dir(&parent).at("sync", &parent)?;
        }
    }
    Ok(())
}
