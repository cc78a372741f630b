//! The body of a message for many mailboxes: written and synced once on each volume and linked into every Maildir there. The
//! file system's count of links is what removes it at last.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::At as _;
use crate::fs::FsFile;
use crate::mailbox::fresh_id;
use crate::store::Shared;
use crate::volume::Volume;
use crate::{Delivery, Store, StoreError};

/// Below the volume's root; a body has a name here until all its links are made. What a crash leaves is swept by age.
const DIRECTORY: &str = "sluice.tmp";

/// A body with no mailbox of its own.
#[derive(Debug)]
pub(crate) struct SharedBody {
    shared: Arc<Shared>,
    pub(crate) path: PathBuf,
    pub(crate) identity: (u64, u64),
    /// The file as long as it is not synced.
    unsynced: Option<Box<dyn FsFile>>,
}

impl SharedBody {
    /// Written; to be synced before it gets a name in a Maildir.
    pub(crate) fn write(
        shared: &Arc<Shared>,
        volume: &Volume,
        delivery: &Delivery<'_>,
    ) -> Result<Self, StoreError> {
        let directory = volume.root.join(DIRECTORY);
        crate::account::make_directory(&*shared.fs, &directory)?;
        let path = directory.join(fresh_id()?.to_string());
        let file = shared.fs.create_new(&path).at("create", &path)?;
        let mut body = Self { shared: shared.clone(), path, identity: (0, 0), unsynced: None };
        file.write_all_at(delivery.content, 0).at("write", &body.path)?;
        file.set_modified(delivery.received_at.into()).at("set the time of", &body.path)?;
        body.identity = file.meta().at("look at", &body.path)?.identity;
        body.unsynced = Some(file);
        Ok(body)
    }

    /// Returns when the content is on disk. A failure condemns the file.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        match self.unsynced.take() {
            Some(file) => file.sync().at("sync", &self.path),
            None => Ok(()),
        }
    }

    /// The whole volume was synced after the content was written.
    pub(crate) fn note_synced(&mut self) {
        self.unsynced = None;
    }
}

impl Drop for SharedBody {
    fn drop(&mut self) {
        let _ = self.shared.fs.remove_file(&self.path);
    }
}

impl Store {
    /// Removes bodies that a crash left behind.
    pub(crate) fn sweep_bodies(&self) {
        let shared = self.shared();
        for volume in shared.volumes.all() {
            crate::mailbox::sweep(shared, &volume.root.join(DIRECTORY));
        }
    }
}
