//! A whole message is judged, changed as the judgement says, and sent on the way that it names.

use std::time::Duration;

use bytes::Bytes;
use envelope::{Envelope, Notify, Recipient};
use filters::{Action, Change, Judged, apply};
use queue::{Body, BodyWriter, Lane};
use runtime::HeldMemory;
use smtp_proto::Reply;
use tracing::{error, info};

use super::intake::{Fault, within};
use super::journal;
use crate::reply;
use crate::session::filter::told;
use crate::session::{Refused, Session};

/// A message that is on disk or in memory, and whole.
pub(super) struct Whole {
    pub(super) body: Body,
    /// Octets of our own trace field in front of it.
    pub(super) trace: usize,
    /// The Message-ID field's value, for the trail.
    pub(super) message_id: String,
    /// Held until the message is with the queue.
    pub(super) memory: HeldMemory,
}

/// Where a judged message goes.
enum Way {
    /// Into the queue.
    Lane(Lane),
    /// Nowhere: a rule says so.
    Nowhere,
}

impl Session {
    /// Asks the filters, and publishes what they let through.
    pub(super) async fn judge_message(
        &mut self,
        lane: Lane,
        mut envelope: Envelope,
        mut whole: Whole,
    ) -> Reply {
        if self.filters.is_none() {
            return self.publish(lane, envelope, whole.body, &whole.message_id).await;
        }
        if !whole.memory.grow_to(envelope.size).await {
            return self.refuse_message(&envelope, &Fault::Memory);
        }
        let octets = match within(self.publish_max(), whole.body.read()).await {
            Ok(octets) => octets,
            Err(failure) => return self.refuse_message(&envelope, &Fault::Spool(failure)),
        };
        let message = octets.slice(whole.trace.min(octets.len())..);
        let Some(judged) = self.filter_message(&envelope, &message).await else {
            return self.publish(lane, envelope, whole.body, &whole.message_id).await;
        };
        self.log_rules(&envelope, &judged);
        if let Action::Refuse(refusal) = &judged.action {
            let reply = reply::filtered(refusal);
            self.shared.metrics.refused(Refused::Filtered);
            envelope.filtered = told(&judged);
            self.log_refused(&envelope, Refused::Filtered, &reply);
            return reply;
        }
        envelope.filtered = told(&judged);
        for archive in &judged.journals {
            let report = journal::report(&envelope, archive, &octets, &self.shared.hostname);
            let published = match report {
                Ok((envelope, body)) => self.try_publish(Lane::Local, envelope, body).await,
                Err(error) => {
                    error!(%error, "no journal report could be made, message refused for now");
                    Err((Refused::QueueFailed, reply::queue_failed()))
                }
            };
            if let Err((reason, reply)) = published {
                self.shared.metrics.refused(reason);
                self.log_refused(&envelope, reason, &reply);
                return reply;
            }
        }
        let before = envelope.recipients.clone();
        let way = route(lane, &judged, &mut envelope);
        let Way::Lane(lane) = way else { return self.discarded(&envelope) };
        log_removed(&before, &envelope);
        let body = match self.rewritten(&octets, message, whole, &judged.changes).await {
            Ok(whole) => whole,
            Err(failure) => return self.refuse_message(&envelope, &Fault::Spool(failure)),
        };
        envelope.size = body.body.size();
        self.publish(lane, envelope, body.body, &body.message_id).await
    }

    /// The message with its changes, behind our trace field.
    async fn rewritten(
        &self,
        octets: &Bytes,
        message: Bytes,
        whole: Whole,
        changes: &[Change],
    ) -> std::io::Result<Whole> {
        let changed = apply(&message, changes);
        if changed == message {
            return Ok(whole);
        }
        let trace = octets.slice(..whole.trace.min(octets.len()));
        let mut writer: BodyWriter = self.shared.queue.body_writer();
        within(self.publish_max(), writer.write(&trace)).await?;
        within(self.publish_max(), writer.write(&changed)).await?;
        let body = within(self.publish_max(), writer.finish()).await?;
        Ok(Whole { body, ..whole })
    }

