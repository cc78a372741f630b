//! Takes messages, one task a slot, and settles them.

mod batch;
mod content;
mod expand;
mod hand_over;
mod mailbox;
mod message;
mod relay;
mod reports;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envelope::MessageId;
use queue::{Lane, Lease, Queue, QueueError, Settlement};
use runtime::Drain;
use tracing::{Instrument as _, error, info, info_span, warn};

use self::batch::Batches;
use self::content::Content;
use crate::Deps;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::remote::Remote;
use crate::signing::Signatures;

/// Messages whose panics are remembered.
const PANICS_REMEMBERED_MAX: usize = 1024;

/// What every slot shares.
pub(crate) struct Worker {
    pub(crate) config: Config,
    pub(crate) deps: Deps,
    pub(crate) metrics: Metrics,
    pub(crate) batches: Batches,
    content: Content,
    pub(crate) remote: Remote,
    pub(crate) signatures: Arc<Signatures>,
    panics: Mutex<HashMap<MessageId, u16>>,
}

impl Worker {
    pub(crate) fn new(config: Config, deps: Deps, metrics: Metrics, signatures: Signatures) -> Self {
        metrics.in_flight_limit.set(i64::from(config.concurrency));
        // Whoever sends mail waits for a gateway; nobody waits for a worker.
        let yielding = deps.blocking.yielding(config.niceness);
        let batches = Batches::new(&config, &deps, yielding, &metrics);
        let content = Content::new(&config, &metrics);
        let remote = Remote::open(&config.remote, &deps.hostname, deps.tls_reports.clone());
        let signatures = Arc::new(signatures);
        Self {
            config,
            deps,
            metrics,
            batches,
            content,
            remote,
            signatures,
            panics: Mutex::new(HashMap::new()),
        }
    }

    /// The queue, and how long its quarantine keeps a message, if not for ever.
    pub(crate) fn quarantine(&self) -> Option<(Arc<dyn Queue>, Duration)> {
        let keep = Some(self.config.quarantine_keep.as_duration()).filter(|keep| !keep.is_zero())?;
        Some((Arc::clone(&self.deps.queue), keep))
    }

    /// How often this message has caused a panic, this one included.
    fn panicked(&self, id: MessageId) -> u16 {
        self.metrics.panics.inc();
        let mut panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        if panics.len() >= PANICS_REMEMBERED_MAX && !panics.contains_key(&id) {
            panics.clear();
        }
        let count = panics.entry(id).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    fn forget(&self, id: MessageId) {
        self.panics.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Runs every slot until the drain is asked for and what they hold is settled.
pub(crate) async fn run(worker: Arc<Worker>, drain: Drain) {
    let lanes = [(Lane::Local, worker.config.concurrency), (Lane::Remote, worker.config.remote.concurrency)];
    let slots: Vec<_> = lanes
        .into_iter()
        .flat_map(|(lane, slots)| (0..slots).map(move |_| lane))
        .map(|lane| drain.spawn(slot(Arc::clone(&worker), lane, drain.clone())))
        .collect();
    let ended = async {
        for slot in slots {
            if let Err(error) = slot.await {
                error!(%error, "a slot of delivery ended unexpectedly");
            }
        }
    };
    tokio::select! {
        () = ended => {}
        never = worker.remote.keep(&worker.metrics) => match never {},
    }
}

async fn slot(worker: Arc<Worker>, lane: Lane, drain: Drain) {
    loop {
        let leased = tokio::select! {
            biased;
            () = drain.requested() => return,
            leased = worker.content.lease(&*worker.deps.queue, lane) => leased,
        };
        match leased {
            Ok((lease, None)) => {
                // As when no batch has a place: the message is tried again later.
                warn!(id = %lease.envelope.id, "no memory for a message");
                let after = worker.config.wait(lease.attempts, lease.envelope.id);
                let recipients = lease.envelope.recipients.clone();
                let reason = "no memory was free for it".to_owned();
                settle(&worker, lease, Settlement::Retry { after, recipients, reason }).await;
            }
            Ok((lease, Some(_held))) => {
                let span = info_span!("msg", id = %lease.envelope.id);
                handle(&worker, lane, lease).instrument(span).await;
            }
            Err(QueueError::Closing) => return,
            Err(error) => {
                worker.metrics.queue_errors.inc();
                warn!(%error, "taking a message failed");
                let pause = tokio::time::sleep(worker.config.queue_pause.as_duration());
                tokio::select! {
                    () = drain.requested() => return,
                    () = pause => {}
                }
            }
        }
    }
}

async fn handle(worker: &Arc<Worker>, lane: Lane, lease: Lease) {
    worker.metrics.in_flight.inc();
    let id = lease.envelope.id;
    let settlement = decide(worker, lane, &lease).await;
    if let Settlement::Dead { reason } = &settlement {
        worker.metrics.dead.inc();
        info!(target: "sluice::message", %id, event = "dead", reason, "put aside for an operator");
    }
    settle(worker, lease, settlement).await;
    worker.metrics.in_flight.dec();
}

async fn settle(worker: &Worker, lease: Lease, settlement: Settlement) {
    let id = lease.envelope.id;
    let settled = match settlement {
        Settlement::Ack => lease.ack().await,
        Settlement::Dead { reason } => lease.dead(reason).await,
        Settlement::Retry { after, recipients, reason } => lease.retry(after, recipients, reason).await,
    };
    if let Err(error) = settled {
        // The message comes again, and the store knows what it has.
        worker.metrics.queue_errors.inc();
        warn!(%id, %error, "settling a message failed");
    }
}

/// The try runs as a task of its own, so that a panic ends the try and not the slot.
async fn decide(worker: &Arc<Worker>, lane: Lane, lease: &Lease) -> Settlement {
    let (envelope, body, attempts) = (lease.envelope.clone(), lease.body.clone(), lease.attempts);
    let id = envelope.id;
    let attempt = {
        let worker = Arc::clone(worker);
        async move {
            match lane {
                Lane::Remote => relay::attempt(&worker, &envelope, &body, attempts).await,
                _ => message::attempt(&worker, &envelope, &body, attempts).await,
            }
        }
    };
    let (settlement, panicked) = match tokio::spawn(attempt.in_current_span()).await {
        Ok(decision) => (decision.settlement, decision.panicked),
        Err(_) => {
            let retry = Settlement::Retry {
                after: worker.config.wait(attempts, id),
                recipients: lease.envelope.recipients.clone(),
                reason: "the try ended in a panic".to_owned(),
            };
            (retry, true)
        }
    };
    if !panicked {
        worker.forget(id);
        return settlement;
    }
    let count = worker.panicked(id);
    if count < worker.config.panics_before_dead {
        return settlement;
    }
    worker.forget(id);
    Settlement::Dead { reason: format!("{count} tries ended in a panic") }
}

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod filing;
#[cfg(test)]
mod relaying;
#[cfg(test)]
mod reporting;
#[cfg(test)]
mod tests;
