//! One mailbox: the object that sessions share, and its pictures.

mod append;
mod check;
mod commit;
mod content;
mod copy;
mod core;
mod deliver;
mod export;
mod expunge;
mod flags;
mod foreign;
mod listing;
mod pending;
mod rebuild;
mod recent;
mod stage;
mod summaries;
mod writer;

pub(crate) use self::deliver::{Arriving, Placed};
pub(crate) use self::export::Exported;
pub(crate) use self::foreign::{age, measure};
pub(crate) use self::stage::{Staged, fresh_id, sweep};
pub(crate) use self::writer::{Held, now};

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use envelope::{MessageId, Usage};
use tokio::sync::watch;

pub use self::check::{Check, Difference, Finding};
use self::commit::Synced;
use self::core::{Core, Peek};
pub use self::rebuild::MailboxStats;
use crate::fs;
use crate::lock::{Gate, LockFile};
use crate::store::Shared;
use crate::usage::Stamp;
use crate::volume::Volume;
use crate::{MailboxName, MailboxStatus, StoreError, View, account};

pub(crate) const LOCK_FILE: &str = "sluice.lock";

/// One mailbox; one object per mailbox and process while anybody uses it.
pub struct Mailbox {
    shared: Arc<Shared>,
    name: MailboxName,
    /// The account's directory.
    account: PathBuf,
    /// The mailbox's own.
    path: PathBuf,
    gate: Gate,
    lock: LockFile,
    core: Mutex<Core>,
    view: Mutex<Option<Arc<View>>>,
    changes: watch::Sender<u64>,
    synced: Mutex<Synced>,
    /// A note for other nodes says that names follow later.
    noted: AtomicBool,
    /// When the disk was last looked at.
    looked: Mutex<Option<Instant>>,
    /// The last look found out how things are.
    certain: AtomicBool,
    /// Whether a name that moved from `new/` to `cur/` may not be on disk in `cur/` yet.
    cur_behind: AtomicBool,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("path", &self.path).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// None when somebody else has it.
fn try_locked<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Mailbox {
    pub(crate) fn new(shared: Arc<Shared>, account: PathBuf, name: MailboxName) -> Self {
        let path = account.join(name.directory());
        let lock = LockFile::new(shared.clone(), &path, LOCK_FILE);
        Self {
            shared,
            name,
            account,
            path,
            gate: Gate::default(),
            lock,
            core: Mutex::new(Core::default()),
            view: Mutex::new(None),
            changes: watch::Sender::new(0),
            synced: Mutex::new(Synced::default()),
            noted: AtomicBool::new(false),
            looked: Mutex::default(),
            certain: AtomicBool::new(false),
            cur_behind: AtomicBool::new(true),
        }
    }

    /// As it was when the object was made; a renamed mailbox is another one.
    pub fn name(&self) -> MailboxName {
        self.name.clone()
    }

    /// The latest picture in memory; no I/O after the first.
    ///
    /// # Errors
    /// When the mailbox is gone or its files can't be read.
    pub fn view(&self) -> Result<Arc<View>, StoreError> {
        self.latest().map_or_else(|| self.refresh(), Ok)
    }

    /// The latest picture, if there was one.
    pub(crate) fn latest(&self) -> Option<Arc<View>> {
        locked(&self.view).clone()
    }

    /// Looks at the disk for changes by other processes and tools (a few stats when there is none), and gives the picture after it.
    ///
    /// # Errors
    /// When the mailbox is gone or its files can't be read. When another process holds the lock for long, the
    /// latest known picture is given instead.
    pub fn refresh(&self) -> Result<Arc<View>, StoreError> {
        let begun = Instant::now();
        let looked = self.look();
        // What could not be looked at is not believed for long, whoever tells of changes.
        self.certain.store(matches!(looked, Ok((_, true))), Ordering::Release);
        let (view, _) = looked?;
        *locked(&self.looked) = Some(begun);
        Ok(view)
    }

    /// The latest picture when the disk was looked at within `age`, with no I/O then; else as [`Self::refresh`].
    ///
    /// # Errors
    /// Those of [`Self::refresh`].
    pub fn view_within(&self, age: Duration) -> Result<Arc<View>, StoreError> {
        if self.looked_within(age) { self.view() } else { self.refresh() }
    }

    pub(crate) fn looked_within(&self, age: Duration) -> bool {
        let looked = *locked(&self.looked);
        looked.is_some_and(|looked| looked.elapsed() < age)
            || (self.certain.load(Ordering::Acquire) && self.shared.nodes.tell_of_changes_since(looked))
    }

    /// The picture, and whether it is of now: a lock that could not be had leaves the one before.
    fn look(&self) -> Result<(Arc<View>, bool), StoreError> {
        let mut certain = true;
        let (peek, mark) = {
            let mut core = locked(&self.core);
            let peek = core.peek(self)?;
            (peek, core.unpublished())
        };
        if peek == Peek::NeedsWriter {
            match self.refresh_as_writer() {
                Err(StoreError::LockTimeout) if locked(&self.view).is_some() => certain = false,
                other => other?,
            }
        } else if let Some(mark) = mark {
            self.commit(mark)?;
        }
        match self.latest() {
            Some(view) => Ok((view, certain)),
            None => Ok((self.publish_first()?, certain)),
        }
    }

    fn refresh_as_writer(&self) -> Result<(), StoreError> {
        let mark = {
            let mut writer = self.writer()?;
            writer.notice_foreign_changes()?;
            writer.mark()
        };
        self.commit(mark)
    }

    /// Woken at every change made or seen by this process; the value is the generation of the picture.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What STATUS tells, of the latest picture in memory.
    ///
    /// # Errors
    /// Those of [`Self::view`].
    pub fn status(&self) -> Result<MailboxStatus, StoreError> {
        Ok(self.view()?.status())
    }

    /// What is in it, with the journal of which that is true; none when it changed meanwhile.
    pub(crate) fn usage(&self) -> Result<(Option<Stamp>, Usage), StoreError> {
        let before = Stamp::of(&*self.shared.fs, &self.path);
        self.refresh()?;
        let usage = locked(&self.core).usage();
        let stamp = Stamp::of(&*self.shared.fs, &self.path).filter(|stamp| Some(*stamp) == before);
        Ok((stamp, usage))
    }

    /// Whether a delivery with this id is here, or was.
    ///
    /// # Errors
    /// When the mailbox can't be read.
    pub fn knows(&self, id: MessageId) -> Result<bool, StoreError> {
        self.refresh()?;
        Ok(locked(&self.core).state.find_id(id).is_some())
    }

    pub(crate) fn volume(&self) -> &Volume {
        self.shared.volumes.of(&self.account)
    }

    /// Whether its volume may take more mail.
    pub(crate) fn check_room(&self) -> Result<(), StoreError> {
        self.shared.volumes.check_room(self.volume())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn deadline(&self) -> Instant {
        let wait = self.shared.config.lock_wait_max.as_duration();
        Instant::now().checked_add(wait).unwrap_or_else(|| Instant::now() + Duration::from_secs(60))
    }

    /// Tells a missing mailbox from a missing account and an unmounted store.
    fn missing(&self) -> StoreError {
        account::missing(&self.shared, &self.account)
    }

    /// Says `NoSuchMailbox` for an error that is due to the directory being gone.
    fn explain(&self, error: StoreError) -> StoreError {
        let gone = |path: &Path| matches!(fs::is_there(&*self.shared.fs, path), Ok(false));
        let missing = (error.is_not_found() || error.is_stale()) && gone(&self.path.join("cur"));
        if missing { self.missing() } else { error }
    }
}
