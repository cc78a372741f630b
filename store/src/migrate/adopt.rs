//! From another server's Maildir to an account here.

use std::path::{Path, PathBuf};

use envelope::AccountId;
use tracing::warn;

use super::plan::{Folder, Plan, plan};
use super::{MigrateError, Migrated, link_or_copy, make_maildir, remove_tree, sync_maildir, write_file};
use crate::account::{self, SUBSCRIPTIONS, print_subscriptions};
use crate::error::At as _;
use crate::file_name::{Base, FileName};
use crate::fs::{self, Fs};
use crate::layout::{ADOPTING, REPLACED, beside};
use crate::mailbox::fresh_id;
use crate::uid_validity::Reservation;
use crate::{Account, MailboxName, SpecialUse, Store, StoreError, UidValidity};

impl Store {
    /// Takes over the Maildir at `source` as the mail of `account`, which must have none yet; `source` stays as it is.
    /// `progress` hears of each mailbox that was read.
    ///
    /// # Errors
    /// `Refused` with everything that stands in the way, or a failure of the store. The account is as it was then; only when
    /// the last syncs fail it is the new one already, and not known to outlive a power cut.
    pub fn adopt(
        &self,
        account: &AccountId,
        source: &Path,
        progress: &mut dyn FnMut(&MailboxName, usize),
    ) -> Result<Vec<Migrated>, MigrateError> {
        let fs = &*self.shared().fs;
        let _moving = self.moving(account)?;
        let mut problems = Vec::new();
        let existing = self.existing_account(account)?;
        if let Some(count) = existing.as_ref().map(count_messages).transpose()?.filter(|count| *count > 0) {
            problems.push(format!(
                "{account} has {count} messages here already: take the Maildir over before mail arrives"
            ));
        }
        let plan = plan(fs, source, &mut problems, progress)?;
        if !problems.is_empty() {
            return Err(MigrateError::Refused(problems));
        }
        let path = {
            let _placing = self.placing(account)?;
            match &existing {
                Some(existing) => existing.path().to_owned(),
                None => self.place_for(account)?.directory(account),
            }
        };
        let volume = self.shared().volumes.of(&path);
        volume.check_mounted(fs)?;
        self.shared().volumes.check_room(volume)?;
        account::make_parents(fs, &volume.root, &path)?;
        let staging = beside(&path, ADOPTING);
        if fs::is_there(fs, &staging).at("look at", &staging)? {
            let problem = "another one is under way, or one was killed: then remove that folder first";
            return Err(MigrateError::refused(format!("`{}`: {problem}", staging.display())));
        }
        let built = build(fs, &staging, &plan).and_then(|migrated| {
            let _placing = self.placing(account)?;
            // Made by a delivery meanwhile, perhaps on another volume.
            let now = self.locate_settled(account)?;
            if now.as_ref().is_some_and(|now| now.path() != path) {
                return Err(StoreError::AlreadyExists);
            }
            install(fs, &staging, &path, now.is_some())?;
            Ok(migrated)
        });
        if built.is_err() {
            let _ = remove_tree(fs, &staging);
        }
        Ok(built?)
    }
}

fn count_messages(account: &Account) -> Result<u64, StoreError> {
    let mut count = 0;
    for info in account.list()?.into_iter().filter(|info| info.exists) {
        count += account.mailbox(&info.name)?.stats()?.messages;
    }
    Ok(count)
}

/// Builds the whole account at `staging`, on disk when this returns.
fn build(fs: &dyn Fs, staging: &Path, plan: &Plan) -> Result<Vec<Migrated>, StoreError> {
    let mut migrated = Vec::new();
    let mut validity = 0;
    for folder in &plan.folders {
        migrated.push(build_folder(fs, staging, folder)?);
        validity = validity.max(folder.list.as_ref().map_or(0, |(_, list)| list.uid_validity));
    }
    let mut subscriptions = plan.subscriptions.clone();
    for special in SpecialUse::DEFAULT {
        let name = MailboxName::parse(special.mailbox_name())?;
        if !plan.folders.iter().any(|folder| folder.name == name) {
            make_maildir(fs, &staging.join(name.directory()), true)?;
            subscriptions.insert(name);
        }
    }
    write_file(fs, &staging.join(SUBSCRIPTIONS), print_subscriptions(&subscriptions).as_bytes())?;
    // Mailboxes without a list get their UIDVALIDITY at the first look: above all that went along.
    write_file(fs, &staging.join(account::COUNTER_FILE), format!("{validity}\n").as_bytes())?;
    sync_maildir(fs, staging)?;
    Ok(migrated)
}

