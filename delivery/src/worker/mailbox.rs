//! From a mailbox's name to a durable copy.

use std::time::Duration;

use bytes::Bytes;
use envelope::{Disposition, Envelope};
use runtime::BlockingError;
use store::{Account, Delivered, Flags, MailboxName, SpecialUse, StoreError};

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

/// Writes the message into the target's mailbox; returns when it is durable or will not be.
pub(super) async fn file(worker: &Worker, envelope: &Envelope, body: &Bytes, target: &Target) -> Filed {
    let address = target.account.address();
    if content::was_delivered_to(address, body) {
        return Filed::Failed(Failure::LOOP);
    }
    let (store, account, tag) = (worker.deps.store.clone(), target.account.clone(), target.tag.clone());
    let (reverse_path, body) = (envelope.reverse_path.clone(), body.clone());
    let (message_id, received_at) = (envelope.id, envelope.received_at);
    let work = move || -> Result<(MailboxName, Delivered), StoreError> {
        let content = content::filed(&reverse_path, account.address(), &body);
        let account = store.account(&account)?;
        let delivery =
            store::Delivery { message_id, content: &content, received_at, flags: Flags::default() };
        if let Some(name) = tag.and_then(|tag| folder(&account, &tag).transpose()).transpose()? {
            match account.mailbox(&name).and_then(|mailbox| mailbox.deliver(&delivery)) {
                // Removed a moment ago: as if it had never been there.
                Err(StoreError::NoSuchMailbox) => {}
                delivered => return Ok((name, delivered?)),
            }
        }
        let inbox = MailboxName::inbox();
        let delivered = account.mailbox(&inbox)?.deliver(&delivery)?;
        Ok((inbox, delivered))
    };
    match worker.deps.blocking.run(work).await {
        Ok(Ok((mailbox, delivered))) => Filed::Delivered { mailbox, delivered },
        Ok(Err(error)) => refused(&error),
        Err(error @ BlockingError::Busy) => {
            Filed::Deferred { after: Duration::ZERO, reason: error.to_string(), panicked: false }
        }
        Err(error @ BlockingError::Panicked) => {
            Filed::Deferred { after: Duration::ZERO, reason: error.to_string(), panicked: true }
        }
    }
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
