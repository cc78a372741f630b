//! From mailboxes' names to durable copies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use envelope::{Disposition, Envelope};
use runtime::BlockingError;
use store::{Account, Delivered, Delivery, Flags, Mailbox, MailboxName, SpecialUse, Store, StoreError};

use super::Worker;
use super::expand::Target;
use crate::content;
use crate::outcome::Failure;

/// What came of an attempt at one mailbox.
pub(super) enum Filed {
    /// It is on the disk.
    Delivered { mailbox: MailboxName, delivered: Delivered },
    /// Another try may succeed.
    Deferred {
        after: Duration,
        reason: String,
        /// The store panicked on this message.
        panicked: bool,
    },
    /// No try can succeed.
    Failed(Failure),
}

/// Targets of one message that are served by one job of the blocking pool.
const TOGETHER_MAX: usize = 100;

/// Writes the message into the targets' mailboxes; returns when it is durable or will not be. In the order of `targets`.
pub(super) async fn file(
    worker: &Worker,
    envelope: &Envelope,
    body: &Bytes,
    targets: &[Target],
) -> Vec<Filed> {
    let mut filed = Vec::with_capacity(targets.len());
    for together in targets.chunks(TOGETHER_MAX) {
        filed.extend(file_together(worker, envelope, body, together, targets.len() == 1).await);
    }
    filed
}

async fn file_together(
    worker: &Worker,
    envelope: &Envelope,
    body: &Bytes,
    targets: &[Target],
    alone: bool,
) -> Vec<Filed> {
    let looped: Vec<bool> =
        targets.iter().map(|target| content::was_delivered_to(target.account.address(), body)).collect();
    let wanted = targets.iter().zip(&looped).filter(|(_, looped)| !**looped).map(|(target, _)| target);
    let wanted: Vec<Target> = wanted.cloned().collect();
    let store = worker.deps.store.clone();
    let (reverse_path, body) = (envelope.reverse_path.clone(), body.clone());
    let (message_id, received_at) = (envelope.id, envelope.received_at);
    let count = wanted.len();
    let work = move || {
        // One body for all can't name one of them, and must not name those whom the others may not know of.
        let delivered_to = wanted.first().filter(|_| alone).map(|target| target.account.address());
        let content = content::filed(&reverse_path, delivered_to, &body);
        let delivery = Delivery { message_id, content: &content, received_at, flags: Flags::default() };
        deliver(&store, &wanted, &delivery)
    };
    let answers = match worker.deps.blocking.run(work).await {
        Ok(answers) => answers.into_iter().map(answered).collect(),
        Err(error) => (0..count).map(|_| undone(&error)).collect::<Vec<_>>(),
    };
    let mut answers = answers.into_iter();
    let filed = looped.into_iter().map(|looped| {
        let answer = if looped { None } else { answers.next() };
        answer.unwrap_or(Filed::Failed(Failure::LOOP))
    });
    filed.collect()
}

/// Finds the mailboxes, delivers to all that were found together.
fn deliver(store: &Store, targets: &[Target], delivery: &Delivery<'_>) -> Vec<Answer> {
    let opened: Vec<_> = targets.iter().map(|target| open(store, target)).collect();
    let mailboxes: Vec<Arc<Mailbox>> = opened.iter().flatten().map(|(_, mailbox)| mailbox.clone()).collect();
    let mut delivered = store.deliver_to_all(&mailboxes, delivery).into_iter();
    let answers = targets.iter().zip(opened).map(|(target, opened)| {
        let (name, _) = opened?;
        match delivered.next().unwrap_or(Err(StoreError::NoSuchMailbox)) {
            // Removed a moment ago: as if it had never been there.
            Err(StoreError::NoSuchMailbox) if !name.is_inbox() => {
                let inbox = MailboxName::inbox();
                let delivered = store.account(&target.account)?.mailbox(&inbox)?.deliver(delivery)?;
                Ok((inbox, delivered))
            }
            delivered => Ok((name, delivered?)),
        }
    });
    answers.collect()
}

type Answer = Result<(MailboxName, Delivered), StoreError>;

fn open(store: &Store, target: &Target) -> Result<(MailboxName, Arc<Mailbox>), StoreError> {
    let account = store.account(&target.account)?;
    if let Some(name) = target.tag.as_ref().and_then(|tag| folder(&account, tag).transpose()).transpose()? {
        match account.mailbox(&name) {
            Err(StoreError::NoSuchMailbox) => {}
            mailbox => return Ok((name, mailbox?)),
        }
    }
    let inbox = MailboxName::inbox();
    let mailbox = account.mailbox(&inbox)?;
    Ok((inbox, mailbox))
}

fn answered(answer: Answer) -> Filed {
    match answer {
        Ok((mailbox, delivered)) => Filed::Delivered { mailbox, delivered },
        Err(error) => refused(&error),
    }
}

fn undone(error: &BlockingError) -> Filed {
    let panicked = matches!(error, BlockingError::Panicked);
    Filed::Deferred { after: Duration::ZERO, reason: error.to_string(), panicked }
}

fn refused(error: &StoreError) -> Filed {
    match error.disposition() {
        Disposition::Reject => Filed::Failed(Failure::MAILBOX),
        Disposition::Defer { after } => {
            let source = std::error::Error::source(error).map(|source| format!(": {source}"));
            let reason = format!("{error}{}", source.unwrap_or_default());
            Filed::Deferred { after, reason, panicked: false }
        }
    }
}

/// The folder at the top level that a tag names, in whatever case. Nobody but its owner puts mail into Drafts, Sent and Trash.
fn folder(account: &Account, tag: &str) -> Result<Option<MailboxName>, StoreError> {
    let wanted = tag.to_lowercase();
    let fits = account.list()?.into_iter().find(|info| {
        let private =
            matches!(info.special_use, Some(SpecialUse::Drafts | SpecialUse::Sent | SpecialUse::Trash));
        info.exists && !private && !info.name.is_inbox() && info.name.as_str().to_lowercase() == wanted
    });
    Ok(fits.filter(|_| !tag.contains('/')).map(|info| info.name))
}
