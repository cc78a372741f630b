//! DATA: a message comes in, is made durable, and only then gets its 250.

mod header;
mod intake;
mod received;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use envelope::{Entrance, Envelope, MessageId, Origin, Recipient, Timestamp};
use queue::{Body, Lane, PublishError};
use smtp_proto::server::Transaction;
use smtp_proto::{DataDecoder, Reply};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use super::shared::new_id;
use super::{End, Refused, Session};
use crate::reply;
use intake::{Fault, Intake, Taken};

impl Session {
    /// Sends the 354, reads the message to its true end, publishes it. An error ends the session without an answer and
    /// without a message.
    pub(super) async fn receive(&mut self, go_ahead: &Reply) -> Result<Reply, End> {
        let now = Timestamp::from(SystemTime::now());
        let Some(transaction) = self.machine.transaction().cloned() else { return Ok(reply::queue_failed()) };
        let Ok(id) = new_id(now) else {
            error!("no randomness for a message id, message refused for now");
            return Ok(reply::queue_failed());
        };
        self.send(go_ahead).await?;
        let mut envelope = self.envelope(id, now, &transaction);
        // A message for people here and elsewhere is parted by the worker.
        let lane = if self.elsewhere < transaction.recipients.len() { Lane::Local } else { Lane::Remote };
        let intake =
            Intake::new(self.trace_field(&envelope), self.kind.is_submission().then_some(id), &self.shared);
        let (intake, ending) = self.read_message(intake).await?;
        envelope.size = intake.size();
        let reply = match intake.finish().await {
            Ok(Taken { body, message_id, priority, authors, memory }) => {
                envelope.size = body.size();
                envelope.priority = priority;
                let reply = match self.check_from(&authors).await {
                    None => self.publish(lane, envelope, body, &message_id).await,
                    Some(refusal) => {
                        self.log_refused(&envelope, Refused::SenderNotYours, &refusal);
                        refusal
                    }
                };
                drop(memory);
                reply
            }
            Err(fault) => self.refuse_message(&envelope, &fault),
        };
        if ending == Ending::Unknown {
            // Where the peer sees the end of its message can't be known: nothing it sends on may be trusted.
            self.send(&reply).await?;
            return Err(End::Refused);
        }
        Ok(reply)
    }

    /// Reads to `CRLF.CRLF`, or as far as makes sense with a message that is refused anyway.
    async fn read_message(&mut self, mut intake: Intake) -> Result<(Intake, Ending), End> {
        let limits = &self.shared.config.limits;
        let (discard_max, rate_min) = (limits.discard_max.as_u64(), limits.data_rate_min.as_u64());
        let mut decoder = DataDecoder::new(limits.data());
        let began = Instant::now();
        let mut text = Vec::new();
        let (mut octets, mut discarded) = (0u64, 0u64);
        let mut tail = Tail::default();
        loop {
            text.clear();
            let progress = decoder.decode(&self.wire.input, |slice| text.extend_from_slice(slice));
            tail.push(self.wire.input.get(..progress.consumed).unwrap_or_default());
            self.wire.consume(progress.consumed);
            octets = octets.saturating_add(progress.consumed as u64);
            if let Some(poison) = decoder.poison() {
                intake.fail(Fault::Poison(poison));
            }
            intake.take(&text).await;
            let smuggling = decoder.poison().is_some_and(smtp_proto::Poison::is_smuggling);
            if progress.finished {
                return Ok((intake, if smuggling { Ending::Unknown } else { Ending::Known }));
            }
            if smuggling && tail.is_an_end_to_others() {
                // A client with other line ends waits for its answer now.
                return Ok((intake, Ending::Unknown));
            }
            if intake.has_failed() {
                discarded = discarded.saturating_add(progress.consumed as u64);
                if discarded > discard_max {
                    return Ok((intake, Ending::Unknown));
                }
            }
            let (deadline, end) = self.data_deadline(began, octets, rate_min);
            if Instant::now() >= deadline {
                // A sender that always has an octet at hand never lets the wait below run out.
                return Err(end);
            }
            match self.wire.read_data(deadline).await {
                // Who waits here for an answer gets the one that is final.
                Err(End::Timeout) if smuggling => return Ok((intake, Ending::Unknown)),
                Err(End::Timeout) => return Err(end),
                read => read?,
            }
        }
    }

