//! What a gateway accepts while the broker is away.
//!
//! ```text
//!  publish ──→ broker ──confirmed──→ done
//!     │           └──away, not confirmed──→ own log, synced ──→ done        begins to spill
//!     └── while the log holds anything ──────→ own log, synced ──→ done
//!  own log ──in order of arrival──→ broker, confirmed ──→ removed from the log
//! ```
//! The log is an embedded queue in `queue.dir`, on the gateway's own disk. While it holds anything new messages go behind what is there, so that they
//! reach the broker in the order in which they came.
//!
//! # Limits
//! The log takes `queued_bytes_max` and no more, and nothing new once its oldest message is older than `spill_age_max`: then senders keep their mail (452) rather
//! than wait behind a broker that nobody mends.
//!
//! # After a crash
//! A message that the broker has confirmed and that is not yet removed from the log is sent once more under the same id. The same is true of one that was
//! sent to the broker, not confirmed, and then spilled. Whoever works it tells by the id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use envelope::{Envelope, MessageId, Timestamp};
use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};

use crate::embedded::EmbeddedQueue;
use crate::metrics::SpillMetrics;
use crate::rabbitmq::{Credentials, Kept, RabbitQueue};
use crate::schedule::now;
use crate::{
    Body, BodyWriter, Config, Lane, LaneStats, Lease, ListFilter, Listed, Order, Ordered, PublishError,
    Queue, QueueError,
};

/// Messages on their way from the log to the broker at once.
const TOGETHER: usize = 64;
/// Large bodies that are copied from the shared spool to the log at once.
const COPIES: usize = 2;
/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long after a failure the broker is tried again with what is in the log.
const PAUSE: Duration = Duration::from_millis(500);

/// A queue on RabbitMQ that goes on accepting without it.
#[derive(Debug)]
pub struct SpillQueue {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: std::sync::Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    broker: RabbitQueue,
    log: EmbeddedQueue,
    age_max: Duration,
    /// The log holds something, or may.
    spilling: AtomicBool,
    /// When the oldest message of the log came, in milliseconds since 1970; 0: none.
    oldest: AtomicU64,
    copies: Semaphore,
    metrics: SpillMetrics,
}

impl SpillQueue {
    /// Opens both. `writer` names this process among those that share `queue.dir`.
    pub async fn open(
        config: &Config,
        credentials: &Credentials,
        writer: &str,
        registry: &prometheus::Registry,
    ) -> Result<Self, QueueError> {
        // The log's own metrics would be taken for those of the queue.
        let log = EmbeddedQueue::open_in_order(config, writer, &prometheus::Registry::new())?;
        let broker = RabbitQueue::open(config, credentials, registry).await?;
        let metrics = SpillMetrics::new(registry).map_err(|error| QueueError::Io {
            step: "register metrics of",
            path: config.dir.display().to_string(),
            source: std::io::Error::other(error),
        })?;
        metrics.limit_bytes.set(i64::try_from(config.queued_bytes_max.as_u64()).unwrap_or(i64::MAX));
        let shared = Arc::new(Shared {
            broker,
            log,
            age_max: config.spill_age_max.as_duration(),
            // What an earlier process left is not known before the log has been read.
            spilling: AtomicBool::new(true),
            oldest: AtomicU64::new(0),
            copies: Semaphore::new(COPIES),
            metrics,
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks: Vec<_> = Lane::ALL
            .into_iter()
            .map(|lane| tokio::spawn(replay(Arc::clone(&shared), lane, stopped.clone())))
            .collect();
        tasks.push(tokio::spawn(watch_log(Arc::clone(&shared), stopped)));
        Ok(Self { shared, stop, tasks: std::sync::Mutex::new(tasks) })
    }

    /// What is in this node's log: counts and oldest age of every lane.
    pub async fn spilled(&self) -> Result<Vec<LaneStats>, QueueError> {
        self.shared.log.stats().await
    }
}

impl Shared {
    async fn spill(&self, lane: Lane, envelope: Envelope, body: Body) -> Result<(), PublishError> {
        let oldest = Timestamp::from_unix_milliseconds(self.oldest.load(Ordering::Acquire));
        let age = now().since(oldest);
        if oldest.unix_milliseconds() > 0 && age > self.age_max {
            let minutes = age.as_secs() / 60;
            return Err(PublishError::Full(format!(
                "the broker has been away for {minutes} minutes, longer than spill_age_max"
            )));
        }
        let body = self.own(body).await?;
        if !self.spilling.swap(true, Ordering::AcqRel) {
            tracing::warn!("the broker is away: messages are accepted into this node's own log");
        }
        self.log.publish(lane, envelope, body).await?;
        self.metrics.spilled.inc();
        Ok(())
    }

    /// The log's disk is another one than the shared spool's.
    async fn own(&self, body: Body) -> Result<Body, PublishError> {
        if matches!(body, Body::Memory(_)) {
            return Ok(body);
        }
        let _permit = self.copies.acquire().await.map_err(|_| PublishError::Closing)?;
        let octets = body.read().await.map_err(PublishError::Store)?;
        let mut writer = self.log.body_writer();
        writer.write(&octets).await.map_err(PublishError::Store)?;
        writer.finish().await.map_err(PublishError::Store)
    }

    /// Sends a few messages of the log on; says whether the broker took them all. The first goes alone: while there is no broker none of the others
    /// may find it by chance, and be ahead. What is under way when a connection breaks may still change places.
    async fn send(&self, lane: Lane, leases: Vec<Lease>) -> bool {
        if !self.broker.is_connected() {
            return false;
        }
        // A large body takes its time on the way to the shared spool: no later message may pass it meanwhile.
        let ready = join_all(
            leases.iter().map(|lease| self.broker.keep(lease.envelope.id, Body::Memory(lease.body.clone()))),
        );
        let ready: Result<Vec<Kept>, _> = ready.await.into_iter().collect();
        let ready = match ready {
            Ok(ready) => ready,
            Err(error) => {
                tracing::debug!(%error, "a message of the log can't be put where the broker's messages have their bodies");
                return false;
            }
        };
        let mut ready = leases.into_iter().zip(ready);
        let Some((lease, kept)) = ready.next() else { return true };
        if !self.send_one(lane, lease, kept).await {
            return false;
        }
        let sent = join_all(ready.map(|(lease, kept)| self.send_one(lane, lease, kept))).await;
        sent.into_iter().all(|sent| sent)
    }

    async fn send_one(&self, lane: Lane, lease: Lease, kept: Kept) -> bool {
        let id = lease.envelope.id;
        match self.broker.put(lane, lease.envelope.clone(), kept).await {
            Ok(()) => {
                self.metrics.replayed.inc();
                if let Err(error) = lease.ack().await {
                    tracing::warn!(%id, %error, "a message that the broker has stays in the log, and is sent again");
                }
                true
            }
            Err((error, _)) => {
                tracing::debug!(%id, %error, "the broker did not take a message of the log");
                false
            }
        }
    }

    async fn look(&self) {
        let Ok(lanes) = self.log.stats().await else { return };
        let waiting: u64 =
            lanes.iter().map(|lane| lane.ready + lane.leased + lane.deferred + lane.held).sum();
        let oldest = lanes.iter().filter_map(|lane| lane.oldest).min();
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.oldest.store(oldest.map_or(0, Timestamp::unix_milliseconds), Ordering::Release);
        self.metrics.messages.set(signed(waiting));
        self.metrics.oldest.set(signed(oldest.map_or(0, |oldest| now().since(oldest).as_secs())));
    }

    /// When the log is empty the broker is asked first again.
    async fn settle(&self) {
        let empty = self.log.knows_all()
            && self.log.stats().await.is_ok_and(|lanes| lanes.iter().all(|lane| lane.oldest.is_none()));
        // A message that is put into the log in this moment is behind those that are sent directly from here on, by a moment.
        if empty && self.broker.is_connected() && self.spilling.swap(false, Ordering::AcqRel) {
            tracing::info!("the log of this node is empty, messages go to the broker again");
        }
    }
}

async fn replay(shared: Arc<Shared>, lane: Lane, mut stopped: watch::Receiver<bool>) {
    loop {
        let first = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            first = shared.log.lease(lane) => first,
        };
        let Ok(first) = first else { return };
        let mut leases = vec![first];
        while leases.len() < TOGETHER
            && let Ok(Ok(next)) = tokio::time::timeout(Duration::from_millis(1), shared.log.lease(lane)).await
        {
            leases.push(next);
        }
        let sent = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            sent = shared.send(lane, leases) => sent,
        };
        if !sent {
            let _ = tokio::time::timeout(PAUSE, stopped.wait_for(|stopped| *stopped)).await;
        }
    }
}

