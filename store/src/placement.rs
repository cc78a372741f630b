//! Where an account is, and where a new one comes.
//!
//! An account is looked for on every volume, the likeliest first: on most stores that is one look. Nobody keeps a table of
//! it, so that none can be wrong. Making an account is rare and goes under a lock of the root, and only when every volume
//! could be asked: "can't say" is never "has none".
//!
//! ```text
//! <root>/sluice.volumes          the names of all volumes that ever were in use, a line each
//! <root>/sluice.placing/<h1>     the lock; <h1>.move the lock of a move; <address>.pending says that one may have to be cleared
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use envelope::AccountId;
use tracing::warn;

use crate::error::At as _;
use crate::fs::{self, is_there};
use crate::layout::{MOVED, MOVING, beside};
use crate::lock::{LockFile, Locked};
use crate::store::Shared;
use crate::volume::{Volume, VolumeState};
use crate::{Account, Store, StoreError};

const NAMES: &str = "sluice.volumes";
pub(crate) const LOCKS: &str = "sluice.placing";
const NAMES_LOCK: &str = "names";
/// How many times `lock_wait_max` a start with a new volume waits to register it.
const START_PATIENCE: u32 = 12;

impl Store {
    /// Where an account's Maildir is, made when it is missing: for programs that write messages into it themselves.
    ///
    /// # Errors
    /// Those of [`Self::account`].
    pub fn maildir(&self, account: &AccountId) -> Result<PathBuf, StoreError> {
        Ok(self.account(account)?.path().to_owned())
    }

