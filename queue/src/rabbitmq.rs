//! The queue on RabbitMQ: for gateways and workers on different machines.
//!
//! ```text
//!  gateway ──publish, confirmed──→ <prefix>.local ──→ worker ──ack
//!                                      ↑ expired        ├──retry──→ <prefix>.local.wait.<seconds>
//!                                      └────────────────┘ └─dead──→ <prefix>.dead
//! ```
//! See [`topology`] for the queues and [`wire`] for what is in them. One connection publishes, another consumes.
//!
//! # What it promises, and what not
//!
//! - A publish that returned `Ok` is on the disks of a majority of the replicas. One that returned [`PublishError::Unconfirmed`] may be there.
//! - A decision that keeps a message is in its new queue, confirmed, before the message is acknowledged in the old one. The broker confirms no
//!   acknowledgement: after `Ok` a message may come again if the broker or the connection is lost in that moment. Whoever works it tells by its
//!   id; the store does.
//! - The same id twice is one message where both copies meet in one process, and where the store has the id.
//! - What other processes have at hand, at most `prefetch` each, is not seen by a listing and not touched by an order.
//! - Senders take turns among what a worker has at hand; bulk mail has queues of its own.
//!
//! # When the broker is away
//!
//! A publish waits `away_max` for a connection and then fails with [`PublishError::Away`]. An alarm of the broker (`connection.blocked`) or a
//! refusal is [`PublishError::Full`]. A queue without a majority confirms nothing: [`PublishError::Unconfirmed`] after `confirm_max`. Leases wait.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use envelope::{Envelope, MessageId};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::files::RealFiles;
use crate::metrics::{BrokerMetrics, Metrics};
use crate::schedule::now;
use crate::{
    Body, BodyWriter, Config, Lane, LaneStats, Lease, ListFilter, Listed, Order, Ordered, PublishError,
    Queue, QueueError,
};

mod browse;
mod consumer;
mod hand;
mod lease;
mod link;
mod publisher;
mod spool;
#[cfg(test)]
mod tests;
mod topology;
mod wire;

pub use link::Credentials;
pub(crate) use spool::Kept;

use consumer::Generations;
use hand::{Hand, Taken};
use lease::Held;
use link::{Link, Standing};
use publisher::Publisher;
use spool::Spool;
use topology::Place;
use wire::Meta;

/// How often one message is looked for before it is said not to be there.
const LOOKS: u32 = 3;
/// How long a message may be on its way from the broker to a consumer.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The queue on RabbitMQ, as one process uses it.
#[derive(Debug)]
pub struct RabbitQueue {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// Lanes that this process consumes.
    lanes: Mutex<HashSet<Lane>>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    publisher: Publisher,
    consuming: Link,
    hand: Hand,
    spool: Spool,
    generations: Generations,
    closing: watch::Receiver<bool>,
    metrics: BrokerMetrics,
    queue_metrics: Metrics,
}

impl RabbitQueue {
    /// Begins to connect, and waits a while for it. A broker that is away is no error: it is tried again for as long as the queue is open. One
    /// that has a queue of ours with other properties, or does not let us in, is.
    pub async fn open(
        config: &Config,
        credentials: &Credentials,
        registry: &prometheus::Registry,
    ) -> Result<Self, QueueError> {
        let failed = |step, source| QueueError::Io {
            step,
            path: config.rabbitmq.spool_dir.display().to_string(),
            source,
        };
        let metrics =
            |error| failed("register metrics of", std::io::Error::other::<prometheus::Error>(error));
        let queue_metrics = Metrics::new(registry).map_err(metrics)?;
        let broker_metrics = BrokerMetrics::new(registry).map_err(metrics)?;
        let opened = {
            let config = config.clone();
            crate::body::blocking(move || Spool::open(Arc::new(RealFiles), &config)).await
        };
        let spool = opened.map_err(|source| failed("open the shared spool", source))?;
        let link = |purpose| Link::start(&config.rabbitmq, credentials, purpose, broker_metrics.clone());
        let (stop, closing) = watch::channel(false);
        let publisher = Publisher {
            link: link("publish"),
            config: config.rabbitmq.clone(),
            metrics: broker_metrics.clone(),
        };
        let shared = Arc::new(Shared {
            config: config.clone(),
            publisher,
            consuming: link("consume"),
            hand: Hand::new(),
            spool,
            generations: Generations::default(),
            closing,
            metrics: broker_metrics,
            queue_metrics,
        });
        let wait = config.rabbitmq.connect_max.as_duration();
        match timeout(wait, shared.publisher.link.settled()).await {
            Ok(Standing::Refused(why)) => {
                shared.close().await;
                return Err(QueueError::Broker { step: "declare the queues", why: why.to_string() });
            }
            Ok(_) => {}
            Err(_) => tracing::warn!("the broker can't be reached, it is tried again"),
        }
        Ok(Self { shared, stop, lanes: Mutex::new(HashSet::new()) })
    }

