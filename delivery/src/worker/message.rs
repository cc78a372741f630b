//! One try of one message: expand, file, report, decide.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use envelope::{AccountId, Envelope, Recipient, Timestamp};
use queue::{Lane, Settlement};
use tracing::{info, warn};

use super::Worker;
use super::expand::{Merged, Target, expand};
use super::mailbox::{Filed, file};
use crate::metrics::Outcome;
use crate::outcome::{Deferred, Failed, Failure, RemoteReply};

/// What a try decided.
pub(super) struct Decision {
    pub(super) settlement: Settlement,
    /// The store panicked on this message.
    pub(super) panicked: bool,
}

/// What is known so far.
pub(super) struct Attempt<'a> {
    pub(super) worker: &'a Worker,
    pub(super) envelope: &'a Envelope,
    pub(super) body: &'a Bytes,
    /// The ladder's wait, for those who must wait.
    wait: Duration,
    attempts: u32,
    pub(super) failed: Vec<Failed>,
    pub(super) deferred: Vec<Deferred>,
    /// In a mailbox, and the sender wants to hear of it.
    pub(super) arrived: Vec<Recipient>,
    /// A list has it for its members, or another mail system that does not tell of it, and said so; the sender wants to hear.
    pub(super) passed_on: Vec<(Recipient, Option<RemoteReply>)>,
    /// Nobody who waits was tried: the wait is the one that was told, not the ladder's.
    pub(super) untried: bool,
    /// Whose mailboxes have it.
    served: HashSet<AccountId>,
    pub(super) panicked: bool,
}

/// Brings every recipient as far as it goes now.
pub(super) async fn attempt(worker: &Worker, envelope: &Envelope, body: &Bytes, attempts: u32) -> Decision {
    let mut attempt =
        Attempt::new(worker, envelope, body, worker.config.wait(attempts, envelope.id), attempts);
    let expansion = expand(&*worker.deps.directory, &worker.config, envelope).await;
    worker.metrics.expansions.inc_by(expansion.aliases);
    attempt.failed = expansion.failed;
    attempt.deferred = expansion.deferred;
    if let Err((after, reason)) = attempt.report_expanded(&expansion.expanded).await {
        // Nothing was done yet: everybody waits.
        attempt.failed.clear();
        let all = envelope.recipients.iter().cloned();
        attempt.deferred =
            all.map(|recipient| Deferred { recipient, after, reason: reason.clone(), said: None }).collect();
        return attempt.decide();
    }
    let filed = file(worker, envelope, body, &expansion.targets).await;
    for (target, filed) in expansion.targets.into_iter().zip(filed) {
        attempt.target(target, filed);
    }
    for merged in expansion.merged {
        attempt.merged(merged);
    }
    attempt.hand_over(Lane::Remote, expansion.elsewhere).await;
    for list in expansion.lists {
        attempt.distribute(list).await;
    }
    attempt.finish().await
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        worker: &'a Worker,
        envelope: &'a Envelope,
        body: &'a Bytes,
        wait: Duration,
        attempts: u32,
    ) -> Self {
        Self {
            worker,
            envelope,
            body,
            wait,
            attempts,
            failed: Vec::new(),
            deferred: Vec::new(),
            arrived: Vec::new(),
            passed_on: Vec::new(),
            untried: false,
            served: HashSet::new(),
            panicked: false,
        }
    }

    /// Tells who must hear of it, and decides.
    pub(super) async fn finish(mut self) -> Decision {
        self.give_up_if_too_old();
        self.report_delay().await;
        self.report_failure().await;
        self.report_success().await;
        self.report_passed_on().await;
        self.decide()
    }
}

impl Attempt<'_> {
    fn merged(&mut self, merged: Merged) {
        let Merged { recipient, account } = merged;
        self.worker.metrics.count(Outcome::Merged);
        info!(
            target: "sluice::message",
            id = %self.envelope.id,
            event = "merged",
            recipient = %recipient.address,
            "leads to the same mailbox as another recipient, which gets one copy"
        );
        if recipient.wants_success() && account.is_some_and(|account| self.served.contains(&account)) {
            self.arrived.push(recipient);
        }
    }

    fn target(&mut self, target: Target, filed: Filed) {
        match filed {
            Filed::Delivered { mailbox, delivered } => {
                let latency = now().since(self.envelope.received_at);
                self.worker.metrics.delivered(latency);
                if delivered.duplicate {
                    self.worker.metrics.duplicates.inc();
                }
                info!(
                    target: "sluice::message",
                    id = %self.envelope.id,
                    event = "delivered",
                    recipient = %target.recipient.address,
                    account = %target.account,
                    mailbox = mailbox.as_str(),
                    uid = delivered.uid.map(|uid| uid.0),
                    duplicate = delivered.duplicate,
                    milliseconds = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
                    "written to the mailbox"
                );
                self.served.insert(target.account);
                if target.recipient.wants_success() {
                    self.arrived.push(target.recipient);
                }
            }
            Filed::Deferred { after, reason, panicked } => {
                self.panicked |= panicked;
                self.deferred.push(Deferred { recipient: target.recipient, after, reason, said: None });
            }
            Filed::Full(reason) => {
                let (recipient, after) = (target.recipient, Duration::ZERO);
                if now().since(self.envelope.received_at) < self.worker.config.quota_grace.as_duration() {
                    self.deferred.push(Deferred { recipient, after, reason, said: None });
                } else {
                    self.failed.push(Failed { recipient, failure: Failure::FULL });
                }
            }
            Filed::Failed(failure) => self.failed.push(Failed { recipient: target.recipient, failure }),
        }
    }

    fn give_up_if_too_old(&mut self) {
        if now().since(self.envelope.received_at) < self.worker.config.age_max.as_duration() {
            return;
        }
        for Deferred { recipient, reason, said, .. } in std::mem::take(&mut self.deferred) {
            warn!(id = %self.envelope.id, recipient = %recipient.address, reason, "given up after the last try");
            self.failed.push(Failed { recipient, failure: Failure { remote: said, ..Failure::TOO_OLD } });
        }
    }

    fn decide(self) -> Decision {
        let panicked = self.panicked;
        let Some(first) = self.deferred.first() else {
            return Decision { settlement: Settlement::Ack, panicked };
        };
        let reason = first.reason.clone();
        let least = self.deferred.iter().map(|deferred| deferred.after).max().unwrap_or_default();
        let after = if self.untried { least } else { self.wait.max(least) };
        for deferred in &self.deferred {
            self.worker.metrics.count(Outcome::Deferred);
            info!(
                target: "sluice::message",
                id = %self.envelope.id,
                event = "deferred",
                recipient = %deferred.recipient.address,
                reason = deferred.reason,
                said = deferred.said.as_ref().map(|said| said.text.as_str()),
                attempts = self.attempts.saturating_add(1),
                after_seconds = after.as_secs(),
                "waits for another try"
            );
        }
        let recipients = self.deferred.into_iter().map(|deferred| deferred.recipient).collect();
        Decision { settlement: Settlement::Retry { after, recipients, reason }, panicked }
    }
}

pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}
