//! From mailboxes' names to durable copies.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use envelope::{AccountId, Disposition, Envelope, MessageId, Quota, ReversePath, Timestamp, Usage};
use store::{
    Account, Delivered, Delivery, Filing, Flags, Mailbox, MailboxName, Patience, SpecialUse, Store,
    StoreError,
};

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::Worker;
use super::batch::TARGETS_MAX;
use super::expand::Target;
use crate::content;
use crate::outcome::Failure;
use crate::quota::{Warning, crossed};

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
    /// The mailbox is full: another try may succeed, for a time.
    Full(String),
    /// No try can succeed.
    Failed(Failure),
}

/// A message for some of its mailboxes.
pub(super) struct Job {
    message_id: MessageId,
    received_at: Timestamp,
    reverse_path: ReversePath,
    body: Bytes,
    wanted: Vec<Wanted>,
    /// Nobody else gets this message.
    alone: bool,
    thresholds: Vec<u16>,
    hostname: String,
}

impl Job {
    /// Numbers of the targets.
    pub(super) fn targets(&self) -> std::ops::Range<usize> {
        0..self.wanted.len()
    }

    /// Whose mailboxes it goes to.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &AccountId> {
        self.wanted.iter().map(|wanted| &wanted.target.account)
    }

    pub(super) const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// Size of the message as it came.
    pub(super) fn octets(&self) -> u64 {
        self.body.len() as u64
    }

    /// Whether somebody must be asked what an account holds.
    pub(super) fn is_limited(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.quota.is_limited())
    }

    /// Asks, which may take long where another process keeps a mailbox locked.
    pub(super) fn measure(mut self, store: &Store) -> Self {
        let octets = self.content().len() as u64;
        for wanted in self.wanted.iter_mut().filter(|wanted| wanted.quota.is_limited()) {
            wanted.before = wanted.usage(store);
            wanted.refused = wanted.admit(store, self.message_id, octets).err();
        }
        self
    }

    fn content(&self) -> Vec<u8> {
        // One body for all can't name one of them, and must not name those whom the others may not know of.
        let delivered_to = self.wanted.first().filter(|_| self.alone).map(|one| one.target.account.address());
        content::filed(&self.reverse_path, delivered_to, &self.body)
    }

    fn delivery<'a>(&self, content: &'a [u8]) -> Delivery<'a> {
        let (message_id, received_at) = (self.message_id, self.received_at);
        Delivery { message_id, content, received_at, flags: Flags::default() }
    }
}

