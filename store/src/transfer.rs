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

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
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
use crate::mailbox::{Held, LOCK_FILE};
use crate::migrate::{MigrateError, remove_tree};
use crate::volume::{Volume, Writes};
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

/// Fronts of message files, by folder.
type Carried = HashMap<PathBuf, HashSet<Vec<u8>>>;

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
        let Some(target) = shared.volumes.named(volume) else {
            let known = Vec::from_iter(self.volume_names()).join("`, `");
            return Err(MigrateError::refused(format!("there is no volume `{volume}`, but `{known}`")));
        };
        let _moving = self.moving(id)?;
        // Not as caches have it: a move that was decided is completed first.
        let found = {
            let _placing = self.placing(id)?;
            self.locate_settled(id)?
        };
        let Some(account) = found else {
            return Err(MigrateError::refused(format!("{id} has no mail here")));
        };
        let left = self.clear_left(id, &account)?;
        if shared.volumes.of(account.path()).name == target.name {
            return match left {
                Some(late) => Ok(Transferred { late, ..Transferred::default() }),
                None => Err(MigrateError::refused(format!("{id} is on the volume `{volume}` already"))),
            };
        }
        let (mut done, carried) = self.transfer(id, &account, target, progress)?;
        info!(account = %id, volume, messages = done.messages, "the account is moved");
        if let Some(account) = self.existing_account(id)? {
            for volume in shared.volumes.all().iter().filter(|volume| volume.name != target.name) {
                done.late += self.clear(&beside(&volume.directory(id), MOVED), &account, Some(&carried))?;
            }
        }
        Ok(done)
    }

    /// Clears what earlier moves left; says what was brought after, `None` when there was nothing.
    fn clear_left(&self, id: &AccountId, account: &Account) -> Result<Option<u64>, StoreError> {
        let fs = &*self.shared().fs;
        let mut late = None;
        for volume in self.shared().volumes.all() {
            let left = beside(&volume.directory(id), MOVED);
            if is_there(fs, &left).at("look at", &left)? {
                *late.get_or_insert(0) += self.clear(&left, account, None)?;
            }
        }
        // Copies of moves that were never decided: a decided one has its name by now.
        for volume in self.shared().volumes.all() {
            let staging = beside(&volume.directory(id), MOVING);
            if is_there(fs, &staging).at("look at", &staging)? {
                remove_tree(fs, &staging).at("remove", &staging)?;
            }
        }
        Ok(late)
    }

    fn transfer(
        &self,
        id: &AccountId,
        account: &Account,
        target: &Volume,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Transferred, Carried), MigrateError> {
        let shared = self.shared();
        let fs = &*shared.fs;
        target.check_mounted(fs)?;
        shared.volumes.check_room_for(target, account.usage()?)?;
        let path = target.directory(id);
        make_parents(fs, &target.root, &path)?;
        {
            let _placing = self.placing(id)?;
            self.free_place(&path)?;
        }
        let staging = beside(&path, MOVING);
        let switch = Switch {
            store: self,
            id,
            account,
            left: beside(account.path(), MOVED),
            staging,
            path,
            writes: if shared.network { None } else { Some(target.begin(fs)?) },
        };
        let mut step = |count| {
            progress(count);
            shared.volumes.check_room(target)
        };
        let switched = switch.copy(&mut step).and_then(|()| switch.run());
        Ok(switched.inspect_err(|_| switch.withdraw())?)
    }

    /// Under the lock: makes sure that no account, and nothing of one that was never finished, is in the way.
    fn free_place(&self, path: &Path) -> Result<(), MigrateError> {
        let fs = &*self.shared().fs;
        if is_there(fs, &path.join("cur")).at("look at", path)? {
            let problem = "there is other mail of this account too; which one counts must be decided by hand";
            return Err(MigrateError::refused(format!("`{}`: {problem}", path.display())));
        }
        if is_there(fs, path).at("look at", path)? {
            remove_tree(fs, path).at("remove", path)?;
        }
        Ok(())
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

/// A move under way.
struct Switch<'a> {
    store: &'a Store,
    id: &'a AccountId,
    account: &'a Account,
    /// What the old directory is called when the decision has come.
    left: PathBuf,
    /// The copy, and the name that it gets.
    staging: PathBuf,
    path: PathBuf,
    /// For one sync of the whole target; none where each file is synced by itself.
    writes: Option<Writes<'a>>,
}

