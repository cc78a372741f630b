//! RENAME (RFC 3501 §6.3.5).

use super::Account;
use crate::error::At as _;
use crate::{MailboxName, StoreError, Uid};

impl Account {
    /// Children move along. Renaming INBOX moves its messages into the new mailbox and leaves INBOX empty (RFC 3501 §6.3.5).
    ///
    /// # Errors
    /// `NoSuchMailbox`, `AlreadyExists`, or a name that is too long or deep for a child.
    pub fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), StoreError> {
        if from.is_inbox() {
            return self.rename_inbox(to);
        }
        if to == from {
            return Err(StoreError::AlreadyExists);
        }
        if to.below(from).is_some() {
            return Err(StoreError::Limit("a mailbox can't be renamed into itself"));
        }
        let _locked = self.lock()?;
        let folders = self.folders()?;
        let mut moves: Vec<(MailboxName, MailboxName)> = Vec::new();
        for folder in &folders {
            if folder == from {
                moves.push((folder.clone(), to.clone()));
            } else if let Some(rest) = folder.below(from) {
                moves.push((folder.clone(), to.child(rest)?));
            }
        }
        if moves.is_empty() {
            return Err(self.missing());
        }
        if to.is_inbox() || folders.contains(to) || moves.iter().any(|(_, target)| folders.contains(target)) {
            return Err(StoreError::AlreadyExists);
        }
        let depth_max = self.shared.config.folder_depth_max as usize;
        if moves.iter().any(|(_, target)| target.depth() > depth_max) {
            return Err(StoreError::Limit("levels of a mailbox name"));
        }
        if let Some(parent) = to.parent()
            && !self.is_mailbox(&parent)?
        {
            self.create_locked(&parent)?;
        }
        // Children first: a crash in between leaves their parent, and a second RENAME does the rest.
        for (source, target) in moves.iter().rev() {
            let (old, new) = (self.directory(source), self.directory(target));
            let renamed = self.fs().rename(&old, &new).at("rename", &old);
            if renamed.is_err() && (self.fs().meta(&old).is_ok() || self.fs().meta(&new).is_err()) {
                return renamed;
            }
            self.shared.forget(&old);
        }
        self.fs().sync_dir(&self.path).at("sync", &self.path)?;
        moves.iter().for_each(|(source, _)| self.shared.nodes.changed(&self.path, source));
        Ok(())
    }

    fn rename_inbox(&self, to: &MailboxName) -> Result<(), StoreError> {
        self.create(to)?;
        let inbox = self.mailbox(&MailboxName::inbox())?;
        let target = self.mailbox(to)?;
        let uids: Vec<Uid> = inbox.refresh()?.iter().map(|entry| entry.uid).collect();
        inbox.move_to(&uids, &target).map(drop)
    }
}