    /// Whether there is a connection to publish by.
    pub fn is_connected(&self) -> bool {
        matches!(self.shared.publisher.link.standing(), Standing::Up(_))
    }

    /// As [`Queue::publish`]; when the broker has not taken it, or may not have, the body is given back.
    pub(crate) async fn offer(
        &self,
        lane: Lane,
        envelope: Envelope,
        body: Body,
    ) -> Result<(), (PublishError, Option<Body>)> {
        let kept = self.keep(envelope.id, body).await.map_err(|error| (error, None))?;
        self.put(lane, envelope, kept).await
    }

    /// Puts a body where a message may refer to it: the slow part of publishing, which keeps no order.
    pub(crate) async fn keep(&self, id: MessageId, body: Body) -> Result<Kept, PublishError> {
        if self.is_closing() {
            return Err(PublishError::Closing);
        }
        self.shared.spool.keep(id, body).await.map_err(PublishError::Store)
    }

    /// Hands a message to the broker. Messages that are put at the same time are in its queue in the order of their first polls, unless a connection is
    /// lost between them.
    pub(crate) async fn put(
        &self,
        lane: Lane,
        envelope: Envelope,
        kept: Kept,
    ) -> Result<(), (PublishError, Option<Body>)> {
        let place = Place::due(lane, envelope.priority);
        let due = envelope.received_at.min(now());
        let mut meta =
            Meta { due, left: None, envelope, lane, attempts: 0, error: String::new(), spooled: None };
        let put = match kept {
            Kept::Inline(octets) => {
                let put = self.shared.publisher.put(place, &meta, &octets).await;
                put.map_err(|error| (error, Some(Body::Memory(octets))))
            }
            Kept::File(file, reference) => {
                meta.spooled = Some(reference.clone());
                match self.shared.publisher.put(place, &meta, &[]).await {
                    Ok(()) => {
                        file.hand_over();
                        Ok(())
                    }
                    // The broker may have it, and then it refers to the file.
                    Err(error @ PublishError::Unconfirmed(_)) => {
                        file.hand_over();
                        Err((error, self.shared.spool.read(&reference).await.ok().map(Body::Memory)))
                    }
                    Err(error) => Err((error, Some(Body::Spooled(file)))),
                }
            }
        };
        match &put {
            Ok(()) => self.shared.queue_metrics.published.inc(),
            Err((PublishError::Full(_), _)) => {
                self.shared.queue_metrics.refused.with_label_values(&["full"]).inc()
            }
            Err(_) => self.shared.queue_metrics.refused.with_label_values(&["store"]).inc(),
        }
        put
    }

    /// Begins to consume a lane.
    fn start(&self, lane: Lane) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if !lanes.insert(lane) {
            return;
        }
        for place in Place::of(lane).into_iter().filter(|place| matches!(place, Place::Lane(..))) {
            tokio::spawn(consumer::run(Arc::clone(&self.shared), place));
        }
    }

    fn is_closing(&self) -> bool {
        *self.stop.borrow()
    }
}

impl Shared {
    async fn close(&self) {
        self.hand.close().await;
        self.consuming.close().await;
        self.publisher.link.close().await;
    }

