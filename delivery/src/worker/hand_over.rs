//! Recipients whose way goes on in the other lane: a message of its own, which outlives this one.

use std::time::Duration;

use envelope::{Envelope, MessageId, Recipient, ReversePath};
use queue::Lane;
use tracing::info;

use super::message::Attempt;
use super::reports::Unqueued;
use crate::metrics::Outcome;
use crate::report::Fnv;

impl Attempt<'_> {
    /// Queues the message once more for these recipients. When that fails they wait here.
    pub(super) async fn hand_over(&mut self, lane: Lane, recipients: Vec<Recipient>) {
        if recipients.is_empty() {
            return;
        }
        let queued = match self.next_reverse_path(lane).await {
            Ok(reverse_path) => self.queue_again(lane, &recipients, reverse_path).await,
            Err(why) => Err((Duration::ZERO, why)),
        };
        let (next, from) = match queued {
            Ok(queued) => queued,
            Err((after, why)) => {
                let reason = format!("it could not be queued on its way to {lane}: {why}");
                return self.put_back(recipients.into_iter(), &(after, reason));
            }
        };
        info!(
            target: "sluice::message",
            id = %next,
            event = "accepted",
            entrance = "internal",
            %from,
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

impl Attempt<'_> {
    /// A stranger's mail leaves under a sender of ours, whose reports come back here (SRS).
    async fn next_reverse_path(&self, lane: Lane) -> Result<ReversePath, String> {
        let sender = match &self.envelope.reverse_path {
            ReversePath::Address(sender) if lane == Lane::Remote => sender,
            unchanged => return Ok(unchanged.clone()),
        };
        let patience = self.worker.config.directory_max.as_duration();
        match tokio::time::timeout(patience, self.worker.deps.directory.forwarded(sender)).await {
            Ok(Ok(Some(rewritten))) => Ok(ReversePath::Address(rewritten)),
            Ok(Ok(None)) => Ok(self.envelope.reverse_path.clone()),
            Ok(Err(unavailable)) => Err(unavailable.to_string()),
            Err(_) => Err("the directory did not answer in time".to_owned()),
        }
    }

    async fn queue_again(
        &self,
        lane: Lane,
        recipients: &[Recipient],
        reverse_path: ReversePath,
    ) -> Result<(MessageId, ReversePath), Unqueued> {
        let id = id(self.envelope, lane, recipients);
        let envelope = Envelope {
            id,
            recipients: recipients.to_vec(),
            reverse_path: reverse_path.clone(),
            ..self.envelope.clone()
        };
        self.queue_message(lane, envelope, self.body.clone()).await?;
        Ok((id, reverse_path))
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
