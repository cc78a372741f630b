//! One message for many mailboxes: its body is written and synced once and linked into each, and one sync at the end makes
//! all of them durable: a body and a sync a volume. The file system's count of links is what removes the body at last.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use crate::error::At as _;
use crate::fs::FsFile;
use crate::mailbox::{Placed, fresh_id};
use crate::store::Shared;
use crate::summary::{self, Summary};
use crate::volume::Volume;
use crate::{Delivered, Delivery, Mailbox, Store, StoreError};

/// Below the volume's root; a body has a name here until all its links are made. What a crash leaves is swept by age.
const DIRECTORY: &str = "sluice.tmp";

/// A body on disk with no mailbox of its own.
#[derive(Debug)]
pub(crate) struct SharedBody {
    shared: Arc<Shared>,
    pub(crate) path: PathBuf,
    pub(crate) identity: (u64, u64),
}

impl Drop for SharedBody {
    fn drop(&mut self) {
        let _ = self.shared.fs.remove_file(&self.path);
    }
}

impl Store {
    /// Delivers one message to several mailboxes; the answers are in their order, each as [`Mailbox::deliver`] gives it.
    pub fn deliver_to_all(
        &self,
        mailboxes: &[Arc<Mailbox>],
        delivery: &Delivery<'_>,
    ) -> Vec<Result<Delivered, StoreError>> {
        if let [mailbox] = mailboxes {
            return vec![mailbox.deliver(delivery)];
        }
        let summary = summary::parse(delivery.content);
        let mut placed = Vec::new();
        placed.resize_with(mailboxes.len(), || Err(StoreError::NoSuchMailbox));
        for (volume, indexes) in by_volume(mailboxes) {
            let body = if indexes.len() > 1 { self.shared_body(volume, delivery) } else { None };
            for index in indexes {
                if let (Some(mailbox), Some(slot)) = (mailboxes.get(index), placed.get_mut(index)) {
                    *slot = place(mailbox, delivery, body.as_ref(), &summary);
                }
            }
        }
        self.settle_all(mailboxes, placed)
    }

    /// Syncs what was placed, together where the file system is our own.
    fn settle_all(
        &self,
        mailboxes: &[Arc<Mailbox>],
        placed: Vec<Result<Placed, StoreError>>,
    ) -> Vec<Result<Delivered, StoreError>> {
        let shared = self.shared();
        let targets: Vec<_> = mailboxes.iter().map(|mailbox| mailbox.journal_end()).collect();
        let mut synced = vec![false; mailboxes.len()];
        for (volume, indexes) in by_volume(mailboxes) {
            let together = !shared.network && indexes.len() >= shared.config.shared_sync_min as usize;
            if together && volume.sync().is_ok() {
                indexes
                    .iter()
                    .filter_map(|index| synced.get_mut(*index).map(|synced| *synced = true))
                    .count();
            }
        }
        let answers = mailboxes.iter().zip(placed).zip(targets).zip(synced);
        let answers = answers.map(|(((mailbox, placed), target), synced)| {
            if let (true, Some(target)) = (synced, target) {
                mailbox.note_synced(target);
            }
            let delivered = placed.and_then(|placed| mailbox.settle_placed(placed));
            mailbox.count_delivery(&delivered);
            delivered
        });
        answers.collect()
    }

    /// The body on `volume`; none when it can't be written, and then each mailbox gets a copy or says why not.
    fn shared_body(&self, volume: &Volume, delivery: &Delivery<'_>) -> Option<SharedBody> {
        let room = self.shared().volumes.check_room(volume);
        let body = room.and_then(|()| self.write_body(volume, delivery));
        let warned = body.inspect_err(
            |error| warn!(%error, id = %delivery.message_id, "no common body, a copy for each mailbox"),
        );
        warned.ok()
    }

    fn write_body(&self, volume: &Volume, delivery: &Delivery<'_>) -> Result<SharedBody, StoreError> {
        let shared = self.shared();
        let directory = volume.root.join(DIRECTORY);
        crate::account::make_directory(&*shared.fs, &directory)?;
        let path = directory.join(fresh_id()?.to_string());
        let file = shared.fs.create_new(&path).at("create", &path)?;
        let mut body = SharedBody { shared: shared.clone(), path, identity: (0, 0) };
        write(&*file, delivery, &body)?;
        file.sync().at("sync", &body.path)?;
        body.identity = file.meta().at("look at", &body.path)?.identity;
        Ok(body)
    }

    /// Removes bodies that a crash left behind.
    pub(crate) fn sweep_bodies(&self) {
        let shared = self.shared();
        for volume in shared.volumes.all() {
            crate::mailbox::sweep(shared, &volume.root.join(DIRECTORY));
        }
    }
}

/// Which of the mailboxes are on each volume.
fn by_volume(mailboxes: &[Arc<Mailbox>]) -> Vec<(&Volume, Vec<usize>)> {
    let mut groups: Vec<(&Volume, Vec<usize>)> = Vec::new();
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let volume = mailbox.volume();
        match groups.iter_mut().find(|(known, _)| known.name == volume.name) {
            Some((_, indexes)) => indexes.push(index),
            None => groups.push((volume, vec![index])),
        }
    }
    groups
}

fn write(file: &dyn FsFile, delivery: &Delivery<'_>, body: &SharedBody) -> Result<(), StoreError> {
    file.write_all_at(delivery.content, 0).at("write", &body.path)?;
    file.set_modified(delivery.received_at.into()).at("set the time of", &body.path)
}

fn place(
    mailbox: &Mailbox,
    delivery: &Delivery<'_>,
    body: Option<&SharedBody>,
    summary: &Summary,
) -> Result<Placed, StoreError> {
    if let Some(body) = body {
        match mailbox.place(delivery, Some(body), summary) {
            // Too many links, another volume, a file system without links: a copy.
            Err(error) if error.is_link_refused() => {}
            placed => {
                if placed.is_ok() {
                    mailbox.count_shared(delivery.content.len());
                }
                return placed;
            }
        }
    }
    mailbox.place(delivery, None, summary)
}
