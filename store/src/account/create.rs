//! CREATE (RFC 3501 §6.3.3), and the account itself.

use std::ops::RangeFrom;
use std::path::Path;

use super::{Account, DELETED, make_directory, uid_validities_locked};
use crate::error::At as _;
use crate::fs::{Fs, Syncs, is_there};
use crate::keywords::Keywords;
use crate::mailbox::fresh_id;
use crate::state::State;
use crate::uid_validity::Reservation;
use crate::{MailboxName, SpecialUse, StoreError, journal, snapshot, uid_validity};

impl Account {
    /// Makes the mailbox and missing parents.
    ///
    /// # Errors
    /// `AlreadyExists`, or a limit of the configuration.
    pub fn create(&self, name: &MailboxName) -> Result<(), StoreError> {
        let _locked = self.lock()?;
        self.create_locked(name)
    }

    pub(super) fn create_locked(&self, name: &MailboxName) -> Result<(), StoreError> {
        if self.is_mailbox(name)? {
            return Err(StoreError::AlreadyExists);
        }
        self.sweep_deleted();
        let config = &self.shared.config;
        if name.depth() > config.folder_depth_max as usize {
            return Err(StoreError::Limit("levels of a mailbox name"));
        }
        if self.folders()?.len() + name.depth() > config.mailboxes_max as usize {
            return Err(StoreError::Limit("mailboxes of one account"));
        }
        let mut missing = vec![name.clone()];
        let mut parent = name.parent();
        while let Some(level) = parent {
            if self.is_mailbox(&level)? {
                break;
            }
            parent = level.parent();
            missing.push(level);
        }
        let count = u32::try_from(missing.len()).unwrap_or(u32::MAX);
        let mut validities = uid_validities_locked(&self.shared, &self.path, count, Syncs::Each)?..;
        for level in missing.iter().rev() {
            self.make_mailbox(level, (&mut validities, Syncs::Each))?;
        }
        self.fs().sync_dir(&self.path).at("sync", &self.path)
    }

    /// The account's directory, INBOX and default folders. What a crash left half done is completed, and what is there already
    /// is written once more, for the sync of whoever wrote it may have failed. Where the volume can be synced as a whole,
    /// that is one sync instead of some twenty.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        let volume = self.shared.volumes.of(&self.path);
        let whole = volume.syncs_whole && !self.shared.network;
        let writes = whole.then(|| volume.begin(self.fs())).transpose()?;
        let syncs = if writes.is_some() { Syncs::Later } else { Syncs::Each };
        make_levels(self.fs(), &volume.root, &self.path, syncs)?;
        let _locked = self.lock()?;
        let inbox = MailboxName::inbox();
        if self.is_mailbox(&inbox)? {
            return Ok(());
        }
        let count = SpecialUse::DEFAULT.len() as u32 + 1;
        let mut validities = uid_validities_locked(&self.shared, &self.path, count, syncs)?..;
        let mut defaults = Vec::new();
        for special in SpecialUse::DEFAULT {
            let name = MailboxName::parse(special.mailbox_name())?;
            self.make_mailbox(&name, (&mut validities, syncs))?;
            defaults.push(name);
        }
        self.subscribe_all(&defaults, syncs)?;
        // With an index: it gets mail soon, and many accounts may get their first at once.
        let made = self.make_parts(&self.path, Index::Made, (&mut validities, syncs))?;
        if let Some(writes) = writes
            && let Err(error) = writes.sync()
        {
            // A later sync need not bring to disk what this one did not: nobody goes on with these files.
            for file in [journal::FILE, snapshot::FILE, uid_validity::FILE].iter().filter(|_| made) {
                let _ = self.fs().remove_file(&self.path.join(file));
            }
            return Err(error);
        }
        self.make_cur(&self.path, Syncs::Each)
    }

    /// A folder is built aside, so that a crash leaves no half of it for a listing.
    fn make_mailbox(&self, name: &MailboxName, making: Making<'_>) -> Result<(), StoreError> {
        let fs = self.fs();
        let directory = self.directory(name);
        if is_there(fs, &directory).at("look at", &directory)? {
            // Of an account that was not finished, or half of one that another program made.
            return self.make_folder(&directory, making);
        }
        let aside = self.path.join(format!("{DELETED}{}", fresh_id()?));
        self.make_folder(&aside, making)?;
        let renamed = fs.rename(&aside, &directory).at("rename", &aside);
        if renamed.is_err() && !is_there(fs, &directory.join("cur")).at("look at", &directory)? {
            return renamed;
        }
        Ok(())
    }

    fn make_folder(&self, directory: &Path, (validities, syncs): Making<'_>) -> Result<(), StoreError> {
        let fs = self.fs();
        make_directory(fs, directory)?;
        let mark = directory.join("maildirfolder");
        drop(fs.open_write(&mark).at("create", &mark)?);
        self.make_parts(directory, Index::Later, (validities, syncs))?;
        self.make_cur(directory, syncs)
    }

    /// All of a mailbox but `cur`, which says that it is there. Says whether its UIDVALIDITY is a new one.
    fn make_parts(
        &self,
        directory: &Path,
        index: Index,
        (validities, syncs): Making<'_>,
    ) -> Result<bool, StoreError> {
        let fs = self.fs();
        make_directory(fs, &directory.join("tmp"))?;
        make_directory(fs, &directory.join("new"))?;
        let known = Reservation::load(fs, directory)?;
        // Nothing is reserved in a new one: the first message has the directory synced again, whoever made it may have died before.
        let reservation = known.unwrap_or_else(|| Reservation::fresh(validities.next().unwrap_or(u32::MAX)));
        if known.is_none() && index == Index::Made {
            let state = State::new(reservation.uid_validity, Keywords::load(fs, directory)?);
            journal::begin(fs, directory, FIRST, reservation.uid_validity, syncs)?;
            snapshot::save(fs, directory, FIRST, &state, syncs)?;
        }
        reservation.save_with(fs, directory, syncs)?;
        Ok(known.is_none())
    }

    fn make_cur(&self, directory: &Path, syncs: Syncs) -> Result<(), StoreError> {
        make_directory(self.fs(), &directory.join("cur"))?;
        syncs.directory(self.fs(), directory).at("sync", directory)
    }
}

/// The generation of an index that is made with its mailbox.
const FIRST: u64 = 1;

/// Whether a mailbox gets its index with its directories, or from whoever opens it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Made,
    Later,
}

/// The UIDVALIDITYs of what is made, and when it is made durable.
type Making<'a> = (&'a mut RangeFrom<u32>, Syncs);

/// Makes the directory that is to hold `path`, as [`make_levels`].
pub(crate) fn make_parents(fs: &dyn Fs, root: &Path, path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), |parent| make_levels(fs, root, parent, Syncs::Each))
}

/// Makes every missing directory from `root`, which is there, down to `path`, and syncs the names: those too that are there
/// already, for who made them may have died before the sync.
fn make_levels(fs: &dyn Fs, root: &Path, path: &Path, syncs: Syncs) -> Result<(), StoreError> {
    let below = path.strip_prefix(root).unwrap_or(Path::new(""));
    let mut directory = root.to_owned();
    for level in below.components() {
        let parent = directory.clone();
        directory.push(level);
        make_directory(fs, &directory)?;
        syncs.directory(fs, &parent).at("sync", &parent)?;
    }
    Ok(())
}
