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
use std::path::{Path, PathBuf};
use std::sync::Arc;

use envelope::AccountId;
use tracing::{info, warn};

use self::clearing::Clearing;
use self::mirror::Mirror;
use crate::account::make_parents;
use crate::error::At as _;
use crate::fs::{self, Fs, is_there};
use crate::journal;
use crate::layout::{self, MOVED, MOVING, beside};
use crate::lock::Locked;
use crate::mailbox::{Held, LOCK_FILE};
use crate::migrate::{MigrateError, remove_tree};
use crate::placement::LOCKS;
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
/// Behind an account's name: there may be something to clear.
const NOTE: &str = ".pending";
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
            self.remove_note(id);
            return match left {
                Some(late) => Ok(Transferred { late, ..Transferred::default() }),
                None => Err(MigrateError::refused(format!("{id} is on the volume `{volume}` already"))),
            };
        }
        self.leave_note(id)?;
        let (mut done, carried) = self.transfer(id, &account, target, progress)?;
        info!(account = %id, volume, messages = done.messages, "the account is moved");
        if let Some(account) = self.existing_account(id)? {
            for volume in shared.volumes.all().iter().filter(|volume| volume.name != target.name) {
                done.late += self.clear(&beside(&volume.directory(id), MOVED), &account, Some(&carried))?;
            }
        }
        self.remove_note(id);
        Ok(done)
    }

    /// Says, until [`Self::remove_note`], that something may have to be cleared for this account.
    pub(crate) fn leave_note(&self, id: &AccountId) -> Result<(), StoreError> {
        let (directory, name) = self.note(id);
        let fs = &*self.shared().fs;
        account::make_directory(fs, &directory)?;
        fs::replace(fs, &directory, &name, format!("{id}\n").as_bytes()).at("write", &directory.join(name))
    }

    /// What fails here only has the account looked at once more.
    pub(crate) fn remove_note(&self, id: &AccountId) {
        let (directory, name) = self.note(id);
        let _ = self.shared().fs.remove_file(&directory.join(name));
    }

    fn note(&self, id: &AccountId) -> (PathBuf, String) {
        let path = layout::account_directory(Path::new(""), id);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (self.shared().config.root.join(LOCKS), format!("{name}{NOTE}"))
    }

    /// Upkeep: clears what moves left that were broken off. What somebody put into the old place at the last moment is shown
    /// again by this.
    pub(crate) fn finish_moves(&self) {
        let fs = &*self.shared().fs;
        let directory = self.shared().config.root.join(LOCKS);
        let Ok(items) = fs.list(&directory) else { return };
        for item in items.iter().filter(|item| item.name.as_encoded_bytes().ends_with(NOTE.as_bytes())) {
            let text = fs::read_optional(fs, &directory.join(&item.name)).ok().flatten().unwrap_or_default();
            let Ok(id) = String::from_utf8_lossy(&text).trim().parse::<AccountId>() else { continue };
            match self.finish_move(&id) {
                // Somebody is at it.
                Err(StoreError::LockTimeout) | Ok(()) => {}
                Err(error) => warn!(account = %id, %error, "the old place of an account is not cleared yet"),
            }
        }
    }

    fn finish_move(&self, id: &AccountId) -> Result<(), StoreError> {
        let _moving = self.moving(id)?;
        let found = {
            let _placing = self.placing(id)?;
            self.locate_settled(id)?
        };
        if let Some(account) = found {
            let late = self.clear_left(id, &account)?;
            info!(account = %id, late, "a move of the account that was broken off is cleared");
        }
        self.remove_note(id);
        Ok(())
    }

    /// Clears what earlier moves left; says what was brought after, `None` when there was nothing.
    pub(crate) fn clear_left(&self, id: &AccountId, account: &Account) -> Result<Option<u64>, StoreError> {
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
        account::make_directory(fs, &staging)?;
        let built = fs.meta(&staging).at("look at", &staging)?.identity;
        let switch = Switch {
            store: self,
            id,
            account,
            left: beside(account.path(), MOVED),
            staging,
            path,
            built,
            writes: if shared.network || !target.syncs_whole { None } else { Some(target.begin(fs)?) },
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
        if is_there(fs, &path.join("cur")).at("look at", path)? || holds_mail(fs, path)? {
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
    /// Which directory that is: somebody who believes that we died may have removed it.
    built: (u64, u64),
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
        let all = Everything::open(self.account)?;
        let (held, _folders) = all.hold()?;
        let (_, carried) = self.mirror(true, &mut |_| Ok(()))?;
        sync_parent(self.fs(), &self.staging)?;
        // Nothing is waited for while everybody waits for us.
        let _placing = self.store.placing_at_once(self.id)?;
        if is_there(self.fs(), &self.path).at("look at", &self.path)? {
            return Err(StoreError::AlreadyExists);
        }
        // Locks of a network file system end with their lease, which somebody who slept does not hear.
        let is_ours = self.fs().meta(&self.staging).is_ok_and(|meta| meta.identity == self.built);
        if !is_ours || !held.iter().all(Held::is_current) {
            return Err(StoreError::Busy);
        }
        let messages = carried.values().map(|fronts| fronts.len() as u64).sum();
        self.decide(&all.mailboxes)?;
        Ok((Transferred { mailboxes: all.mailboxes.len() as u64, messages, late: 0 }, carried))
    }

    fn decide(&self, mailboxes: &[Arc<Mailbox>]) -> Result<(), StoreError> {
        let decision =
            Decision { store: self.store, from: self.account.path(), to: &self.path, copy: &self.staging };
        decision.make(mailboxes)
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

/// Whether there is any file in a `cur` or `new` of the account.
fn holds_mail(fs: &dyn Fs, account: &Path) -> Result<bool, StoreError> {
    let list = |path: &Path| match fs.list(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        items => items.at("list", path),
    };
    for folder in list(account)?.iter().map(|item| account.join(&item.name)).chain([account.to_owned()]) {
        for part in ["cur", "new"].map(|part| folder.join(part)) {
            if !list(&part)?.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn sync_parent(fs: &dyn Fs, path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(path);
    fs.sync_dir(parent).at("sync", parent)
}

/// All mailboxes of an account, to be held together.
pub(crate) struct Everything<'a> {
    account: &'a Account,
    folders: BTreeSet<MailboxName>,
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
}

impl<'a> Everything<'a> {
    pub(crate) fn open(account: &'a Account) -> Result<Self, StoreError> {
        let folders = account.folders()?;
        let mut mailboxes = vec![account.mailbox(&MailboxName::inbox())?];
        for name in &folders {
            match account.mailbox(name) {
                Err(StoreError::NoSuchMailbox) => {}
                mailbox => mailboxes.push(mailbox?),
            }
        }
        Ok(Self { account, folders, mailboxes })
    }

    /// Mailboxes first, the folders' lock last. `Busy` when a folder came or went meanwhile.
    pub(crate) fn hold(&self) -> Result<(Vec<Held<'_>>, Locked), StoreError> {
        let held = self.mailboxes.iter().map(|mailbox| mailbox.hold()).collect::<Result<_, _>>()?;
        let locked = self.account.lock()?;
        if self.account.folders()? == self.folders { Ok((held, locked)) } else { Err(StoreError::Busy) }
    }
}

/// The one rename that puts a complete account in the place of another. To be made under the account's locks and that of
/// its place.
pub(crate) struct Decision<'a> {
    pub(crate) store: &'a Store,
    pub(crate) from: &'a Path,
    pub(crate) to: &'a Path,
    /// Beside `to`, by its name for this: whoever needs the account after a crash completes the rest.
    pub(crate) copy: &'a Path,
}

impl Decision<'_> {
    /// After an error it may have been made: what counts is the name of the old directory.
    pub(crate) fn make(&self, mailboxes: &[Arc<Mailbox>]) -> Result<(), StoreError> {
        let shared = self.store.shared();
        let fs = &*shared.fs;
        let left = beside(self.from, MOVED);
        let renamed = fs.rename(self.from, &left).at("rename", self.from);
        self.from.parent().into_iter().for_each(|parent| shared.freshen(parent));
        if renamed.is_err() && !is_there(fs, &left).at("look at", &left)? {
            return renamed;
        }
        for mailbox in mailboxes {
            shared.forget(mailbox.path());
        }
        shared.usages.forget(self.from);
        // From here on nothing is taken back: what fails is done by whoever looks for the account.
        sync_parent(fs, &left)?;
        let installed = self.store.install(self.copy, self.to);
        for mailbox in mailboxes {
            let below = mailbox.path().strip_prefix(self.from).unwrap_or(Path::new(""));
            disable(fs, &left.join(below));
        }
        installed
    }
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
