//! From another server's Maildir to an account here.

use std::path::Path;

use envelope::AccountId;

use super::plan::{Folder, Plan, plan};
use super::{MigrateError, Migrated, link_or_copy, make_maildir, remove_tree, sync_maildir, write_file};
use crate::account::{self, SUBSCRIPTIONS, print_subscriptions};
use crate::error::At as _;
use crate::file_name::{Base, FileName};
use crate::fs::{self, Fs};
use crate::layout::{ADOPTING, MOVING, beside};
use crate::mailbox::{Held, fresh_id};
use crate::transfer::{Decision, Everything};
use crate::uid_validity::Reservation;
use crate::{Account, MailboxName, SpecialUse, Store, StoreError, UidValidity};

impl Store {
    /// Takes over the Maildir at `source` as the mail of `account`, which must have none yet; `source` stays as it is.
    /// `progress` hears of each mailbox that was read.
    ///
    /// # Errors
    /// `Refused` with everything that stands in the way, or a failure of the store. The account is as it was then; only when
    /// the last steps fail it is the new one already, which whoever needs it completes.
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
            self.leave_note(account)?;
            self.take_place(account, &staging, &path)?;
            Ok(migrated)
        });
        if built.is_err() {
            let _ = remove_tree(fs, &staging);
        }
        let migrated = built?;
        if let Some(now) = self.existing_account(account)? {
            // What a delivery put into the empty account in its last moment.
            self.clear_left(account, &now)?;
        }
        self.remove_note(account);
        Ok(migrated)
    }

    /// Puts the account that was built into its place. One that is there must be empty.
    fn take_place(&self, id: &AccountId, staging: &Path, path: &Path) -> Result<(), StoreError> {
        let existing = {
            let _placing = self.placing(id)?;
            match self.locate_settled(id)? {
                Some(existing) => existing,
                None => return self.install(staging, path),
            }
        };
        // Made by a delivery meanwhile, perhaps on another volume.
        if existing.path() != path {
            return Err(StoreError::AlreadyExists);
        }
        let all = Everything::open(&existing)?;
        let (held, _folders) = all.hold()?;
        if !held.iter().all(Held::is_empty) {
            return Err(StoreError::AlreadyExists);
        }
        let fs = &*self.shared().fs;
        // No UIDVALIDITY that the empty account gave comes again.
        let (known, built) = (counter(fs, path)?, counter(fs, staging)?);
        let text = format!("{}\n", known.max(built));
        fs::replace(fs, staging, account::COUNTER_FILE, text.as_bytes()).at("replace", staging)?;
        let _placing = self.placing_at_once(id)?;
        let copy = beside(path, MOVING);
        if fs::is_there(fs, &copy).at("look at", &copy)? {
            remove_tree(fs, &copy).at("remove", &copy)?;
        }
        fs.rename(staging, &copy).at("rename", staging)?;
        let parent = path.parent().unwrap_or(path);
        fs.sync_dir(parent).at("sync", parent)?;
        // Locks of a network file system end with their lease.
        if !held.iter().all(Held::is_current) {
            return Err(StoreError::Busy);
        }
        Decision { store: self, from: path, to: path, copy: &copy }.make(&all.mailboxes)
    }
}

/// The last UIDVALIDITY that an account gave.
fn counter(fs: &dyn Fs, account: &Path) -> Result<u32, StoreError> {
    let path = account.join(account::COUNTER_FILE);
    let text = fs::read_optional(fs, &path).at("read", &path)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).trim().parse().unwrap_or(0))
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
