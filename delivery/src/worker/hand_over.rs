//! Recipients whose way goes on in the other lane, and members of mailing lists: a message of its own, which outlives this one.

use std::time::Duration;

use bytes::Bytes;
use envelope::{Envelope, MessageId, Priority, Recipient, ReversePath};
use queue::Lane;
use tracing::info;

use super::expand::List;
use super::message::Attempt;
use super::reports::Unqueued;
use crate::content;
use crate::metrics::Outcome;
use crate::outcome::{Failed, Failure};
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
        self.tell_next(next, &from, recipients.len(), lane);
        for recipient in &recipients {
            self.tell_handed_over(recipient, next, lane);
        }
    }

    /// Queues the message for the members of a list, who get it from its owner. When that fails the list waits here.
    pub(super) async fn distribute(&mut self, list: List) {
        let List { recipient, address, owner, members, separator } = list;
        let lane = Lane::Local;
        if content::was_delivered_to(&address, self.body) {
            return self.failed.push(Failed { recipient, failure: Failure::LOOP });
        }
        let body = Bytes::from(content::marked(&address, self.body));
        let envelope = Envelope {
            // Whoever they are by now: after a crash nobody gets it twice.
            id: id(self.envelope, &format!("the list {address}"), &[]),
            smtp_utf8: self.envelope.smtp_utf8 || address.needs_utf8(),
            reverse_path: ReversePath::Address(owner),
            list: Some(envelope::List { address, separator }),
            size: body.len() as u64,
            envelope_id: None,
            returned: None,
            priority: Priority::Bulk,
            recipients: members,
            ..self.envelope.clone()
        };
        let (next, from, count) = (envelope.id, envelope.reverse_path.clone(), envelope.recipients.len());
        if let Err((after, why)) = self.queue_message(lane, envelope, body).await {
            let reason = format!("it could not be queued for the members of the list: {why}");
            return self.put_back([recipient].into_iter(), &(after, reason));
        }
        self.tell_next(next, &from, count, lane);
        self.tell_handed_over(&recipient, next, lane);
        if recipient.wants_success() {
            self.passed_on.push((recipient, None));
        }
    }

    fn tell_next(&self, next: MessageId, from: &ReversePath, to: usize, lane: Lane) {
        info!(
            target: "sluice::message",
            id = %next,
            event = "accepted",
            entrance = "internal",
            %from,
            to,
            original = %self.envelope.id,
            %lane,
            size = self.body.len(),
            "the way of another message goes on"
        );
    }

    fn tell_handed_over(&self, recipient: &Recipient, next: MessageId, lane: Lane) {
        self.worker.metrics.count(Outcome::HandedOver);
        info!(
            target: "sluice::message",
            id = %self.envelope.id,
            event = "handed-over",
            recipient = %recipient.address,
            %next,
            %lane,
            "goes on as another message"
        );
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
        let id = id(self.envelope, &lane.to_string(), recipients);
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
fn id(envelope: &Envelope, to: &str, recipients: &[Recipient]) -> MessageId {
    let mut addresses: Vec<String> =
        recipients.iter().map(|recipient| recipient.address.canonical().to_string()).collect();
    addresses.sort();
    let mut hash = Fnv::new();
    hash.write(&envelope.id.to_bytes());
    hash.write(b"on to ");
    hash.write(to.as_bytes());
    for address in addresses {
        hash.write(b"\n");
        hash.write(address.as_bytes());
    }
    MessageId::new(envelope.id.unix_milliseconds(), hash.random())
}

#[cfg(test)]
mod tests;