fn build_folder(fs: &dyn Fs, staging: &Path, folder: &Folder) -> Result<Migrated, StoreError> {
    let directory = staging.join(folder.name.directory());
    make_maildir(fs, &directory, !folder.name.is_inbox())?;
    let mut kept = 0;
    for planned in &folder.files {
        let into = directory.join(planned.place.directory());
        let linked = link_or_copy(fs, &planned.from, &into.join(planned.name.to_string()));
        match linked {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                // Two names that differ in what is not kept: the second becomes a message of its own.
                let base = Base::Own { seconds: seconds(fs, &planned.from)?, id: fresh_id()? };
                let name = FileName { base, uid: None, ..planned.name.clone() };
                link_or_copy(fs, &planned.from, &into.join(name.to_string()))?;
            }
            linked => {
                linked?;
                kept += u64::from(planned.name.uid.is_some());
            }
        }
    }
    if !folder.keywords.0.is_empty() {
        folder.keywords.save(fs, &directory)?;
    }
    if let Some((_, list)) = &folder.list {
        let reservation = Reservation { uid_end: list.uid_next, ..Reservation::fresh(list.uid_validity) };
        reservation.save(fs, &directory)?;
    }
    sync_maildir(fs, &directory)?;
    Ok(Migrated {
        mailbox: folder.name.clone(),
        messages: folder.files.len() as u64,
        uids_kept: kept,
        uid_validity: folder.list.as_ref().map(|(_, list)| UidValidity(list.uid_validity)),
        list: folder.list.as_ref().map(|(name, _)| *name),
    })
}

fn seconds(fs: &dyn Fs, path: &Path) -> Result<u64, StoreError> {
    let modified = fs.meta(path).at("look at", path)?.modified;
    Ok(u64::try_from(modified / 1_000_000_000).unwrap_or(0))
}

/// Puts the account into its place. One that is there and empty goes; if mail came into it meanwhile, it comes back.
fn install(fs: &dyn Fs, staging: &Path, path: &Path, exists: bool) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(path);
    let away = beside(path, REPLACED);
    if exists {
        fs.rename(path, &away).at("rename", path)?;
    }
    if let Err(error) = fs.rename(staging, path) {
        if exists {
            let _ = fs.rename(&away, path);
        }
        return Err(error).at("rename", staging);
    }
    fs.sync_dir(parent).at("sync", parent)?;
    if exists {
        rescue(fs, &away, path)?;
        if let Err(error) = remove_tree(fs, &away) {
            warn!(path = %away.display(), %error, "the empty account that was replaced is not removed");
        }
    }
    Ok(())
}

/// What a delivery put into the empty account in its last moment gets a name in the new one; its UID is given there.
fn rescue(fs: &dyn Fs, away: &Path, path: &Path) -> Result<(), StoreError> {
    let mut folders = vec![PathBuf::new()];
    let items = fs.list(away).at("list", away)?;
    folders.extend(
        items
            .iter()
            .filter(|item| item.kind == fs::FileKind::Directory)
            .map(|item| PathBuf::from(&item.name)),
    );
    for folder in folders {
        for part in ["new", "cur"] {
            let below = away.join(&folder).join(part);
            let Ok(items) = fs.list(&below) else { continue };
            for item in items.iter().filter(|item| item.kind == fs::FileKind::File) {
                let Some(name) = FileName::parse(item.name.as_encoded_bytes()) else { continue };
                let target = FileName { uid: None, flags: None, ..name };
                let into = path.join("new").join(target.to_string());
                link_or_copy(fs, &below.join(&item.name), &into)?;
            }
        }
    }
    let new = path.join("new");
    fs.sync_dir(&new).at("sync", &new)
}
