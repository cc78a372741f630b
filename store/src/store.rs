//! All mail of this node's configuration.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use envelope::AccountId;
use prometheus::Registry;
use tracing::warn;

use crate::error::At as _;
use crate::fs::{Fs, RealFs};
use crate::metrics::Metrics;
use crate::usage::Usages;
use crate::volume_sync::VolumeSync;
use crate::{Account, Config, Mailbox, MailboxName, StoreError, layout, mount};

const MARKER: &str = "sluice.volume";
const MARKER_TEXT: &[u8] = b"This directory holds mail. Sluice refuses a mail root without this file.\n";

/// All mail of this node's configuration. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What every account and mailbox of the store needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) metrics: Metrics,
    /// Whether other machines change the files too.
    pub(crate) network: bool,
    volume: VolumeSync,
    open: Mutex<Open>,
    /// What accounts hold.
    pub(crate) usages: Usages,
}

/// Mailboxes in memory: all that somebody uses, and the latest few that nobody does.
#[derive(Debug, Default)]
struct Open {
    known: HashMap<PathBuf, Weak<Mailbox>>,
    kept: Vec<Arc<Mailbox>>,
    swept: usize,
}

impl Store {
    /// Marks a directory as a mail root, making it when missing: for a first start.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn init_volume(root: &Path) -> Result<(), StoreError> {
        std::fs::create_dir_all(root).at("create", root)?;
        let fs = RealFs;
        let marker = root.join(MARKER);
        if fs.meta(&marker).is_ok() {
            return Ok(());
        }
        crate::fs::replace(&fs, root, MARKER, MARKER_TEXT).at("create", &marker)
    }

    /// Opens the mail root.
    ///
    /// # Errors
    /// `NotMounted` when it has no marker file.
    pub fn open(config: &Config, fs: Arc<dyn Fs>, registry: &Registry) -> Result<Self, StoreError> {
        let metrics =
            Metrics::new(registry).map_err(io::Error::other).at("register metrics of", &config.root)?;
        metrics.open_mailboxes_max.set(i64::from(config.open_mailboxes_max));
        check_mounted(&*fs, &config.root)?;
        for (verdict, problem) in mount::of(&config.root).iter().flat_map(mount::Mount::problems) {
            warn!(root = %config.root.display(), verdict = verdict.name(), problem, "unsuitable mount options");
        }
        let network = fs.is_network(&config.root).at("look at the file system of", &config.root)?;
        let marker = config.root.join(MARKER);
        let volume = VolumeSync::new(fs.open_read(&marker).at("open", &marker)?);
        let shared = Shared {
            config: config.clone(),
            fs,
            metrics,
            network,
            volume,
            open: Mutex::default(),
            usages: Usages::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The account's mail; made on first use.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        Account::open(self.shared.clone(), layout::account_directory(&self.shared.config.root, account))
    }

    /// The account's mail, `None` when there is none on this store: for operators' commands, which make nothing.
    ///
    /// # Errors
    /// When it can't be told.
    pub fn existing_account(&self, account: &AccountId) -> Result<Option<Account>, StoreError> {
        Account::existing(self.shared.clone(), layout::account_directory(&self.shared.config.root, account))
    }

    /// Background upkeep to be called about every second by the owner of the process (pending renames, idle mailboxes
    /// dropped). Takes turns: each call looks at all mailboxes in memory, which needs no I/O when nothing is due.
    pub fn tick(&self) {
        for mailbox in self.shared.all_open() {
            if let Err(error) = mailbox.tick() {
                warn!(?mailbox, %error, "upkeep failed, tried again later");
            }
        }
        if self.shared.forget_unused() {
            self.sweep_bodies();
            self.shared.usages.sweep(self.shared.config.usage_interval.as_duration());
        }
    }

    /// Finishes what is owed to the disk; for drain.
    pub fn close(&self) {
        for mailbox in self.shared.all_open() {
            if let Err(error) = mailbox.settle_pending() {
                warn!(?mailbox, %error, "renames left for the next start");
            }
        }
        self.shared.open().kept.clear();
    }
}

fn check_mounted(fs: &dyn Fs, root: &Path) -> Result<(), StoreError> {
    let marker = root.join(MARKER);
    match fs.meta(&marker) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::NotMounted(root.display().to_string()))
        }
        Err(error) => Err(error).at("look at", &marker),
    }
}

impl Shared {
    pub(crate) fn check_mounted(&self) -> Result<(), StoreError> {
        check_mounted(&*self.fs, &self.config.root)
    }

    /// Everything on the volume that was written before is on disk when this returns.
    pub(crate) fn sync_volume(&self) -> Result<(), StoreError> {
        self.volume.sync().at("sync", &self.config.root)
    }

    /// Names that were looked up below a directory of a network file system may be other machines' past: asking for the
    /// directory itself makes the next look-up ask the server.
    pub(crate) fn freshen(&self, directory: &Path) {
        if self.network {
            // What is wrong with it shows when its files are used.
            let _ = self.fs.meta(directory);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one object of that mailbox.
    pub(crate) fn mailbox(self: &Arc<Self>, account: &Path, name: &MailboxName) -> Arc<Mailbox> {
        let path = account.join(name.directory());
        let mut open = self.open();
        if let Some(mailbox) = open.known.get(&path).and_then(Weak::upgrade) {
            return mailbox;
        }
        let mailbox = Arc::new(Mailbox::new(self.clone(), account.to_owned(), name.clone()));
        open.known.insert(path, Arc::downgrade(&mailbox));
        open.kept.push(mailbox.clone());
        self.metrics.open_mailboxes.set(i64::try_from(open.known.len()).unwrap_or(i64::MAX));
        if open.kept.len() > self.config.open_mailboxes_max as usize {
            // The oldest goes, unless it still owes the disk something: then the upkeep comes first.
            if let Some(index) = open.kept.iter().position(|mailbox| !mailbox.has_pending()) {
                open.kept.remove(index);
            }
        }
        mailbox
    }

    /// Sessions keep the old object, which finds its directory gone; new ones get a new object.
    pub(crate) fn forget(&self, path: &Path) {
        let mut open = self.open();
        open.known.remove(path);
        open.kept.retain(|mailbox| mailbox.path() != path);
    }

    fn all_open(&self) -> Vec<Arc<Mailbox>> {
        self.open().known.values().filter_map(Weak::upgrade).collect()
    }

    /// True once in a while, for what needs no more.
    fn forget_unused(&self) -> bool {
        let mut open = self.open();
        open.swept += 1;
        if open.known.len() > open.kept.len() || open.swept.is_multiple_of(60) {
            open.known.retain(|_, mailbox| mailbox.strong_count() > 0);
        }
        self.metrics.open_mailboxes.set(i64::try_from(open.known.len()).unwrap_or(i64::MAX));
        open.swept % SWEEP_EVERY == 1
    }
}

/// Ticks between two looks for bodies that a crash left behind.
const SWEEP_EVERY: usize = 3600;
