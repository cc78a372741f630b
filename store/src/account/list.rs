//! LIST and LSUB (RFC 3501 §6.3.8, RFC 5258).

use std::collections::BTreeSet;

use super::Account;
use crate::error::At as _;
use crate::fs::FileKind;
use crate::{MailboxName, SpecialUse, StoreError};

/// One name of a listing.
#[derive(Debug, Clone)]
pub struct MailboxInfo {
    /// Its name.
    pub name: MailboxName,
    /// RFC 6154.
    pub special_use: Option<SpecialUse>,
    /// Whether the user subscribed to it.
    pub subscribed: bool,
    /// Whether there are mailboxes below.
    pub has_children: bool,
    /// False for a level that only exists because of its children, or a subscription to a mailbox that is gone.
    pub exists: bool,
}

impl Account {
    /// Every mailbox and, with `exists` false, subscribed names without one and missing parents. INBOX first, then by name.
    ///
    /// # Errors
    /// When the account can't be read.
    pub fn list(&self) -> Result<Vec<MailboxInfo>, StoreError> {
        let folders = self.folders()?;
        let subscribed = self.subscriptions()?;
        let mut names: BTreeSet<MailboxName> = folders.union(&subscribed).cloned().collect();
        for name in &folders {
            let mut parent = name.parent();
            while let Some(level) = parent {
                parent = level.parent();
                names.insert(level);
            }
        }
        let inbox = MailboxName::inbox();
        names.remove(&inbox);
        let parents: BTreeSet<MailboxName> = folders.iter().flat_map(ancestors).collect();
        let info = |name: MailboxName| MailboxInfo {
            special_use: SpecialUse::of(&name),
            subscribed: subscribed.contains(&name),
            has_children: parents.contains(&name),
            exists: name.is_inbox() || folders.contains(&name),
            name,
        };
        Ok(std::iter::once(inbox).chain(names).map(info).collect())
    }

    /// Every folder on disk, without INBOX.
    pub(crate) fn folders(&self) -> Result<BTreeSet<MailboxName>, StoreError> {
        let items = match self.fs().list(&self.path).at("list", &self.path) {
            Err(error) if error.is_not_found() || error.is_stale() => return Err(self.missing()),
            items => items?,
        };
        let directories = items.iter().filter(|item| item.kind == FileKind::Directory);
        Ok(directories.filter_map(|item| MailboxName::from_directory(item.name.to_str()?)).collect())
    }
}

fn ancestors(name: &MailboxName) -> Vec<MailboxName> {
    std::iter::successors(name.parent(), MailboxName::parent).collect()
}
