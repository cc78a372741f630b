//! A whole message is judged, changed as the judgement says, and sent on the way that it names.

use bytes::Bytes;
use envelope::{Address, Envelope, Notify, Recipient};
use filters::{Action, Change, Judged};
use queue::{Body, BodyWriter, Lane};
use runtime::HeldMemory;
use smtp_proto::Reply;
use tracing::{error, info};

use super::intake::{Fault, within};
use super::journal;
use crate::config::COPIES_MAX;
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

/// A message that nothing speaks against.
pub(super) struct Ready {
    pub(super) lane: Lane,
    pub(super) whole: Whole,
    /// Recipients that a filter took away.
    pub(super) removed: Vec<Recipient>,
}

/// Where a judged message goes.
enum Way {
    /// Into the queue.
    Lane(Lane),
    /// Nowhere: a rule says so.
    Nowhere,
}

impl Session {
    /// Asks the filters, and makes the message and its envelope what they want it to be. An error is the last word on it.
    pub(super) async fn judge_message(
        &mut self,
        lane: Lane,
        envelope: &mut Envelope,
        mut whole: Whole,
    ) -> Result<Ready, Reply> {
        let Some(filters) = &mut self.filters else {
            return Ok(Ready { lane, whole, removed: Vec::new() });
        };
        if !whole.memory.grow_to(envelope.size.saturating_mul(COPIES_MAX)).await {
            return Err(self.refuse_fault(envelope, &Fault::Memory));
        }
        let read = within(self.shared.config.timeouts.publish.as_duration(), whole.body.read()).await;
        let octets = match read {
            Ok(octets) => octets,
            Err(failure) => return Err(self.refuse_fault(envelope, &Fault::Spool(failure))),
        };
        let message = octets.slice(whole.trace.min(octets.len())..);
        let mut judged = filters.message(envelope, &message).await;
        self.log_rules(envelope, &judged);
        envelope.filtered = told(&judged);
        if let Action::Refuse(refusal) = &judged.action {
            return Err(self.refuse(envelope, Refused::Filtered, reply::filtered(refusal)));
        }
        self.journal(envelope, &judged.journals, &octets).await?;
        let before = envelope.recipients.clone();
        let Way::Lane(lane) = route(lane, &judged, envelope) else { return Err(self.discarded(envelope)) };
        let mut whole = match self.rewritten(&octets, &message, whole, &mut judged).await {
            Ok(whole) => whole,
            Err(failure) => return Err(self.refuse_fault(envelope, &Fault::Spool(failure))),
        };
        envelope.size = whole.body.size();
        drop((octets, message, judged));
        whole.memory.shrink_to(envelope.size);
        let kept = |one: &Recipient| envelope.recipients.iter().any(|other| other.address == one.address);
        let removed = before.into_iter().filter(|one| !kept(one)).collect();
        Ok(Ready { lane, whole, removed })
    }

    /// Queues the reports that archives get. Before the message: what is accepted is in the archive. An error is the refusal.
    async fn journal(&self, envelope: &Envelope, archives: &[Address], octets: &Bytes) -> Result<(), Reply> {
        for archive in archives {
            let (report, body) = match journal::report(envelope, archive, octets, &self.shared.hostname) {
                Ok(made) => made,
                Err(error) => {
                    error!(%error, "no journal report could be made, message refused for now");
                    return Err(self.refuse(envelope, Refused::QueueFailed, reply::queue_failed()));
                }
            };
            let (id, size) = (report.id, report.size);
            if let Err((reason, reply)) = self.try_publish(Lane::Local, report, body).await {
                return Err(self.refuse(envelope, reason, reply));
            }
            info!(
                target: "sluice::message",
                %id,
                event = "accepted",
                entrance = "internal",
                sender = "",
                recipients = %archive,
                original = %envelope.id,
                lane = %Lane::Local,
                size,
                "a journal report"
            );
        }
        Ok(())
    }

    /// The message with its changes, behind our trace field.
    async fn rewritten(
        &self,
        octets: &Bytes,
        message: &Bytes,
        whole: Whole,
        judged: &mut Judged,
    ) -> std::io::Result<Whole> {
        let changed = judged.message();
        if changed == *message {
            return Ok(whole);
        }
        let wait = self.shared.config.timeouts.publish.as_duration();
        let trace = octets.slice(..whole.trace.min(octets.len()));
        let mut writer: BodyWriter = self.shared.queue.body_writer();
        within(wait, writer.write(&trace)).await?;
        within(wait, writer.write(&changed)).await?;
        let body = within(wait, writer.finish()).await?;
        Ok(Whole { body, ..whole })
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
pub(super) fn log_removed(removed: &[Recipient], envelope: &Envelope) {
    let reasons = envelope.filtered.as_ref().map(|filtered| filtered.reasons.join("; ")).unwrap_or_default();
    for one in removed {
        info!(
            target: "sluice::message",
            id = %envelope.id,
            event = "redirected",
            from = %envelope.reverse_path,
            recipients = %one.address,
            reasons,
            "recipient taken away by a filter"
        );
    }
}