async fn watch_log(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    loop {
        shared.look().await;
        shared.settle().await;
        if tokio::time::timeout(LOOK_EVERY, stopped.wait_for(|stopped| *stopped)).await.is_ok() {
            return;
        }
    }
}

#[async_trait]
impl Queue for SpillQueue {
    fn body_writer(&self) -> BodyWriter {
        if self.shared.spilling.load(Ordering::Acquire) {
            self.shared.log.body_writer()
        } else {
            self.shared.broker.body_writer()
        }
    }

    async fn publish(&self, lane: Lane, envelope: Envelope, body: Body) -> Result<(), PublishError> {
        if self.shared.spilling.load(Ordering::Acquire) {
            return self.shared.spill(lane, envelope, body).await;
        }
        match self.shared.broker.offer(lane, envelope.clone(), body).await {
            Ok(()) => Ok(()),
            Err((error @ (PublishError::Away(_) | PublishError::Unconfirmed(_)), Some(body))) => {
                tracing::debug!(id = %envelope.id, %error, "a message is spilled");
                self.shared.spill(lane, envelope, body).await
            }
            Err((error, _)) => Err(error),
        }
    }

    async fn lease(&self, lane: Lane) -> Result<Lease, QueueError> {
        self.shared.broker.lease(lane).await
    }

    async fn stats(&self) -> Result<Vec<LaneStats>, QueueError> {
        self.shared.broker.stats().await
    }

    async fn list(&self, filter: &ListFilter, limit: usize) -> Result<Vec<Listed>, QueueError> {
        self.shared.broker.list(filter, limit).await
    }

    async fn find(&self, id: MessageId) -> Result<Option<Listed>, QueueError> {
        self.shared.broker.find(id).await
    }

    async fn content(&self, id: MessageId) -> Result<Option<Bytes>, QueueError> {
        self.shared.broker.content(id).await
    }

    async fn order(&self, filter: &ListFilter, order: Order) -> Result<Ordered, QueueError> {
        self.shared.broker.order(filter, order).await
    }

    /// What is in the log stays there for the next start.
    async fn close(&self) {
        let _ = self.stop.send(true);
        let tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for task in tasks {
            let _ = task.await;
        }
        self.shared.log.close().await;
        self.shared.broker.close().await;
    }
}

impl Drop for SpillQueue {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}