    /// What cannot be read waits for an operator, or a while.
    async fn set_aside(&self, held: Held, error: std::io::Error) -> Result<(), QueueError> {
        self.queue_metrics.unreadable.inc();
        let id = held.id;
        let lasting = matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData);
        if lasting && held.taken.meta.lane != Lane::Dead {
            tracing::error!(%id, %error, "a queued message is damaged, it waits for an operator");
            let reason = format!("its spooled body can't be read: {error}");
            return crate::Settle::settle(Box::new(held), crate::Settlement::Dead { reason }).await;
        }
        tracing::warn!(%id, %error, "failed to read a queued message, trying again later");
        self.hand.put_back(id, self.config.unreadable_retry.as_duration());
        let mut held = held;
        held.settled = true;
        Ok(())
    }

    async fn count(&self, place: Place) -> Result<u64, QueueError> {
        let failed = |why: String| QueueError::Broker { step: "count messages", why };
        let name = place.name(&self.config.rabbitmq.prefix);
        let counting = async {
            match self.consuming.settled().await {
                Standing::Up(up) => {
                    let channel =
                        up.connection.create_channel().await.map_err(|error| failed(error.to_string()))?;
                    let count = topology::count(&channel, &name).await;
                    let _ = channel.close(200, "counted".into()).await;
                    count.map(u64::from).map_err(|error| failed(error.to_string()))
                }
                Standing::Closed => Err(QueueError::Closing),
                Standing::Down(why) | Standing::Refused(why) => Err(failed(why.to_string())),
            }
        };
        timeout(self.config.rabbitmq.answer_max.as_duration(), counting)
            .await
            .unwrap_or_else(|_| Err(failed("no answer in time".to_owned())))
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    fn body_writer(&self) -> BodyWriter {
        self.shared.spool.writer()
    }

    async fn publish(&self, lane: Lane, envelope: Envelope, body: Body) -> Result<(), PublishError> {
        self.offer(lane, envelope, body).await.map_err(|(error, _)| error)
    }

    async fn lease(&self, lane: Lane) -> Result<Lease, QueueError> {
        if self.is_closing() {
            return Err(QueueError::Closing);
        }
        self.start(lane);
        let hand = &self.shared.hand;
        loop {
            let Some((id, taken)) = hand.bells.wait(lane, || hand.take(lane)).await else {
                return Err(QueueError::Closing);
            };
            let Taken { meta, octets, .. } = &taken;
            let (envelope, attempts) = (meta.envelope.clone(), meta.attempts);
            let (octets, spooled) = (octets.clone(), meta.spooled.clone());
            let held = Held { shared: Arc::clone(&self.shared), id, taken, settled: false };
            let octets = match spooled {
                None => Ok(octets),
                Some(spooled) => self.shared.spool.read(&spooled).await,
            };
            match octets {
                Ok(octets) => return Ok(Lease::new(envelope, octets, attempts, Box::new(held))),
                Err(error) => self.shared.set_aside(held, error).await?,
            }
        }
    }

    /// `leased` counts what this process works on, and `oldest` what it has at hand: the broker tells neither of others.
    async fn stats(&self) -> Result<Vec<LaneStats>, QueueError> {
        let mut lanes = self.shared.hand.stats();
        if lanes.is_empty() {
            return Err(QueueError::Closing);
        }
        for stats in &mut lanes {
            for place in Place::of(stats.lane) {
                let count = self.shared.count(place).await?;
                match place {
                    Place::Lane(..) => stats.ready += count,
                    Place::Wait(..) => stats.deferred += count,
                    Place::Held => stats.held += count,
                }
            }
        }
        // What is held is told by its lane only when it is looked at; most often there is nothing.
        if self.shared.count(Place::Held).await? > 0 {
            let held = ListFilter { state: Some(crate::QueuedState::Held), ..ListFilter::default() };
            for listed in self.shared.look_for(&held, usize::MAX).await? {
                lanes.iter_mut().filter(|stats| stats.lane == listed.lane).for_each(|stats| stats.held += 1);
            }
        }
        self.shared.queue_metrics.show(&lanes);
        Ok(lanes)
    }

    async fn list(&self, filter: &ListFilter, limit: usize) -> Result<Vec<Listed>, QueueError> {
        self.shared.look_for(filter, limit).await
    }

    async fn find(&self, id: MessageId) -> Result<Option<Listed>, QueueError> {
        let filter = ListFilter { ids: vec![id], ..ListFilter::default() };
        let mut looks = 1;
        loop {
            let found = self.shared.look_for(&filter, 1).await?.pop();
            if found.is_some() || looks == LOOKS {
                return Ok(found);
            }
            // Between the broker and a consumer of this process it is in neither place.
            looks += 1;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn content(&self, id: MessageId) -> Result<Option<Bytes>, QueueError> {
        match self.shared.look_up(id).await? {
            Some(taken) => self.shared.octets(&taken).await.map(Some),
            None => Ok(None),
        }
    }

    async fn order(&self, filter: &ListFilter, order: Order) -> Result<Ordered, QueueError> {
        self.shared.carry_out(filter, order).await
    }

    async fn close(&self) {
        let _ = self.stop.send(true);
        self.shared.close().await;
    }
}

impl Shared {
    async fn octets(&self, taken: &Taken) -> Result<Bytes, QueueError> {
        match &taken.meta.spooled {
            None => Ok(taken.octets.clone()),
            Some(spooled) => self.spool.read(spooled).await.map_err(|source| QueueError::Io {
                step: "read a spooled body in",
                path: self.config.rabbitmq.spool_dir.display().to_string(),
                source,
            }),
        }
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}
