//! One try of one message: expand, file, report, decide.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use envelope::{Address, Envelope, Recipient, Timestamp};
use queue::{Lane, Settlement};
use tracing::{info, warn};

use super::Worker;
use super::expand::{Target, expand};
use super::mailbox::{Filed, file};
use crate::metrics::Outcome;
use crate::outcome::{Deferred, Failed, Failure};
use crate::report::Report;

/// What a try decided.
pub(super) struct Decision {
    pub(super) settlement: Settlement,
    /// The store panicked on this message.
    pub(super) panicked: bool,
}

/// What is known so far.
struct Attempt<'a> {
    worker: &'a Worker,
    envelope: &'a Envelope,
    body: &'a Bytes,
    attempts: u32,
    failed: Vec<Failed>,
    deferred: Vec<Deferred>,
    panicked: bool,
}

/// Brings every recipient as far as it goes now.
pub(super) async fn attempt(worker: &Worker, envelope: &Envelope, body: &Bytes, attempts: u32) -> Decision {
    let expansion = expand(&*worker.deps.directory, &worker.config, envelope).await;
    worker.metrics.expansions.inc_by(expansion.aliases);
    let mut attempt = Attempt {
        worker,
        envelope,
        body,
        attempts,
        failed: expansion.failed,
        deferred: expansion.deferred,
        panicked: false,
    };
    for recipient in &expansion.merged {
        attempt.merged(recipient);
    }
    let filed = file(worker, envelope, body, &expansion.targets).await;
    for (target, filed) in expansion.targets.into_iter().zip(filed) {
        attempt.target(target, filed);
    }
    attempt.give_up_if_too_old();
    attempt.report().await;
    attempt.decide()
}

impl Attempt<'_> {
    fn merged(&self, recipient: &Recipient) {
        self.worker.metrics.count(Outcome::Merged);
        info!(
            target: "sluice::message",
            id = %self.envelope.id,
            event = "merged",
            recipient = %recipient.address,
            "leads to the same mailbox as another recipient, which gets one copy"
        );
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
            }
            Filed::Deferred { after, reason, panicked } => {
                self.panicked |= panicked;
                self.deferred.push(Deferred { recipient: target.recipient, after, reason });
            }
            Filed::Full(reason) => {
                let (recipient, after) = (target.recipient, Duration::ZERO);
                if now().since(self.envelope.received_at) < self.worker.config.quota_grace.as_duration() {
                    self.deferred.push(Deferred { recipient, after, reason });
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
        for Deferred { recipient, reason, .. } in std::mem::take(&mut self.deferred) {
            warn!(id = %self.envelope.id, recipient = %recipient.address, reason, "given up after the last try");
            self.failed.push(Failed { recipient, failure: Failure::TOO_OLD });
        }
    }

    /// Tells the sender, durably; only then do the failed recipients have their outcome.
    async fn report(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        if failed.is_empty() {
            return;
        }
        let Some(sender) = self.envelope.reverse_path.address() else {
            return self.discard(&failed);
        };
        match self.publish(sender, &failed).await {
            Ok(dsn) => self.bounced(&failed, &dsn),
            Err((after, reason)) => {
                let waiting = failed.into_iter().map(|failed| Deferred {
                    recipient: failed.recipient,
                    after,
                    reason: reason.clone(),
                });
                self.deferred.extend(waiting);
            }
        }
    }

    async fn publish(&self, sender: &Address, failed: &[Failed]) -> Result<String, (Duration, String)> {
        let worker = self.worker;
        let wait = worker.config.directory_max.as_duration();
        let local = match tokio::time::timeout(wait, worker.deps.directory.is_local(sender.domain())).await {
            Ok(Ok(local)) => local,
            Ok(Err(unavailable)) => return Err((Duration::ZERO, unavailable.to_string())),
            Err(_) => return Err((Duration::ZERO, "the directory did not answer in time".to_owned())),
        };
        let report = Report {
            original: self.envelope,
            sender,
            body: self.body,
            failed,
            hostname: &worker.deps.hostname,
            now: now(),
            header_max: worker.config.report_header_max.as_usize(),
        };
        let (envelope, body) = report.message();
        let (id, size) = (envelope.id, envelope.size);
        let lane = if local { Lane::Local } else { Lane::Remote };
        worker.deps.queue.publish(lane, envelope, queue::Body::Memory(body)).await.map_err(|error| {
            let after = match error.disposition() {
                envelope::Disposition::Defer { after } => after,
                envelope::Disposition::Reject => Duration::ZERO,
            };
            (after, format!("the report of failure could not be queued: {error}"))
        })?;
        worker.metrics.reports.inc();
        info!(
            target: "sluice::message",
            %id,
            event = "accepted",
            entrance = "internal",
            sender = "",
            recipients = %sender,
            original = %self.envelope.id,
            %lane,
            size,
            "a report of failure"
        );
        Ok(id.to_string())
    }

    fn bounced(&self, failed: &[Failed], dsn: &str) {
        for Failed { recipient, failure } in failed {
            self.worker.metrics.count(Outcome::Bounced);
            info!(
                target: "sluice::message",
                id = %self.envelope.id,
                event = "bounced",
                recipient = %recipient.address,
                sender = %self.envelope.reverse_path,
                code = %failure.code,
                reason = failure.reason,
                dsn,
                "reported to the sender"
            );
        }
    }

    fn discard(&self, failed: &[Failed]) {
        for Failed { recipient, failure } in failed {
            self.worker.metrics.count(Outcome::Discarded);
            info!(
                target: "sluice::message",
                id = %self.envelope.id,
                event = "discarded",
                recipient = %recipient.address,
                code = %failure.code,
                reason = failure.reason,
                "undeliverable, and nobody to report to"
            );
        }
    }

    fn decide(self) -> Decision {
        let panicked = self.panicked;
        let Some(first) = self.deferred.first() else {
            return Decision { settlement: Settlement::Ack, panicked };
        };
        let reason = first.reason.clone();
        let least = self.deferred.iter().map(|deferred| deferred.after).max().unwrap_or_default();
        let after = self.worker.config.wait(self.attempts, self.envelope.id).max(least);
        for deferred in &self.deferred {
            self.worker.metrics.count(Outcome::Deferred);
            info!(
                target: "sluice::message",
                id = %self.envelope.id,
                event = "deferred",
                recipient = %deferred.recipient.address,
                reason = deferred.reason,
                attempts = self.attempts.saturating_add(1),
                after_seconds = after.as_secs(),
                "waits for another try"
            );
        }
        let recipients = self.deferred.into_iter().map(|deferred| deferred.recipient).collect();
        Decision { settlement: Settlement::Retry { after, recipients, reason }, panicked }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