    fn publish_max(&self) -> Duration {
        self.shared.config.timeouts.publish.as_duration()
    }

    /// Accepted, and it goes nowhere (a rule says so): that is its outcome, and the trail has it.
    fn discarded(&mut self, envelope: &Envelope) -> Reply {
        let reasons =
            envelope.filtered.as_ref().map(|filtered| filtered.reasons.join("; ")).unwrap_or_default();
        info!(
            target: "sluice::message",
            id = %envelope.id,
            event = "discarded",
            from = %envelope.reverse_path,
            to = envelope.recipients.len(),
            recipients = %super::list(envelope),
            peer = %self.peer,
            listener = self.kind.name(),
            size = envelope.size,
            reasons,
            "message discarded by a filter"
        );
        self.accepted = self.accepted.saturating_add(1);
        self.shared.metrics.accepted(self.kind, envelope.size);
        reply::queued(envelope.id)
    }

    /// Which rules fitted, enforced or not: who tries a rule looks for it here.
    fn log_rules(&self, envelope: &Envelope, judged: &Judged) {
        for fired in &judged.fired {
            info!(
                id = %envelope.id,
                rule = fired.rule,
                enforced = fired.enforced,
                effects = fired.effects.join("; "),
                version = judged.rules,
                "rule fitted"
            );
        }
    }
}

/// Where the message goes, with the recipients and the sender that the judgement gives it.
fn route(lane: Lane, judged: &Judged, envelope: &mut Envelope) -> Way {
    let before = envelope.recipients.clone();
    let mut added: Vec<Recipient> = Vec::new();
    for change in &judged.changes {
        match change {
            Change::ChangeSender(path) => envelope.reverse_path = path.clone(),
            Change::AddRecipient(address) => {
                let wanted = address.canonical();
                let known = |one: &Recipient| one.address.canonical() == wanted;
                if !envelope.recipients.iter().any(known) && !added.iter().any(known) {
                    // Where it leads is our own doing, and may be elsewhere.
                    let expanded_from = before.first().map(|one| one.address.clone()).into_iter().collect();
                    added.push(Recipient { expanded_from, ..address.clone().into() });
                }
            }
            Change::RemoveRecipient(address) => {
                let unwanted = address.canonical();
                envelope.recipients.retain(|one| one.address.canonical() != unwanted);
                added.retain(|one| one.address.canonical() != unwanted);
            }
            _ => {}
        }
    }
    if !envelope.recipients.is_empty() {
        // A copy beside the recipients is nobody's business: the sender hears nothing of it (RFC 3461 §4.1, NEVER).
        added.iter_mut().for_each(|one| one.notify = Some(Notify::default()));
    }
    let moved = !added.is_empty() || envelope.recipients.len() != before.len();
    envelope.recipients.extend(added);
    if envelope.recipients.is_empty() {
        // Told with those it was for, whether it is kept back or goes nowhere.
        envelope.recipients = before;
        return if judged.action == Action::Quarantine { Way::Lane(Lane::Quarantine) } else { Way::Nowhere };
    }
    match judged.action {
        Action::Discard => Way::Nowhere,
        Action::Quarantine => Way::Lane(Lane::Quarantine),
        // Somebody else may be here or elsewhere: the worker finds out.
        _ if moved => Way::Lane(Lane::Local),
        _ => Way::Lane(lane),
    }
}

/// The outcome of recipients that a filter took away: each is in the trail.
fn log_removed(before: &[Recipient], envelope: &Envelope) {
    let kept = |one: &&Recipient| envelope.recipients.iter().any(|other| other.address == one.address);
    for removed in before.iter().filter(|one| !kept(one)) {
        let reasons =
            envelope.filtered.as_ref().map(|filtered| filtered.reasons.join("; ")).unwrap_or_default();
        info!(
            target: "sluice::message",
            id = %envelope.id,
            event = "redirected",
            from = %envelope.reverse_path,
            recipients = %removed.address,
            reasons,
            "recipient taken away by a filter"
        );
    }
}
