//! An account goes from one volume to another while mail arrives and people read.
//!
//! ```text
//!            source volume                 target volume
//!  copying   <name>                        sluice.moving.<name>    nobody waits; what came meanwhile is copied again
//!  switching <name>, all locks held        sluice.moving.<name>    complete and on disk
//!  decided   sluice.moved.<name>           sluice.moving.<name>    whoever looks for the account now gives it its name
//!  moved     sluice.moved.<name>           <name>
//!  cleared                                 <name>
//! ```
//! The one decision is the rename at the source. A move that breaks off before it never was; afterwards it is completed by
//! whoever needs the account. Everything goes along: UIDs, flags, mod-sequences, what the index owes, the ids by which a
//! repeated delivery is known.
//!
//! Other nodes may work with the old directory for as long as their caches hold its name. So it is made useless before the
//! locks are given back: they find no journal and no `cur`, and ask where the account is. What somebody put into it without
//! a lock is brought after; a directory goes when it is empty, which the file system decides.

mod clearing;
mod mirror;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use envelope::AccountId;
use tracing::{info, warn};

use self::clearing::Clearing;
use self::mirror::Mirror;
use crate::account::make_parents;
use crate::error::At as _;
use crate::fs::{Fs, is_there};
use crate::journal;
use crate::layout::{MOVED, MOVING, beside};
use crate::mailbox::LOCK_FILE;
use crate::migrate::{MigrateError, remove_tree};
use crate::volume::Volume;
use crate::{Account, Mailbox, MailboxName, Store, StoreError, account, usage};

/// What a move did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transferred {
    /// Mailboxes that went along.
    pub mailboxes: u64,
    /// Messages, those included that are expunged and not removed yet.
    pub messages: u64,
    /// Those that came to the old place in the last moment and were brought after.
    pub late: u64,
}

/// Passes without locks; each copies what came during the one before.
const PASSES_MAX: u32 = 5;
/// With fewer new files than this a pass is the last without locks.
const FEW: u64 = 50;
/// How often all locks are tried for.
const HOLD_TRIES: u32 = 5;
/// In front of names that nobody shall find any more.
const GONE: &str = "sluice.gone.";
/// Made anew where the account is, or of no use there.
const LEFT_BEHIND: [&str; 3] = [LOCK_FILE, account::LOCK_FILE, usage::FILE];

/// Fronts of message files.
type Carried = HashSet<Vec<u8>>;