/// Writes the message into the targets' mailboxes; returns when it is durable or will not be. In the order of `targets`.
pub(super) async fn file(
    worker: &Worker,
    envelope: &Envelope,
    body: &Bytes,
    targets: &[Target],
) -> Vec<Filed> {
    let mut filed = Vec::with_capacity(targets.len());
    for together in targets.chunks(TARGETS_MAX) {
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
    let job = Job {
        message_id: envelope.id,
        received_at: envelope.received_at,
        reverse_path: envelope.reverse_path.clone(),
        body: body.clone(),
        wanted: with_quotas(worker, wanted).await,
        alone,
        thresholds: worker.config.quota_warnings.clone(),
        hostname: worker.deps.hostname.clone(),
    };
    let answers = if job.wanted.is_empty() { Vec::new() } else { worker.batches.file(job).await };
    let mut answers = answers.into_iter();
    let filed = looped.into_iter().map(|looped| {
        let answer = if looped { None } else { answers.next() };
        answer.unwrap_or(Filed::Failed(Failure::LOOP))
    });
    filed.collect()
}

/// Files messages together, each for those of its targets; the answers are in their order. None where somebody keeps the mailbox
/// locked and the patience is little: to be tried alone.
pub(super) fn file_all(
    store: &Store,
    jobs: &[(Arc<Job>, Vec<usize>)],
    patience: Patience,
) -> Vec<Vec<Option<Filed>>> {
    let contents: Vec<Vec<u8>> = jobs.iter().map(|(job, _)| job.content()).collect();
    let mut opened = Vec::with_capacity(jobs.len());
    let mut filings = Vec::with_capacity(jobs.len());
    for ((job, targets), content) in jobs.iter().zip(&contents) {
        let delivery = job.delivery(content);
        let found = targets.iter().filter_map(|target| job.wanted.get(*target));
        let found: Vec<_> = found.map(|wanted| (wanted, wanted.open(store))).collect();
        let mailboxes = found.iter().flat_map(|(_, opened)| opened).map(|(_, mailbox)| mailbox.clone());
        filings.push(Filing { mailboxes: mailboxes.collect(), delivery });
        opened.push(found);
    }
    let delivered = store.deliver_batch(&filings, patience);
    let mut answers = Vec::with_capacity(jobs.len());
    for (((job, _), filing), (found, delivered)) in
        jobs.iter().zip(&filings).zip(opened.into_iter().zip(delivered))
    {
        let mut delivered = delivered.into_iter();
        let answer = found.into_iter().map(|(wanted, opened)| {
            let answer = opened.and_then(|(name, _)| {
                match delivered.next().unwrap_or(Err(StoreError::NoSuchMailbox)) {
                    // The folder was removed or the account moved a moment ago: as if it had never been there.
                    Err(StoreError::NoSuchMailbox | StoreError::Gone) => {
                        let (name, mailbox) = find(store, &wanted.target)?;
                        Ok((name, mailbox.deliver(&filing.delivery)?))
                    }
                    delivered => Ok((name, delivered?)),
                }
            });
            if answer.is_ok() {
                wanted.warn(store, &job.thresholds, &job.hostname);
            }
            match answer {
                Err(StoreError::LockTimeout) if patience == Patience::Little => None,
                answer => Some(answered(answer)),
            }
        });
        answers.push(answer.collect());
    }
    answers
}

type Answer = Result<(MailboxName, Delivered), StoreError>;

/// A target and what its account may hold.
struct Wanted {
    target: Target,
    quota: Quota,
    /// What the account held, where there is a limit and it can be said.
    before: Option<Usage>,
    /// Why it gets no more.
    refused: Option<StoreError>,
}

impl Wanted {
    /// What the account holds, when it can be said.
    fn usage(&self, store: &Store) -> Option<Usage> {
        store.account(&self.target.account).and_then(|account| account.usage()).ok()
    }

    fn admit(&self, store: &Store, id: MessageId, octets: u64) -> Result<(), StoreError> {
        let more = Usage { octets, messages: 1 };
        match store.account(&self.target.account)?.admit(&self.quota, more) {
            // It is there already, and its sender must not hear that it is not.
            Err(StoreError::OverQuota { .. }) if find(store, &self.target)?.1.knows(id)? => Ok(()),
            admitted => admitted,
        }
    }

    fn open(&self, store: &Store) -> Result<(MailboxName, Arc<Mailbox>), StoreError> {
        self.refused.clone().map_or(Ok(()), Err)?;
        find(store, &self.target)
    }

    /// Tells the owner of a threshold that was crossed. The message is delivered whatever becomes of this.
    fn warn(&self, store: &Store, thresholds: &[u16], hostname: &str) {
        let Some(before) = self.before else { return };
        let Some(after) = self.usage(store) else { return };
        let Some(percent) = crossed(thresholds, &self.quota, before, after) else { return };
        let account = &self.target.account;
        let (quota, now) = (self.quota, SystemTime::now().into());
        let warning = Warning { account, hostname, quota, usage: after, percent, now };
        match store.account(account).and_then(|mail| warning.deliver(&mail)) {
            Ok(()) => info!(%account, percent, "the owner is told that the mailbox fills up"),
            Err(error) => {
                warn!(%account, percent, %error, "the owner could not be told that the mailbox fills up")
            }
        }
    }
}

/// What each account may hold. A directory that can't say limits nobody, and is not asked for the others: the wait is one
/// `directory_max` in all.
async fn with_quotas(worker: &Worker, targets: impl Iterator<Item = &Target>) -> Vec<Wanted> {
    let deadline = Instant::now() + worker.config.directory_max.as_duration();
    let mut wanted = Vec::new();
    let mut answers = true;
    for target in targets {
        let mut quota = Quota::default();
        if answers {
            match timeout_at(deadline, worker.deps.directory.quota(&target.account)).await {
                Ok(Ok(found)) => quota = found,
                Ok(Err(_)) | Err(_) => answers = false,
            }
        }
        wanted.push(Wanted { target: target.clone(), quota, before: None, refused: None });
    }
    wanted
}

fn find(store: &Store, target: &Target) -> Result<(MailboxName, Arc<Mailbox>), StoreError> {
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
        Err(error @ StoreError::OverQuota { .. }) => Filed::Full(error.to_string()),
        Err(error) => refused(&error),
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
