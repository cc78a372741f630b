//! One message for many mailboxes: its body is written and synced once and linked into each, and one sync at the end makes
//! all of them durable. The file system's count of links is what removes the body at last.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use crate::error::At as _;
use crate::fs::FsFile;
use crate::mailbox::{Placed, fresh_id};
use crate::store::Shared;
use crate::summary::{self, Summary};
use crate::{Delivered, Delivery, Mailbox, Store, StoreError};

/// Below the mail root; a body has a name here until all its links are made. What a crash leaves is swept by age.
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
        let body = self.shared_body(delivery).inspect_err(
            |error| warn!(%error, id = %delivery.message_id, "no common body, a copy for each mailbox"),
        );
        let body = body.ok();
        let summary = summary::parse(delivery.content);
        let placed: Vec<_> =
            mailboxes.iter().map(|mailbox| place(mailbox, delivery, body.as_ref(), &summary)).collect();
        drop(body);
        self.settle_all(mailboxes, placed)
    }

    /// Syncs what was placed, together where the file system is our own.
    fn settle_all(
        &self,
        mailboxes: &[Arc<Mailbox>],
        placed: Vec<Result<Placed, StoreError>>,
    ) -> Vec<Result<Delivered, StoreError>> {
        let shared = self.shared();
        let together = !shared.network && mailboxes.len() >= shared.config.shared_sync_min as usize;
        let targets: Vec<_> = mailboxes.iter().map(|mailbox| mailbox.journal_end()).collect();
        let synced = if together { shared.sync_volume() } else { Ok(()) };
        let answers = mailboxes.iter().zip(placed).zip(targets);
        let answers = answers.map(|((mailbox, placed), target)| {
            if let (true, Ok(()), Some(target)) = (together, &synced, target) {
                mailbox.note_synced(target);
            }
            let delivered = placed.and_then(|placed| mailbox.settle_placed(placed));
            mailbox.count_delivery(&delivered);
            delivered
        });
        answers.collect()
    }

    fn shared_body(&self, delivery: &Delivery<'_>) -> Result<SharedBody, StoreError> {
        let shared = self.shared();
        let directory = shared.config.root.join(DIRECTORY);
        match shared.fs.create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).at("create", &directory);
            }
            _ => {}
        }
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
        crate::mailbox::sweep(shared, &shared.config.root.join(DIRECTORY));
    }
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