impl Store {
    /// Moves an account's mail to the volume of that name. Deliveries and sessions wait while the last changes are
    /// copied; sessions that had the account open must open it anew. `progress` hears how many messages are copied.
    ///
    /// Called for an account that is there already it clears what a move that broke off left behind.
    ///
    /// # Errors
    /// `Refused` when there is nothing to move. After a failure the account is in one place, the old or the new.
    pub fn move_account(
        &self,
        id: &AccountId,
        volume: &str,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Transferred, MigrateError> {
        let shared = self.shared();
        let fs = &*shared.fs;
        let Some(target) = shared.volumes.named(volume) else {
            let known = Vec::from_iter(self.volume_names()).join("`, `");
            return Err(MigrateError::refused(format!("there is no volume `{volume}`, but `{known}`")));
        };
        let _moving = self.moving(id)?;
        let Some(account) = self.existing_account(id)? else {
            return Err(MigrateError::refused(format!("{id} has no mail here")));
        };
        let left = self.clear_left(id, &account)?;
        if shared.volumes.of(account.path()).name == target.name {
            return match left {
                Some(late) => Ok(Transferred { late, ..Transferred::default() }),
                None => Err(MigrateError::refused(format!("{id} is on the volume `{volume}` already"))),
            };
        }
        target.check_mounted(fs)?;
        shared.volumes.check_room(target)?;
        let path = target.directory(id);
        make_parents(fs, &target.root, &path)?;
        let staging = beside(&path, MOVING);
        let copied = self.copy_all(&account, &staging, progress);
        let switched = copied.and_then(|()| self.switch(id, &account, &staging, &path));
        let (mut done, carried) = switched.inspect_err(|_| self.withdraw(&account, &staging))?;
        info!(account = %id, volume, messages = done.messages, "the account is moved");
        if let Some(account) = self.existing_account(id)? {
            for volume in self.others(target) {
                done.late += self.clear(&beside(&volume.directory(id), MOVED), &account, Some(&carried))?;
            }
        }
        Ok(done)
    }

    fn others<'a>(&'a self, target: &'a Volume) -> impl Iterator<Item = &'a Volume> {
        self.shared().volumes.all().iter().filter(|volume| volume.name != target.name)
    }

    /// Clears what earlier moves left; says what was brought after, `None` when there was nothing.
    fn clear_left(&self, id: &AccountId, account: &Account) -> Result<Option<u64>, StoreError> {
        let fs = &*self.shared().fs;
        let mut late = None;
        for volume in self.shared().volumes.all() {
            let staging = beside(&volume.directory(id), MOVING);
            if is_there(fs, &staging).at("look at", &staging)? {
                remove_tree(fs, &staging).at("remove", &staging)?;
            }
            let left = beside(&volume.directory(id), MOVED);
            if is_there(fs, &left).at("look at", &left)? {
                *late.get_or_insert(0) += self.clear(&left, account, None)?;
            }
        }
        Ok(late)
    }

    /// Removes what was built, unless the decision came.
    fn withdraw(&self, account: &Account, staging: &Path) {
        let fs = &*self.shared().fs;
        if is_there(fs, account.path()).unwrap_or(false) {
            let _ = remove_tree(fs, staging);
        }
    }

    /// Without locks, until little is left to do.
    fn copy_all(
        &self,
        account: &Account,
        staging: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let fs = &*self.shared().fs;
        for _ in 0..PASSES_MAX {
            let mut mirror =
                Mirror { fs, last: false, copied: 0, carried: Carried::new(), progress: &mut *progress };
            mirror.directory(account.path(), staging)?;
            if mirror.copied < FEW {
                break;
            }
        }
        Ok(())
    }

    /// Under all locks: the last changes, and the decision.
    fn switch(
        &self,
        id: &AccountId,
        account: &Account,
        staging: &Path,
        path: &Path,
    ) -> Result<(Transferred, Carried), StoreError> {
        for _ in 0..HOLD_TRIES {
            let mailboxes = account.open_all()?;
            let held: Result<Vec<_>, _> = mailboxes.iter().map(|mailbox| mailbox.hold()).collect();
            let held = match held {
                Err(StoreError::LockTimeout | StoreError::NoSuchMailbox) => continue,
                held => held?,
            };
            let _folders = account.lock()?;
            if account.open_all()?.len() != mailboxes.len() {
                continue;
            }
            let carried = self.switch_held(id, account, staging, path, &mailboxes)?;
            drop(held);
            let (mailboxes, messages) = (mailboxes.len() as u64, carried.len() as u64);
            return Ok((Transferred { mailboxes, messages, late: 0 }, carried));
        }
        Err(StoreError::LockTimeout)
    }

    fn switch_held(
        &self,
        id: &AccountId,
        account: &Account,
        staging: &Path,
        path: &Path,
        mailboxes: &[Arc<Mailbox>],
    ) -> Result<Carried, StoreError> {
        let shared = self.shared();
        let fs = &*shared.fs;
        let mut mirror = Mirror { fs, last: true, copied: 0, carried: Carried::new(), progress: &mut |_| {} };
        mirror.directory(account.path(), staging)?;
        let carried = mirror.carried;
        sync_parent(fs, staging)?;
        let _placing = self.placing(id)?;
        let left = beside(account.path(), MOVED);
        let renamed = fs.rename(account.path(), &left).at("rename", account.path());
        if renamed.is_err() && is_there(fs, account.path()).at("look at", account.path())? {
            return renamed.map(|()| carried);
        }
        for mailbox in mailboxes {
            shared.forget(mailbox.path());
        }
        shared.usages.forget(account.path());
        // From here on nothing is taken back: what fails is done by whoever looks for the account.
        sync_parent(fs, &left)?;
        self.install(staging, path)?;
        for mailbox in mailboxes {
            let below = mailbox.path().strip_prefix(account.path()).unwrap_or(Path::new(""));
            disable(fs, &left.join(below));
        }
        Ok(carried)
    }

    /// Removes the old directory; what came into it in the last moment is brought after. Says how much that was.
    fn clear(&self, left: &Path, account: &Account, carried: Option<&Carried>) -> Result<u64, StoreError> {
        let fs = &*self.shared().fs;
        if !is_there(fs, left).at("look at", left)? {
            return Ok(0);
        }
        // The new place was named by somebody who may have died before the sync.
        sync_parent(fs, account.path())?;
        let mut clearing = Clearing { fs, account, carried, present: HashMap::new(), late: 0 };
        clearing.tree(left, Path::new(""))?;
        sync_parent(fs, left)?;
        Ok(clearing.late)
    }
}

impl Account {
    /// INBOX and every folder, in the order in which all of them may be locked.
    fn open_all(&self) -> Result<Vec<Arc<Mailbox>>, StoreError> {
        let folders: BTreeSet<MailboxName> = self.folders()?;
        let mut mailboxes = vec![self.mailbox(&MailboxName::inbox())?];
        for name in &folders {
            match self.mailbox(name) {
                Err(StoreError::NoSuchMailbox) => {}
                mailbox => mailboxes.push(mailbox?),
            }
        }
        Ok(mailboxes)
    }
}

fn sync_parent(fs: &dyn Fs, path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(path);
    fs.sync_dir(parent).at("sync", parent)
}

/// Takes away what makes the directory a mailbox. Whoever waits for its lock then finds none; what can't be taken away now
/// goes with the whole directory.
fn disable(fs: &dyn Fs, mailbox: &Path) {
    for name in [journal::FILE, "cur", "new"] {
        let renamed = fs.rename(&mailbox.join(name), &mailbox.join(format!("{GONE}{name}")));
        if let Err(error) =
            renamed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            warn!(mailbox = %mailbox.display(), %error, "the old place of a mailbox is not closed yet");
        }
    }
}
