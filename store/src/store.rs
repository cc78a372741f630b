//! All mail of this node's configuration.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use envelope::AccountId;
use prometheus::Registry;
use tracing::warn;

use crate::error::At as _;
use crate::fs::Fs;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::threads::side_by_side;
use crate::usage::Usages;
use crate::volume::{self, Volumes};
use crate::{Config, Mailbox, MailboxName, StoreError};

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
    pub(crate) volumes: Volumes,
    open: Mutex<Open>,
    pub(crate) nodes: Nodes,
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
        volume::init(root)
    }

    /// Opens the root and the volumes.
    ///
    /// # Errors
    /// `NotMounted` when one has no marker file, `UnknownVolume` when another node uses one that is not configured here.
    pub fn open(config: &Config, fs: Arc<dyn Fs>, registry: &Registry) -> Result<Self, StoreError> {
        let metrics =
            Metrics::new(registry).map_err(io::Error::other).at("register metrics of", &config.root)?;
        metrics.open_mailboxes_max.set(i64::from(config.open_mailboxes_max));
        let volumes = Volumes::open(config, &fs, &metrics)?;
        let mut network = false;
        for volume in volumes.all() {
            network |= fs.is_network(&volume.root).at("look at the file system of", &volume.root)?;
        }
        let shared = Shared {
            config: config.clone(),
            fs,
            metrics,
            network,
            volumes,
            open: Mutex::default(),
            nodes: Nodes::new(config.attached_poll_interval.as_duration()),
            usages: Usages::default(),
        };
        let store = Self { shared: Arc::new(shared) };
        store.register_names()?;
        Ok(store)
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Background upkeep to be called about every second by the owner of the process (pending renames, idle mailboxes
    /// dropped). Takes turns: each call looks at all mailboxes in memory, which needs no I/O when nothing is due.
    pub fn tick(&self) {
        let mut due = self.shared.all_open();
        due.retain(|mailbox| mailbox.is_due());
        side_by_side(self.shared.config.batch_threads as usize, due, |mailbox| {
            match mailbox.settle_pending() {
                // Deleted, or with its account on another volume: what it owed went along.
                Err(StoreError::NoSuchMailbox | StoreError::Gone) => self.shared.forget(mailbox.path()),
                Err(error) => warn!(?mailbox, %error, "upkeep failed, tried again later"),
                Ok(()) => {}
            }
        });
        let turn = self.shared.forget_unused();
        if turn % FINISH_EVERY == 1 {
            self.finish_moves();
            self.settle_owed();
        }
        if turn % SWEEP_EVERY == 1 {
            self.sweep_bodies();
            self.shared.usages.sweep(self.shared.config.usage_interval.as_duration());
        }
    }

    /// Another node says that it changed this mailbox: who watches it here is shown the change now and not at the next look
    /// of its own. Nothing is done for a mailbox that nobody has open.
    ///
    /// # Errors
    /// When the mailbox can't be looked at; the next look of its own tries again.
    pub fn notice(&self, account: &AccountId, name: &MailboxName) -> Result<(), StoreError> {
        let mut result = Ok(());
        for volume in self.shared.volumes.all() {
            let path = volume.directory(account).join(name.directory());
            match self.shared.known(&path).map(|mailbox| mailbox.refresh()) {
                // It is on another volume now, or nowhere.
                Some(Err(StoreError::Gone | StoreError::NoSuchMailbox)) => self.shared.forget(&path),
                Some(Err(error)) => result = Err(error),
                Some(Ok(_)) | None => {}
            }
        }
        result
    }

    /// From here on `hook` hears of every change that this process makes durable, to tell other nodes. It is called with locks held: it must not
    /// wait and must not call the store. The first hook stays.
    pub fn on_change(&self, hook: impl Fn(&AccountId, &MailboxName) + Send + Sync + 'static) {
        self.shared.nodes.set_hook(Box::new(hook));
    }

    /// Whether every other node's changes are told to [`Self::notice`] from now on. While they are, a mailbox that was looked at since is
    /// looked at again only after `attached_poll_interval`.
    pub fn attach(&self, attached: bool) {
        self.shared.nodes.attach(attached);
    }

    /// Finishes what is owed to the disk; for drain.
    pub fn close(&self) {
        side_by_side(self.shared.config.batch_threads as usize, self.shared.all_open(), |mailbox| {
            if let Err(error) = mailbox.settle_pending() {
                warn!(?mailbox, %error, "renames left for the next start");
            }
        });
        self.shared.open().kept.clear();
    }
}

impl Shared {
    /// Names that were looked up below a directory of a network file system may be other machines' past: asking for the
    /// directory itself makes the next look-up ask the server.
    pub(crate) fn freshen(&self, directory: &Path) {
        if self.network {
            // What is wrong with it shows when its files are used.
            let _ = self.fs.meta(directory);
        }
    }

    /// The same for every level from `root` down to what holds `path`.
    pub(crate) fn freshen_down(&self, root: &Path, path: &Path) {
        let levels: Vec<_> = path.ancestors().skip(1).take_while(|level| level.starts_with(root)).collect();
        levels.into_iter().rev().for_each(|level| self.freshen(level));
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

    /// The mailbox of that directory, if it is in memory.
    pub(crate) fn known(&self, path: &Path) -> Option<Arc<Mailbox>> {
        self.open().known.get(path).and_then(Weak::upgrade)
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

    /// Gives which turn of the upkeep this is.
    fn forget_unused(&self) -> usize {
        let mut open = self.open();
        open.swept += 1;
        if open.known.len() > open.kept.len() || open.swept.is_multiple_of(60) {
            open.known.retain(|_, mailbox| mailbox.strong_count() > 0);
        }
        self.metrics.open_mailboxes.set(i64::try_from(open.known.len()).unwrap_or(i64::MAX));
        open.swept
    }
}

/// Ticks between two looks for what dead nodes left: moves, names and files.
const FINISH_EVERY: usize = 60;
/// Ticks between two looks for bodies that a crash left behind.
const SWEEP_EVERY: usize = 3600;
