//! What the sender is told of a try (RFC 3461 §4.1, RFC 3464), durably, before the recipients have their outcome.
//!
//! A message with the null sender is never reported on, whatever it asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use envelope::{Address, Disposition, Envelope, Recipient, ReversePath};
use queue::Lane;
use tracing::{info, warn};

use super::message::{Attempt, now};
use crate::metrics::Outcome;
use crate::outcome::{Deferred, Failed, Failure};
use crate::report::{Kind, Report, Told};

/// Why a report could not be queued, and the shortest wait that makes sense.
pub(super) type Unqueued = (Duration, String);

impl Attempt<'_> {
    /// Tells of addresses that were followed, before anything else is done.
    pub(super) async fn report_expanded(&self, expanded: &[Recipient]) -> Result<(), Unqueued> {
        let (Some(sender), false) = (self.envelope.reverse_path.address(), expanded.is_empty()) else {
            return Ok(());
        };
        let told: Vec<_> = expanded.iter().map(Told::expanded).collect();
        self.publish(sender, Kind::Success, &told).await.map(drop)
    }

    /// Tells once of every recipient that waits for long. That it was told is kept with the recipient.
    pub(super) async fn report_delay(&mut self) {
        let Some(sender) = self.envelope.reverse_path.address() else { return };
        if now().since(self.envelope.received_at) < self.worker.config.delay_report_after.as_duration() {
            return;
        }
        // Strangers hear of a delay only when they asked: the sender may be forged.
        let unasked = self.envelope.origin.authenticated.is_some();
        let due = |recipient: &Recipient| {
            !recipient.delay_reported && recipient.notify.map_or(unasked, |notify| notify.delay)
        };
        let waiting = self.deferred.iter().map(|deferred| &deferred.recipient);
        let told: Vec<_> = waiting.filter(|recipient| due(recipient)).map(Told::delayed).collect();
        if told.is_empty() {
            return;
        }
        match self.publish(sender, Kind::Delay, &told).await {
            Ok(_) => {
                let waiting = self.deferred.iter_mut().map(|deferred| &mut deferred.recipient);
                for recipient in waiting.filter(|recipient| due(recipient)) {
                    recipient.delay_reported = true;
                }
            }
            Err((_, reason)) => {
                warn!(id = %self.envelope.id, reason, "a report of delay waits for the next try")
            }
        }
    }

    /// Tells of those that can never be served.
    pub(super) async fn report_failure(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        if self.envelope.reverse_path == ReversePath::Null {
            return self.discard(&failed, "undeliverable, and nobody to report to");
        }
        let (failed, unwanted): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|failed| failed.recipient.wants_failure());
        self.discard(&unwanted, "undeliverable, and the sender wants no report");
        // A list's owner hears of each member under a name that tells which.
        let mut senders: BTreeMap<Address, Vec<Failed>> = BTreeMap::new();
        for failed in failed {
            if let ReversePath::Address(sender) = self.who_hears_of(&failed) {
                senders.entry(sender).or_default().push(failed);
            }
        }
        for (sender, failed) in senders {
            let told: Vec<_> = failed.iter().map(Told::failed).collect();
            match self.publish(&sender, Kind::Failure, &told).await {
                Ok(dsn) => self.bounced(&failed, &dsn),
                Err(unqueued) => self.put_back(failed.into_iter().map(|failed| failed.recipient), &unqueued),
            }
        }
    }

    /// Tells of those in their mailboxes. When that fails they go back: the store writes no second copy.
    pub(super) async fn report_success(&mut self) {
        let arrived = std::mem::take(&mut self.arrived);
        let (Some(sender), false) = (self.envelope.reverse_path.address(), arrived.is_empty()) else {
            return;
        };
        let told: Vec<_> = arrived.iter().map(Told::delivered).collect();
        if let Err(unqueued) = self.publish(sender, Kind::Success, &told).await {
            self.put_back(arrived.into_iter(), &unqueued);
        }
    }

    /// Tells of those for whom it is in other hands now. When that fails nothing is tried again: it would go there twice.
    pub(super) async fn report_passed_on(&mut self) {
        let passed_on = std::mem::take(&mut self.passed_on);
        let (Some(sender), false) = (self.envelope.reverse_path.address(), passed_on.is_empty()) else {
            return;
        };
        let told = passed_on.iter().map(|(recipient, said)| match said {
            Some(said) => Told::relayed(recipient, said),
            // RFC 3461 §5.2.7.2: for the sender a list is where the way ends.
            None => Told::delivered(recipient),
        });
        if let Err((_, reason)) = self.publish(sender, Kind::Success, &told.collect::<Vec<_>>()).await {
            warn!(id = %self.envelope.id, reason, "the sender is not told that the message was passed on");
        }
    }

    /// Recipients that were tried and wait, all for one reason.
    pub(super) fn put_back(
        &mut self,
        recipients: impl Iterator<Item = Recipient>,
        (after, reason): &Unqueued,
    ) {
        let (after, reason) = (*after, reason);
        // They were tried, and wait as long as the ladder says.
        self.untried = false;
        self.deferred.extend(recipients.map(|recipient| Deferred {
            recipient,
            after,
            reason: reason.clone(),
            said: None,
        }));
    }

    /// Another message, durable when it returns.
    pub(super) async fn queue_message(
        &self,
        lane: Lane,
        envelope: Envelope,
        body: Bytes,
    ) -> Result<(), Unqueued> {
        let queued = self.worker.deps.queue.publish(lane, envelope, queue::Body::Memory(body)).await;
        queued.map_err(|error| {
            let after = match error.disposition() {
                Disposition::Defer { after } => after,
                Disposition::Reject => Duration::ZERO,
            };
            (after, error.to_string())
        })
    }

    async fn publish(&self, sender: &Address, kind: Kind, told: &[Told<'_>]) -> Result<String, Unqueued> {
        let (worker, config) = (self.worker, &self.worker.config);
        let wait = config.directory_max.as_duration();
        let local = match tokio::time::timeout(wait, worker.deps.directory.is_local(sender.domain())).await {
            Ok(Ok(local)) => local,
            Ok(Err(unavailable)) => return Err((Duration::ZERO, unavailable.to_string())),
            Err(_) => return Err((Duration::ZERO, "the directory did not answer in time".to_owned())),
        };
        let report = Report {
            original: self.envelope,
            sender,
            body: self.body,
            kind,
            told,
            hostname: &worker.deps.hostname,
            now: now(),
            header_max: config.report_header_max.as_usize(),
            body_max: config.report_body_max.as_usize(),
            retry_until: self.envelope.received_at.plus(config.age_max.as_duration()),
        };
        let (envelope, body) = report.message();
        let (id, size) = (envelope.id, envelope.size);
        let lane = if local { Lane::Local } else { Lane::Remote };
        let queued = self.queue_message(lane, envelope, body).await;
        queued.map_err(|(after, why)| {
            (after, format!("the report of {} could not be queued: {why}", kind.name()))
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
            report = kind.name(),
            %lane,
            size,
            "a report to the sender"
        );
        Ok(id.to_string())
    }

    fn who_hears_of(&self, failed: &Failed) -> ReversePath {
        if failed.failure.code == Failure::LOOP.code {
            // Of a loop once for all: a stranger can write marks for all members of a list into one message.
            return self.envelope.reverse_path.clone();
        }
        self.envelope.reverse_path_for(&failed.recipient)
    }

    fn bounced(&self, failed: &[Failed], dsn: &str) {
        for Failed { recipient, failure } in failed {
            self.worker.metrics.count(Outcome::Bounced);
            info!(
                target: "sluice::message",
                id = %self.envelope.id,
                event = "bounced",
                recipient = %recipient.address,
                sender = %self.envelope.reverse_path_for(recipient),
                code = %failure.code,
                reason = &*failure.reason,
                said = failure.remote.as_ref().map(|said| said.text.as_str()),
                dsn,
                "reported to the sender"
            );
        }
    }

    fn discard(&self, failed: &[Failed], why: &str) {
        for Failed { recipient, failure } in failed {
            self.worker.metrics.count(Outcome::Discarded);
            info!(
                target: "sluice::message",
                id = %self.envelope.id,
                event = "discarded",
                recipient = %recipient.address,
                code = %failure.code,
                reason = &*failure.reason,
                said = failure.remote.as_ref().map(|said| said.text.as_str()),
                why,
                "undeliverable, and not reported"
            );
        }
    }
}