impl Switch<'_> {
    fn fs(&self) -> &dyn Fs {
        &*self.store.shared().fs
    }

    fn mirror(
        &self,
        last: bool,
        progress: &mut dyn FnMut(u64) -> Result<(), StoreError>,
    ) -> Result<(u64, Carried), StoreError> {
        let mut mirror = Mirror {
            fs: self.fs(),
            sync_each: self.writes.is_none(),
            last,
            resolution: self.store.shared().config.mtime_resolution.as_duration(),
            copied: 0,
            carried: Carried::new(),
            progress,
        };
        mirror.directory(self.account.path(), &self.staging, Path::new(""))?;
        let (copied, carried) = (mirror.copied, mirror.carried);
        if let Some(writes) = &self.writes {
            writes.sync()?;
        }
        Ok((copied, carried))
    }

    /// Without locks, until little is left to do.
    fn copy(&self, progress: &mut dyn FnMut(u64) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for _ in 0..PASSES_MAX {
            let (copied, _) = self.mirror(false, progress)?;
            if copied < FEW {
                break;
            }
        }
        Ok(())
    }

    /// Under all locks: the last changes, and the decision.
    fn run(&self) -> Result<(Transferred, Carried), StoreError> {
        let mut failed = StoreError::LockTimeout;
        for _ in 0..HOLD_TRIES {
            match self.hold() {
                Err(error @ (StoreError::LockTimeout | StoreError::NoSuchMailbox | StoreError::Busy)) => {
                    failed = error;
                }
                done => return done,
            }
        }
        Err(failed)
    }

    fn hold(&self) -> Result<(Transferred, Carried), StoreError> {
        let account = self.account;
        let folders = account.folders()?;
        let mut mailboxes = vec![account.mailbox(&MailboxName::inbox())?];
        for name in &folders {
            match account.mailbox(name) {
                Err(StoreError::NoSuchMailbox) => {}
                mailbox => mailboxes.push(mailbox?),
            }
        }
        let held: Vec<_> = mailboxes.iter().map(|mailbox| mailbox.hold()).collect::<Result<_, _>>()?;
        let _folders = account.lock()?;
        if account.folders()? != folders {
            return Err(StoreError::Busy);
        }
        let (_, carried) = self.mirror(true, &mut |_| Ok(()))?;
        sync_parent(self.fs(), &self.staging)?;
        // Nothing is waited for while everybody waits for us.
        let _placing = self.store.placing_at_once(self.id)?;
        if is_there(self.fs(), &self.path).at("look at", &self.path)? {
            return Err(StoreError::AlreadyExists);
        }
        // Locks of a network file system end with their lease, which somebody who slept does not hear.
        if !held.iter().all(Held::is_current) {
            return Err(StoreError::Busy);
        }
        let messages = carried.values().map(|fronts| fronts.len() as u64).sum();
        self.decide(&mailboxes)?;
        Ok((Transferred { mailboxes: mailboxes.len() as u64, messages, late: 0 }, carried))
    }

    fn decide(&self, mailboxes: &[Arc<Mailbox>]) -> Result<(), StoreError> {
        let (fs, shared) = (self.fs(), self.store.shared());
        let from = self.account.path();
        let renamed = fs.rename(from, &self.left).at("rename", from);
        from.parent().into_iter().for_each(|parent| shared.freshen(parent));
        if renamed.is_err() && !is_there(fs, &self.left).at("look at", &self.left)? {
            return renamed;
        }
        for mailbox in mailboxes {
            shared.forget(mailbox.path());
        }
        shared.usages.forget(from);
        // From here on nothing is taken back: what fails is done by whoever looks for the account.
        sync_parent(fs, &self.left)?;
        let installed = self.store.install(&self.staging, &self.path);
        for mailbox in mailboxes {
            let below = mailbox.path().strip_prefix(from).unwrap_or(Path::new(""));
            disable(fs, &self.left.join(below));
        }
        installed
    }

    /// Removes what was built, when it is certain that the decision did not come.
    fn withdraw(&self) {
        let fs = self.fs();
        self.left.parent().into_iter().for_each(|parent| self.store.shared().freshen(parent));
        let undecided = matches!(is_there(fs, &self.left), Ok(false));
        if undecided && matches!(is_there(fs, self.account.path()), Ok(true)) {
            let _ = remove_tree(fs, &self.staging);
        }
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