    /// The account's mail; made on first use.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        let shared = self.shared();
        if let Some(found) = self.locate(account)? {
            return Ok(found);
        }
        let _placing = self.placing(account)?;
        if let Some(found) = self.locate_settled(account)? {
            return Ok(found);
        }
        Account::open(shared.clone(), self.place_for(account)?.directory(account))
    }

    /// The account's mail, `None` when there is none on this store: for operators' commands, which make nothing.
    ///
    /// # Errors
    /// When it can't be told.
    pub fn existing_account(&self, account: &AccountId) -> Result<Option<Account>, StoreError> {
        if let Some(found) = self.locate(account)? {
            return Ok(Some(found));
        }
        let _placing = self.placing(account)?;
        self.locate_settled(account)
    }

    /// The volumes as they are now; the root, called `main`, is the first.
    pub fn volumes(&self) -> Vec<VolumeState> {
        let volumes = &self.shared().volumes;
        let one = |volume: &Volume| VolumeState {
            name: volume.name.clone(),
            path: volume.root.clone(),
            weight: volume.weight,
            free: volumes.free(volume),
            takes_mail: volumes.check_room(volume),
        };
        volumes.all().iter().map(one).collect()
    }

    pub(crate) fn volume_names(&self) -> BTreeSet<String> {
        self.shared().volumes.all().iter().map(|volume| volume.name.clone()).collect()
    }

    fn locate(&self, account: &AccountId) -> Result<Option<Account>, StoreError> {
        let shared = self.shared();
        let mut failed = None;
        for volume in shared.volumes.ranked(account) {
            match Account::existing(shared.clone(), volume.directory(account)) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => failed = failed.or(volume.check_mounted(&*shared.fs).err()),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Under the lock, and not as caches have it: finishes a move that was broken off after its decision.
    pub(crate) fn locate_settled(&self, account: &AccountId) -> Result<Option<Account>, StoreError> {
        let shared = self.shared();
        let fs = &*shared.fs;
        let mut copies = Vec::new();
        let mut decided = None;
        for volume in shared.volumes.all() {
            let path = volume.directory(account);
            shared.freshen_down(&volume.root, &path);
            let there = |what| {
                let path = beside(&path, what);
                is_there(fs, &path).at("look at", &path)
            };
            if there(MOVING)? {
                copies.push(path.clone());
            }
            if there(MOVED)? {
                decided = Some(path.clone());
            }
        }
        if let Some(found) = self.locate(account)? {
            return Ok(Some(found));
        }
        let Some(source) = decided else { return Ok(None) };
        let [target] = copies.as_slice() else {
            // Never "has none": somebody's mail is here.
            let problem = "the account was moved away, and where to can't be told";
            return Err(StoreError::Damaged { path: beside(&source, MOVED).display().to_string(), problem });
        };
        let parent = source.parent().unwrap_or(&source);
        fs.sync_dir(parent).at("sync", parent)?;
        self.install(&beside(target, MOVING), target)?;
        warn!(
            %account,
            to = %target.display(),
            "a move of the account that was broken off is completed; `sluice mailbox move` again clears the old place"
        );
        self.locate(account)
    }

    /// Gives an account that was built beside its place that place.
    pub(crate) fn install(&self, staging: &Path, path: &Path) -> Result<(), StoreError> {
        let fs = &*self.shared().fs;
        let renamed = fs.rename(staging, path).at("rename", staging);
        if renamed.is_err() {
            path.parent().into_iter().for_each(|parent| self.shared().freshen(parent));
            let is_installed = matches!(is_there(fs, staging), Ok(false))
                && matches!(is_there(fs, &path.join("cur")), Ok(true));
            if !is_installed {
                return renamed;
            }
        }
        let parent = path.parent().unwrap_or(path);
        fs.sync_dir(parent).at("sync", parent)
    }

    /// The volume for an account that has none; under the lock, after it was looked for everywhere.
    pub(crate) fn place_for(&self, account: &AccountId) -> Result<&Volume, StoreError> {
        let volumes = &self.shared().volumes;
        self.check_names()?;
        let ranked: Vec<_> = volumes.ranked(account).into_iter().filter(|volume| volume.weight > 0).collect();
        for volume in &ranked {
            match volumes.check_room(volume) {
                Err(StoreError::VolumeFull(_)) => {}
                other => return other.map(|()| *volume),
            }
        }
        // All are full. Somebody without mail may sign in all the same; mail waits until there is room.
        ranked.first().copied().ok_or(StoreError::Limit("volumes for new accounts"))
    }

    /// Whoever holds this decides where the account is.
    pub(crate) fn placing(&self, account: &AccountId) -> Result<Locked, StoreError> {
        self.lock_named(&shard(account))
    }

    /// The same without a wait.
    pub(crate) fn placing_at_once(&self, account: &AccountId) -> Result<Locked, StoreError> {
        self.lock_file(&shard(account))?.lock(Instant::now())
    }

    /// Whoever holds this moves an account of that shard, or takes one over.
    pub(crate) fn moving(&self, account: &AccountId) -> Result<Locked, StoreError> {
        self.lock_file(&format!("{}.move", shard(account)))?.lock(Instant::now())
    }

    fn lock_named(&self, name: &str) -> Result<Locked, StoreError> {
        let wait = self.shared().config.lock_wait_max.as_duration();
        self.lock_file(name)?.lock(Instant::now() + wait)
    }

    fn lock_file(&self, name: &str) -> Result<LockFile, StoreError> {
        let shared = self.shared();
        let directory = shared.config.root.join(LOCKS);
        crate::account::make_directory(&*shared.fs, &directory)?;
        Ok(LockFile::new(shared.clone(), &directory, name))
    }

    /// Says which volumes are in use, for nodes that were started before one of them was.
    pub(crate) fn register_names(&self) -> Result<(), StoreError> {
        let shared = self.shared();
        let known = names(shared)?;
        let ours = self.volume_names();
        unknown(&known, &ours)?;
        if known == ours || (known.is_empty() && ours.len() == 1) {
            return Ok(());
        }
        // A server that has just started gives no locks for its time of grace.
        let wait = shared.config.lock_wait_max.as_duration() * START_PATIENCE;
        let _locked = self.lock_file(NAMES_LOCK)?.lock(Instant::now() + wait)?;
        let known = names(shared)?;
        unknown(&known, &ours)?;
        let text: String = ours.iter().map(|name| format!("{name}\n")).collect();
        let root = &shared.config.root;
        fs::replace(&*shared.fs, root, NAMES, text.as_bytes()).at("replace", &root.join(NAMES))
    }

    fn check_names(&self) -> Result<(), StoreError> {
        unknown(&names(self.shared())?, &self.volume_names())
    }
}

fn shard(account: &AccountId) -> String {
    let path = crate::layout::account_directory(Path::new(""), account);
    path.iter().next().unwrap_or_default().to_string_lossy().into_owned()
}

fn names(shared: &Shared) -> Result<BTreeSet<String>, StoreError> {
    shared.freshen(&shared.config.root);
    let path = shared.config.root.join(NAMES);
    let bytes = fs::read_optional(&*shared.fs, &path).at("read", &path)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn unknown(known: &BTreeSet<String>, ours: &BTreeSet<String>) -> Result<(), StoreError> {
    known.difference(ours).next().map_or(Ok(()), |name| Err(StoreError::UnknownVolume(name.clone())))
}
