//! From an account here to a Maildir that Dovecot or Courier serves.

use std::path::Path;

use envelope::AccountId;

use super::uid_list::{COURIER, DOVECOT, UidList};
use super::{MigrateError, Migrated, link_or_copy, make_maildir, remove_tree, sync_maildir, write_file};
use crate::account::{
    COURIER_SUBSCRIPTIONS, SUBSCRIPTIONS, print_courier_subscriptions, print_subscriptions,
};
use crate::error::At as _;
use crate::fs::{Fs, is_there};
use crate::mailbox::Exported;
use crate::{MailboxName, Store, StoreError};

impl Store {
    /// Makes a Maildir at `target`, which must not be there yet, with all mail of `account` and the lists that Dovecot and
    /// Courier read; the account stays as it is. Nodes that use a mailbox wait while its files are linked.
    /// `progress` hears of each mailbox that was written.
    ///
    /// # Errors
    /// When there is no such account, or a file can't be written; then `target` is removed again.
    pub fn export(
        &self,
        account: &AccountId,
        target: &Path,
        progress: &mut dyn FnMut(&MailboxName, usize),
    ) -> Result<Vec<Migrated>, MigrateError> {
        let fs = &*self.shared().fs;
        let Some(account) = self.existing_account(account)? else {
            return Err(MigrateError::refused(format!("{account} has no mail here")));
        };
        if is_there(fs, target).at("look at", target)? {
            return Err(MigrateError::refused(format!(
                "`{}` is there already: name a new folder",
                target.display()
            )));
        }
        let mut write = || {
            let infos = account.list()?;
            let mut migrated = Vec::new();
            for info in infos.iter().filter(|info| info.exists) {
                let exported = write_mailbox(fs, &account, &info.name, target)?;
                progress(&info.name, exported.uids.len());
                migrated.push(Migrated {
                    mailbox: info.name.clone(),
                    messages: exported.uids.len() as u64,
                    uids_kept: exported.uids.len() as u64,
                    uid_validity: Some(exported.uid_validity),
                    list: None,
                });
            }
            let subscribed = infos.into_iter().filter(|info| info.subscribed).map(|info| info.name).collect();
            write_file(fs, &target.join(SUBSCRIPTIONS), print_subscriptions(&subscribed).as_bytes())?;
            let courier = print_courier_subscriptions(&subscribed);
            write_file(fs, &target.join(COURIER_SUBSCRIPTIONS), courier.as_bytes())?;
            sync_maildir(fs, target)?;
            let parent =
                target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs.sync_dir(parent).at("sync", parent)?;
            Ok(migrated)
        };
        let written = write().inspect_err(|_: &StoreError| {
            let _ = remove_tree(fs, target);
        });
        Ok(written?)
    }
}

fn write_mailbox(
    fs: &dyn Fs,
    account: &crate::Account,
    name: &MailboxName,
    target: &Path,
) -> Result<Exported, StoreError> {
    let directory = target.join(name.directory());
    make_maildir(fs, &directory, !name.is_inbox())?;
    let exported = account.mailbox(name)?.export_files(&mut |place, name, from| {
        link_or_copy(fs, from, &directory.join(place.directory()).join(name)).map(drop)
    })?;
    let (validity, next) = (exported.uid_validity.0, exported.uid_next);
    let dovecot = UidList::print_dovecot(validity, next, &exported.uids);
    write_file(fs, &directory.join(DOVECOT), dovecot.as_bytes())?;
    let courier = UidList::print_courier(validity, next, &exported.uids);
    write_file(fs, &directory.join(COURIER), courier.as_bytes())?;
    if !exported.keywords.is_empty() {
        write_file(fs, &directory.join("dovecot-keywords"), exported.keywords.as_bytes())?;
    }
    sync_maildir(fs, &directory)?;
    Ok(exported)
}
