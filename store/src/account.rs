//! One account: its mailboxes as Maildir++ folders, its subscriptions.
//!
//! ```text
//! <account>/                 INBOX: cur/ new/ tmp/ and the sluice.* files
//! <account>/.Work.Plans/     Work/Plans, with a file `maildirfolder`
//! <account>/subscriptions    as Dovecot's
//! <account>/sluice.folders   the last UIDVALIDITY given to any mailbox of the account
//! <account>/sluice.folders.lock
//! <account>/sluice.deleted.* folders being made or removed
//! ```
//! A folder comes and goes whole, by a rename; INBOX is there when its `cur/` is, which is made last.

mod create;
mod delete;
mod list;
mod rename;
mod subscriptions;

pub(crate) use create::make_parents;
pub(crate) use delete::DELETED;
pub use list::MailboxInfo;
pub(crate) use subscriptions::{
    COURIER_FILE as COURIER_SUBSCRIPTIONS, FILE as SUBSCRIPTIONS, parse as parse_subscriptions,
    parse_courier as parse_courier_subscriptions, print as print_subscriptions,
    print_courier as print_courier_subscriptions,
};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::error::At as _;
use crate::fs::{self, Fs, Syncs};
use crate::lock::{LockFile, Locked};
use crate::store::Shared;
use crate::{Mailbox, MailboxName, SpecialUse, StoreError, View};

pub(crate) const LOCK_FILE: &str = "sluice.folders.lock";
pub(crate) const COUNTER_FILE: &str = "sluice.folders";

/// One account's mailboxes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Account {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl Account {
    /// Opens the account's directory and makes it, with INBOX and the default folders, when it is missing.
    pub(crate) fn open(shared: Arc<Shared>, path: PathBuf) -> Result<Self, StoreError> {
        let account = Self { shared, path };
        if !account.is_mailbox(&MailboxName::inbox())? {
            account.check_mounted()?;
            account.make()?;
        }
        Ok(account)
    }

    pub(crate) fn existing(shared: Arc<Shared>, path: PathBuf) -> Result<Option<Self>, StoreError> {
        let account = Self { shared, path };
        Ok(account.is_mailbox(&MailboxName::inbox())?.then_some(account))
    }

    /// The mailbox of that name.
    ///
    /// # Errors
    /// `NoSuchMailbox` when there is none.
    pub fn mailbox(&self, name: &MailboxName) -> Result<Arc<Mailbox>, StoreError> {
        self.shared.freshen(&self.path);
        if !self.is_mailbox(name)? {
            return Err(self.missing());
        }
        Ok(self.shared.mailbox(&self.path, name))
    }

    /// The same, without a look whether it is still there when its disk was looked at within `age`.
    ///
    /// # Errors
    /// Those of [`Self::mailbox`].
    pub fn mailbox_within(&self, name: &MailboxName, age: Duration) -> Result<Arc<Mailbox>, StoreError> {
        match self.shared.known(&self.directory(name)).filter(|mailbox| mailbox.looked_within(age)) {
            Some(mailbox) => Ok(mailbox),
            None => self.mailbox(name),
        }
    }

    /// The latest picture of that mailbox if it is in memory and its disk was looked at within `age`: without I/O.
    pub fn remembered(&self, name: &MailboxName, age: Duration) -> Option<Arc<View>> {
        let mailbox = self.shared.known(&self.directory(name))?;
        mailbox.looked_within(age).then(|| mailbox.latest())?
    }

    /// The mailbox with that use, made if it is missing.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn special(&self, special_use: SpecialUse) -> Result<Arc<Mailbox>, StoreError> {
        let name = MailboxName::parse(special_use.mailbox_name())?;
        if !self.is_mailbox(&name)? {
            match self.create(&name) {
                Ok(()) => self.set_subscribed(&name, true)?,
                Err(StoreError::AlreadyExists) => {}
                Err(error) => return Err(error),
            }
        }
        self.mailbox(&name)
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn fs(&self) -> &dyn Fs {
        &*self.shared.fs
    }

    fn directory(&self, name: &MailboxName) -> PathBuf {
        self.path.join(name.directory())
    }

    /// Looks twice before it says no: another node's new name may be hidden by an earlier look.
    fn is_mailbox(&self, name: &MailboxName) -> Result<bool, StoreError> {
        let directory = self.directory(name);
        let cur = directory.join("cur");
        let is_there = || fs::is_there(self.fs(), &cur).at("look at", &cur);
        let found = is_there()?;
        if found || !self.shared.network {
            return Ok(found);
        }
        self.shared.freshen(&self.path);
        self.shared.freshen(&directory);
        is_there()
    }

    fn check_mounted(&self) -> Result<(), StoreError> {
        self.shared.volumes.of(&self.path).check_mounted(self.fs())
    }

    /// Why a mailbox is not there.
    fn missing(&self) -> StoreError {
        missing(&self.shared, &self.path)
    }

    pub(crate) fn lock(&self) -> Result<Locked, StoreError> {
        lock(&self.shared, &self.path)
    }

    /// As [`Self::lock`], but without a wait.
    pub(crate) fn lock_at_once(&self) -> Result<Locked, StoreError> {
        LockFile::new(self.shared.clone(), &self.path, LOCK_FILE).lock(Instant::now())
    }
}

/// Why a mailbox of the account is not there: it, the account, or the whole volume is gone.
pub(crate) fn missing(shared: &Shared, account: &Path) -> StoreError {
    if let Err(error) = shared.volumes.of(account).check_mounted(&*shared.fs) {
        return error;
    }
    match fs::is_there(&*shared.fs, &account.join("cur")).at("look at", account) {
        Ok(true) => StoreError::NoSuchMailbox,
        Ok(false) => StoreError::Gone,
        Err(error) => error,
    }
}

/// Excludes other changes of the account's folders. Never waits for a mailbox's lock while holding it.
fn lock(shared: &Arc<Shared>, account: &Path) -> Result<Locked, StoreError> {
    let wait = shared.config.lock_wait_max.as_duration();
    let deadline =
        Instant::now().checked_add(wait).unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
    LockFile::new(shared.clone(), account, LOCK_FILE).lock(deadline)
}

/// A UIDVALIDITY that no mailbox of the account has had, larger than all before.
pub(crate) fn next_uid_validity(shared: &Arc<Shared>, account: &Path) -> Result<u32, StoreError> {
    let _locked = lock(shared, account)?;
    uid_validities_locked(shared, account, 1, Syncs::Each)
}

/// The first of so many of them.
fn uid_validities_locked(
    shared: &Shared,
    account: &Path,
    count: u32,
    syncs: Syncs,
) -> Result<u32, StoreError> {
    let path = account.join(COUNTER_FILE);
    let text = fs::read_optional(&*shared.fs, &path).at("read", &path)?.unwrap_or_default();
    let last = String::from_utf8_lossy(&text).trim().parse::<u32>().unwrap_or(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| now.as_secs());
    let first = u32::try_from(now).unwrap_or(u32::MAX - count).max(last.saturating_add(1));
    let content = format!("{}\n", first.saturating_add(count - 1));
    fs::replace_with(&*shared.fs, account, (COUNTER_FILE, content.as_bytes()), syncs).at("replace", &path)?;
    Ok(first)
}

/// Makes a directory that may be there already.
pub(crate) fn make_directory(fs: &dyn Fs, path: &Path) -> Result<(), StoreError> {
    match fs.create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.at("create", path),
    }
}
