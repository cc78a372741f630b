//! One try of one message for other mail systems.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use envelope::{Domain, Envelope, Recipient};
use futures_util::future::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use queue::Lane;
use tracing::info;

use super::Worker;
use super::message::{Attempt, Decision, now};
use crate::content;
use crate::metrics::Outcome;
use crate::outcome::{Deferred, Failed};
use crate::remote::{Fate, Later, Message};

/// Brings every recipient as far as it goes now.
pub(super) async fn attempt(worker: &Worker, envelope: &Envelope, body: &Bytes, attempts: u32) -> Decision {
    let wait = worker.config.wait_at_age(now().since(envelope.received_at), envelope.id);
    let mut attempt = Attempt::new(worker, envelope, body, wait, attempts);
    let mut groups = attempt.groups().await;
    let message = match prepare(worker, envelope, body).await {
        Ok(message) => message,
        Err(reason) => {
            // Unsigned it might be refused for good where the domain's policy asks for signatures.
            let all = std::mem::take(&mut groups).into_iter().flat_map(|(_, recipients)| recipients);
            attempt.put_back(all, &(Duration::ZERO, reason));
            return attempt.finish().await;
        }
    };
    let message = &message;
    let at_once = usize::from(worker.config.remote.destinations_at_once);
    let sent: Vec<_> = stream::iter(groups)
        .map(|(domain, recipients)| async move {
            // A panic must not have the message sent again where it was accepted meanwhile.
            let sending = AssertUnwindSafe(worker.remote.send(&domain, message, &recipients));
            let fates = sending.catch_unwind().await.ok();
            (recipients, fates)
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    attempt.untried = attempt.deferred.is_empty();
    for (recipients, fates) in sent {
        let Some(fates) = fates else {
            attempt.panicked = true;
            let reason = "the try ended in a panic".to_owned();
            attempt.put_back(recipients.into_iter(), &(Duration::ZERO, reason));
            continue;
        };
        for (recipient, fate) in recipients.into_iter().zip(fates) {
            attempt.fate(recipient, fate);
        }
    }
    attempt.finish().await
}

/// The octets for the wire, and what a server must be told of them.
async fn prepare<'a>(worker: &Worker, envelope: &'a Envelope, body: &Bytes) -> Result<Message<'a>, String> {
    let mut octets = content::with_crlf(body);
    if let Some(domain) = worker.signatures.signer(envelope, &octets) {
        let (signatures, unsigned) = (Arc::clone(&worker.signatures), octets);
        let signed = worker.deps.blocking.run(move || signatures.sign(&domain, &unsigned)).await;
        let signed = signed.map_err(|error| error.to_string()).and_then(|signed| signed);
        octets = signed.map_err(|why| format!("the message could not be signed: {why}"))?;
    }
    let header = octets.get(..content::header_end(&octets)).unwrap_or_default();
    let (eight_bit, utf8_header) = (!octets.is_ascii(), envelope.smtp_utf8 && !header.is_ascii());
    Ok(Message { envelope, octets, eight_bit, utf8_header })
}

impl Attempt<'_> {
    /// Recipients by domain. Those of our own domains go back to the other lane.
    async fn groups(&mut self) -> Vec<(Domain, Vec<Recipient>)> {
        let mut groups: BTreeMap<Domain, Vec<Recipient>> = BTreeMap::new();
        for recipient in &self.envelope.recipients {
            groups.entry(recipient.address.domain().clone()).or_default().push(recipient.clone());
        }
        let (mut elsewhere, mut here) = (Vec::new(), Vec::new());
        let patience = self.worker.config.directory_max.as_duration();
        for (domain, recipients) in groups {
            let reason =
                match tokio::time::timeout(patience, self.worker.deps.directory.is_local(&domain)).await {
                    Ok(Ok(false)) => {
                        elsewhere.push((domain, recipients));
                        continue;
                    }
                    Ok(Ok(true)) => {
                        here.extend(recipients);
                        continue;
                    }
                    Ok(Err(unavailable)) => unavailable.to_string(),
                    Err(_) => "the directory did not answer in time".to_owned(),
                };
            self.put_back(recipients.into_iter(), &(Duration::ZERO, reason));
        }
        self.hand_over(Lane::Local, here).await;
        elsewhere
    }

    fn fate(&mut self, recipient: Recipient, fate: Fate) {
        match fate {
            Fate::Relayed { said, address, tls, tells } => {
                let latency = now().since(self.envelope.received_at);
                self.worker.metrics.count(Outcome::Relayed);
                info!(
                    target: "sluice::message",
                    id = %self.envelope.id,
                    event = "relayed",
                    recipient = %recipient.address,
                    sender = %self.envelope.reverse_path_for(&recipient),
                    mx = said.mta,
                    %address,
                    tls,
                    said = said.text,
                    milliseconds = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
                    "another mail system has it"
                );
                if recipient.wants_success() && !tells {
                    self.passed_on.push((recipient, Some(said)));
                }
            }
            Fate::Failed(failure) => self.failed.push(Failed { recipient, failure }),
            Fate::Later(Later { after, reason, said, untried }) => {
                self.untried &= untried;
                self.deferred.push(Deferred { recipient, after, reason, said });
            }
        }
    }
}