    /// When the next octets must be here, and what it means if they are not: the wait for a block, the least rate or
    /// the session's end, whichever comes first.
    fn data_deadline(&self, began: Instant, octets: u64, rate_min: u64) -> (Instant, End) {
        let timeouts = &self.shared.config.timeouts;
        let by_block = (Instant::now() + timeouts.data_block.as_duration()).min(self.deadline);
        let Some(allowed) = octets.checked_div(rate_min) else { return (by_block, End::DataTimeout) };
        let by_rate = began + timeouts.data_grace.as_duration() + Duration::from_secs(allowed);
        if by_rate < by_block { (by_rate, End::TooSlow) } else { (by_block, End::DataTimeout) }
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
                entrance: if self.kind.is_submission() { Entrance::Submission } else { Entrance::Mx },
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
        }
    }

    fn trace_field(&self, envelope: &Envelope) -> Vec<u8> {
        let extended = self.machine.client().is_some_and(|client| client.extended);
        received::field(envelope, &self.shared.hostname, extended)
    }

    /// Makes the message durable in a task of its own, which a vanished client can't stop half-way.
    async fn publish(&mut self, lane: Lane, envelope: Envelope, body: Body, message_id: &str) -> Reply {
        let (queue, told) = (Arc::clone(&self.shared.queue), envelope.clone());
        let task = self.drain.spawn(async move { queue.publish(lane, envelope, body).await });
        let wait = self.shared.config.timeouts.publish.as_duration();
        let (reason, reply) = match timeout(wait, task).await {
            Ok(Ok(Ok(()))) => return self.accepted(&told, message_id),
            Ok(Ok(Err(PublishError::Full(why)))) => {
                warn!(id = %told.id, why, "queue full, message refused for now");
                (Refused::QueueFull, reply::queue_full())
            }
            Ok(Ok(Err(failure))) => {
                error!(id = %told.id, error = %describe(&failure), "queue failed, message refused for now");
                (Refused::QueueFailed, reply::queue_failed())
            }
            Ok(Err(_)) => {
                error!(id = %told.id, "publishing panicked, message refused for now");
                (Refused::QueueFailed, reply::queue_failed())
            }
            Err(_) => {
                // It may still become durable; then the sender's second try is a second copy, which is better than none.
                error!(id = %told.id, "queue did not answer in time, message refused for now");
                (Refused::QueueFailed, reply::queue_failed())
            }
        };
        self.shared.metrics.refused(reason);
        self.log_refused(&told, reason, &reply);
        reply
    }

    fn accepted(&mut self, envelope: &Envelope, message_id: &str) -> Reply {
        self.accepted = self.accepted.saturating_add(1);
        self.shared.metrics.accepted(self.kind, envelope.size);
        info!(
            target: "sluice::message",
            id = %envelope.id,
            event = "accepted",
            from = %envelope.reverse_path,
            to = envelope.recipients.len(),
            recipients = %list(envelope),
            peer = %self.peer,
            listener = self.kind.name(),
            tls = envelope.origin.tls,
            size = envelope.size,
            message_id,
            "message accepted"
        );
        reply::queued(envelope.id)
    }

    fn refuse_message(&self, envelope: &Envelope, fault: &Fault) -> Reply {
        let (reason, reply) = (fault.reason(), fault.reply());
        if let Fault::Spool(failure) = fault {
            error!(id = %envelope.id, error = %failure, "spooling failed, message refused for now");
        }
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
            reply = %reply,
            "message refused"
        );
    }
}

/// How the reading of a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// At its end: what follows are commands.
    Known,
    /// Somewhere in it: the session is over with the answer.
    Unknown,
}

/// The last octets of a message as it comes.
#[derive(Debug, Default)]
struct Tail([u8; 4]);

impl Tail {
    fn push(&mut self, octets: &[u8]) {
        let last = octets.last_chunk::<4>();
        match last {
            Some(last) => self.0 = *last,
            None => octets.iter().for_each(|octet| {
                self.0.rotate_left(1);
                if let Some(slot) = self.0.last_mut() {
                    *slot = *octet;
                }
            }),
        }
    }

    /// Whether a program that takes LF for a line's end has said that the message ends here.
    fn is_an_end_to_others(&self) -> bool {
        self.0.ends_with(b"\n.\n") || self.0.ends_with(b"\n.\r\n")
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
