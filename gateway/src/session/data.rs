//! DATA and BDAT: a message comes in, is made durable, and only then gets its 250.
//!
//! ```text
//!  DATA ─ text.rs ──┐
//!                   ├─▶ Intake (header judged, body written) ─▶ finish_message: judged ─▶ published ─▶ 250
//!  BDAT ─ chunk.rs ─┘
//! ```

mod binary;
mod chunk;
mod header;
mod intake;
mod journal;
mod judge;
mod received;
mod text;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use envelope::{Envelope, MessageId, Origin, Recipient, Timestamp};
use queue::{Body, Lane, PublishError};
use smtp_proto::Reply;
use smtp_proto::server::{Input, Transaction};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

use super::shared::new_id;
use super::{End, Refused, Session};
use crate::listen::Kind;
use crate::reply;
use intake::{Fault, Intake, Taken};
use judge::{Ready, Whole};
use text::Ending;

pub(crate) use binary::fuzz as fuzz_binary;
pub(super) use chunk::Chunked;

/// A message on its way in: what is known of it before its first octet, and what came since.
pub(super) struct Incoming {
    envelope: Envelope,
    lane: Lane,
    intake: Intake,
}

impl Session {
    /// Sends the 354, reads the message to its true end, publishes it. An error ends the session without an answer and
    /// without a message.
    pub(super) async fn receive(&mut self, go_ahead: &Reply) -> Result<Input<'static>, End> {
        let mut incoming = match self.begin_message().await {
            Ok(incoming) => incoming,
            Err(refusal) => return Ok(Input::NotBegun(refusal)),
        };
        self.send(go_ahead).await?;
        let ending = self.read_text(&mut incoming.intake).await?;
        let reply = self.finish_message(incoming, self.checked_until()).await;
        if ending == Ending::Unknown {
            // Where the peer sees the end of its message can't be known: nothing it sends on may be trusted.
            return Err(self.say_last(&reply).await);
        }
        Ok(Input::Verdict(reply))
    }

    /// Says what became of the message, to each recipient in LMTP, and ends the session.
    async fn say_last(&mut self, reply: &Reply) -> End {
        let recipients = self.machine.transaction().map_or(1, |transaction| transaction.recipients.len());
        let count = if self.kind == Kind::Lmtp { recipients } else { 1 };
        match self.say_to_each(reply, count).await {
            Ok(()) => self.wire.flush().await.err().unwrap_or(End::Refused),
            Err(end) => end,
        }
    }

    /// Gives the message its id and its place. An error is the refusal.
    async fn begin_message(&mut self) -> Result<Incoming, Reply> {
        if let Some(refusal) = self.filter_data().await {
            return Err(refusal);
        }
        let now = Timestamp::from(SystemTime::now());
        let transaction = self.machine.transaction().ok_or_else(reply::queue_failed)?;
        let Ok(id) = new_id(now) else {
            error!("no randomness for a message id, message refused for now");
            return Err(reply::queue_failed());
        };
        let envelope = self.envelope(id, now, transaction);
        // A message for people here and elsewhere is parted by the worker.
        let lane = if self.elsewhere < transaction.recipients.len() { Lane::Local } else { Lane::Remote };
        let intake =
            Intake::new(self.trace_field(&envelope), self.kind.is_submission().then_some(id), &self.shared);
        Ok(Incoming { envelope, lane, intake })
    }

    /// Until when a message whose last octet is there must be checked.
    fn checked_until(&self) -> Instant {
        Instant::now() + self.shared.config.timeouts.check.as_duration()
    }

    /// The message is complete, however it came: it is checked, made durable, answered.
    async fn finish_message(&mut self, incoming: Incoming, deadline: Instant) -> Reply {
        let Incoming { mut envelope, lane, intake } = incoming;
        envelope.size = intake.size();
        let Ok(checked) = timeout_at(deadline, self.check_message(lane, &mut envelope, intake)).await else {
            error!(id = %envelope.id, "checks were not done in time, message refused for now");
            // Where a milter's conversation stands is unknown: the session ends with this.
            return self.refuse(&envelope, Refused::ChecksTooSlow, reply::checks_too_slow());
        };
        match checked {
            Ok(ready) => self.publish(ready, envelope).await,
            Err(reply) => reply,
        }
    }

    /// Everything that is decided of a message before it is queued. An error is the last word on it.
    async fn check_message(
        &mut self,
        lane: Lane,
        envelope: &mut Envelope,
        intake: Intake,
    ) -> Result<Ready, Reply> {
        let Taken { body, trace, message_id, priority, authors, memory } = match intake.finish().await {
            Ok(taken) => taken,
            Err(fault) => return Err(self.refuse_fault(envelope, &fault)),
        };
        envelope.size = body.size();
        envelope.priority = priority;
        if let Some(refusal) = self.check_from(&authors).await {
            self.log_refused(envelope, Refused::SenderNotYours, &refusal);
            return Err(refusal);
        }
        self.judge_message(lane, envelope, Whole { body, trace, message_id, memory }).await
    }

    fn envelope(&self, id: MessageId, received_at: Timestamp, transaction: &Transaction) -> Envelope {
        let mut recipients: Vec<Recipient> = Vec::with_capacity(transaction.recipients.len());
        let mut seen = HashSet::new();
        for rcpt in &transaction.recipients {
            let address = self.recipient_address(&rcpt.forward_path);
            // The same mailbox named twice gets one copy.
            if seen.insert(address.canonical()) {
                recipients.push(Recipient {
                    notify: rcpt.notify,
                    original: rcpt.original_recipient.clone(),
                    ..address.into()
                });
            }
        }
        Envelope {
            id,
            received_at,
            reverse_path: transaction.mail.reverse_path.clone(),
            recipients,
            origin: Origin {
                entrance: self.kind.entrance(),
                peer: Some(self.peer),
                helo: self.machine.client().map(|client| client.name.to_string()).unwrap_or_default(),
                authenticated: self.account.clone(),
                tls: self.machine.is_tls(),
            },
            size: 0,
            smtp_utf8: transaction.mail.smtp_utf8,
            priority: envelope::Priority::Interactive,
            envelope_id: transaction.mail.envelope_id.clone(),
            returned: transaction.mail.ret,
            require_tls: transaction.mail.require_tls,
            list: None,
            filtered: None,
        }
    }

    fn trace_field(&self, envelope: &Envelope) -> Vec<u8> {
        let extended = self.machine.client().is_some_and(|client| client.extended);
        received::field(envelope, &self.shared.hostname, extended)
    }

    /// Makes the message durable and says so.
    async fn publish(&mut self, ready: Ready, envelope: Envelope) -> Reply {
        let Ready { lane, whole, removed } = ready;
        let told = envelope.clone();
        match self.try_publish(lane, envelope, whole.body).await {
            Ok(()) => {
                judge::log_removed(&removed, &told);
                self.accepted(lane, &told, &whole.message_id)
            }
            Err((reason, reply)) => self.refuse(&told, reason, reply),
        }
    }

    /// Makes the message durable in a task of its own, which a vanished client can't stop half-way.
    async fn try_publish(&self, lane: Lane, envelope: Envelope, body: Body) -> Result<(), (Refused, Reply)> {
        let (queue, id) = (Arc::clone(&self.shared.queue), envelope.id);
        let task = self.drain.spawn(async move { queue.publish(lane, envelope, body).await });
        let wait = self.shared.config.timeouts.publish.as_duration();
        Err(match timeout(wait, task).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(PublishError::Full(why)))) => {
                warn!(%id, why, "queue full, message refused for now");
                (Refused::QueueFull, reply::queue_full())
            }
            Ok(Ok(Err(failure))) => {
                error!(%id, error = %describe(&failure), "queue failed, message refused for now");
                (Refused::QueueFailed, reply::queue_failed())
            }
            Ok(Err(_)) => {
                error!(%id, "publishing panicked, message refused for now");
                (Refused::QueueFailed, reply::queue_failed())
            }
            Err(_) => {
                // It may still become durable; then the sender's second try is a second copy, which is better than none.
                error!(%id, "queue did not answer in time, message refused for now");
                (Refused::QueueFailed, reply::queue_failed())
            }
        })
    }

    fn accepted(&mut self, lane: Lane, envelope: &Envelope, message_id: &str) -> Reply {
        let filtered = envelope.filtered.as_ref();
        self.accepted = self.accepted.saturating_add(1);
        self.shared.metrics.accepted(self.kind, envelope.size);
        info!(
            target: "sluice::message",
            id = %envelope.id,
            event = if lane == Lane::Quarantine { "quarantined" } else { "accepted" },
            from = %envelope.reverse_path,
            to = envelope.recipients.len(),
            recipients = %list(envelope),
            peer = %self.peer,
            listener = self.kind.name(),
            tls = envelope.origin.tls,
            size = envelope.size,
            authentication = filtered.map(|filtered| filtered.authentication.as_str()).unwrap_or_default(),
            reasons = filtered.map(|filtered| filtered.reasons.join("; ")).unwrap_or_default(),
            message_id,
            "message accepted"
        );
        reply::queued(envelope.id)
    }

    fn refuse_fault(&self, envelope: &Envelope, fault: &Fault) -> Reply {
        if let Fault::Spool(failure) = fault {
            error!(id = %envelope.id, error = %failure, "spooling failed, message refused for now");
        }
        self.refuse(envelope, fault.reason(), fault.reply())
    }

    /// Counts and logs a refusal; gives its answer back.
    fn refuse(&self, envelope: &Envelope, reason: Refused, reply: Reply) -> Reply {
        self.shared.metrics.refused(reason);
        self.log_refused(envelope, reason, &reply);
        reply
    }

    fn log_refused(&self, envelope: &Envelope, reason: Refused, reply: &Reply) {
        info!(
            target: "sluice::message",
            id = %envelope.id,
            event = "refused",
            from = %envelope.reverse_path,
            to = envelope.recipients.len(),
            recipients = %list(envelope),
            peer = %self.peer,
            listener = self.kind.name(),
            size = envelope.size,
            reason = reason.name(),
            filters = envelope.filtered.as_ref().map(|filtered| filtered.reasons.join("; ")),
            reply = %reply,
            "message refused"
        );
    }
}

/// Recipients named in one record of the trail: enough to find a message by, not a list of a thousand.
const RECIPIENTS_TOLD: usize = 20;

fn list(envelope: &Envelope) -> String {
    let told: Vec<String> = envelope
        .recipients
        .iter()
        .take(RECIPIENTS_TOLD)
        .map(|recipient| recipient.address.to_string())
        .collect();
    told.join(",")
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
