//! Recipients whose way goes on in the other lane: a message of its own, which outlives this one.

use std::time::Duration;

use envelope::{Disposition, Envelope, MessageId, Recipient};
use queue::Lane;
use tracing::info;

use super::message::Attempt;
use crate::metrics::Outcome;
use crate::outcome::Deferred;
use crate::report::Fnv;

impl Attempt<'_> {
    /// Queues the message once more for these recipients. When that fails they wait here.
    pub(super) async fn hand_over(&mut self, lane: Lane, recipients: Vec<Recipient>) {
        if recipients.is_empty() {
            return;
        }
        let envelope = Envelope {
            id: id(self.envelope, lane, &recipients),
            recipients: recipients.clone(),
            ..self.envelope.clone()
        };
        let next = envelope.id;
        let body = queue::Body::Memory(self.body.clone());
        if let Err(error) = self.worker.deps.queue.publish(lane, envelope, body).await {
            let after = match error.disposition() {
                Disposition::Defer { after } => after,
                Disposition::Reject => Duration::ZERO,
            };
            let reason = format!("it could not be queued on its way to {lane}: {error}");
            let waiting = |recipient| Deferred { recipient, after, reason: reason.clone(), said: None };
            return self.deferred.extend(recipients.into_iter().map(waiting));
        }
        info!(
            target: "sluice::message",
            id = %next,
            event = "accepted",
            entrance = "internal",
            from = %self.envelope.reverse_path,
            to = recipients.len(),
            original = %self.envelope.id,
            %lane,
            size = self.body.len(),
            "the way of another message goes on"
        );
        for recipient in &recipients {
            self.worker.metrics.count(Outcome::HandedOver);
            info!(
                target: "sluice::message",
                id = %self.envelope.id,
                event = "handed-over",
                recipient = %recipient.address,
                next = %next,
                %lane,
                "goes on as another message"
            );
        }
    }
}

/// The same recipients of the same message go on under the same id: after a crash it is queued once.
fn id(envelope: &Envelope, lane: Lane, recipients: &[Recipient]) -> MessageId {
    let mut addresses: Vec<String> =
        recipients.iter().map(|recipient| recipient.address.canonical().to_string()).collect();
    addresses.sort();
    let mut hash = Fnv::new();
    hash.write(&envelope.id.to_bytes());
    hash.write(b"on to ");
    hash.write(lane.to_string().as_bytes());
    for address in addresses {
        hash.write(b"\n");
        hash.write(address.as_bytes());
    }
    MessageId::new(envelope.id.unix_milliseconds(), hash.random())
}
