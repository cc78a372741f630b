//! Brings messages of one lane to hand, and sees to it that they keep coming.
//!
//! ```text
//!  connected ──consume──→ receiving ──lost, closed──→ connected, with a new channel
//!                            └──the watchdog: there is room at hand, nothing came, and the broker has messages──→ with a new channel
//! ```
//! The watchdog is for the failure that has left mail systems on brokers with thousands of messages stuck: a consumer that everybody believes in and
//! that gets nothing. Twice in vain, and the connection is given up for one to the next address.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use envelope::Priority;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer as Stream};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::browse::returns;
use super::hand::Taken;
use super::link::{Standing, Up, set};
use super::topology::{Place, STEPS, count};
use super::wire::{Meta, decode};
use crate::Lane;
use crate::schedule::now;

/// A message is suspected of ending its worker from this part of the limit on.
const SUSPECT_FROM: i64 = 4;
/// How many moments there are at which suspects are tried.
const MOMENTS: u32 = 32;

/// So many consumers in a row that get nothing from the start are the connection's fault.
const IN_VAIN_MAX: u32 = 2;

/// Numbers the consumers of a process.
#[derive(Debug, Default)]
pub(super) struct Generations(AtomicU64);

impl Generations {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Why a consumer ended.
enum End {
    Closed,
    Lost,
    /// It got nothing any more though there was something.
    Stuck {
        /// It never did.
        from_the_start: bool,
    },
}

/// Consumes one queue until the backend closes.
pub(super) async fn run(shared: Arc<Shared>, place: Place) {
    let name = place.name(&shared.config.rabbitmq.prefix);
    let mut in_vain = 0;
    loop {
        let up = match shared.consuming.settled().await {
            Standing::Up(up) => up,
            Standing::Closed => return,
            Standing::Down(_) | Standing::Refused(_) => {
                tokio::time::sleep(shared.config.rabbitmq.reconnect_wait_min.as_duration()).await;
                continue;
            }
        };
        let generation = shared.generations.next();
        let end = consume(&shared, &up, place, &name, generation).await;
        shared.hand.lose(generation);
        match end {
            End::Closed => return,
            End::Stuck { from_the_start } => {
                shared.metrics.rebuilt.inc();
                tracing::warn!(
                    queue = name,
                    "a consumer gets nothing though messages wait, it is built anew"
                );
                in_vain = if from_the_start { in_vain + 1 } else { 0 };
                // Each time the messages that did not come count as given out once more, and past the limit they are dead letters.
                if in_vain >= IN_VAIN_MAX {
                    in_vain = 0;
                    up.give_up();
                    shared.consuming.lost(&up).await;
                }
            }
            End::Lost => {
                tracing::debug!(queue = name, "a consumer is lost");
                let wait = shared.config.rabbitmq.reconnect_wait_min.as_duration();
                let _ = timeout(wait, shared.consuming.lost(&up)).await;
            }
        }
    }
}

async fn consume(shared: &Arc<Shared>, up: &Arc<Up>, place: Place, name: &str, generation: u64) -> End {
    let limit = shared.config.rabbitmq.answer_max.as_duration();
    let started = timeout(limit, start(up, name, prefetch(shared, place))).await;
    let Ok(Ok((channel, mut stream))) = started else { return End::Lost };
    let every = shared.config.rabbitmq.watchdog_interval.as_duration();
    let mut watchdog = tokio::time::interval_at(Instant::now() + every, every);
    let mut received = 0_u64;
    let mut seen = 0_u64;
    let mut closing = shared.closing.clone();
    loop {
        tokio::select! {
            biased;
            () = set(&mut closing) => {
                let _ = timeout(limit, channel.close(200, "closing".into())).await;
                return End::Closed;
            }
            () = shared.consuming.lost(up) => return End::Lost,
            delivery = stream.next() => match delivery {
                Some(Ok(delivery)) => {
                    received += 1;
                    receive(shared, place, generation, delivery).await;
                }
                Some(Err(_)) | None => return End::Lost,
            },
            _ = watchdog.tick() => {
                let idle = received == seen;
                seen = received;
                let room = shared.hand.count(generation) < usize::from(prefetch(shared, place));
                if !idle || !room {
                    continue;
                }
                // On a channel of its own: the consumer's may be what does not work.
                match timeout(limit, waiting(up, name)).await {
                    Ok(Ok(0)) => {}
                    Ok(Ok(_)) if received != seen => {}
                    Ok(Ok(_)) | Err(_) => {
                        let _ = timeout(limit, channel.close(200, "built anew".into())).await;
                        return End::Stuck { from_the_start: received == 0 };
                    }
                    Ok(Err(_)) => return End::Lost,
                }
            }
        }
    }
}

/// Bulk mail has less at hand.
fn prefetch(shared: &Shared, place: Place) -> u16 {
    let prefetch = shared.config.rabbitmq.prefetch;
    match place {
        Place::Lane(_, Priority::Bulk) => (prefetch / 4).max(1),
        Place::Lane(_, Priority::Interactive) | Place::Wait(..) | Place::Held => prefetch,
    }
}

async fn start(up: &Up, name: &str, prefetch: u16) -> lapin::Result<(Channel, Stream)> {
    let channel = up.connection.create_channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let stream = channel.basic_consume(name.into(), "".into(), options, FieldTable::default()).await?;
    Ok((channel, stream))
}

async fn waiting(up: &Up, name: &str) -> lapin::Result<u32> {
    let channel = up.connection.create_channel().await?;
    let waiting = count(&channel, name).await;
    let _ = channel.close(200, "looked".into()).await;
    waiting
}

/// To hand, or where else it belongs.
async fn receive(shared: &Arc<Shared>, place: Place, generation: u64, mut delivery: Delivery) {
    let payload = std::mem::take(&mut delivery.data);
    let (mut meta, octets) = match decode(payload) {
        Ok(decoded) => decoded,
        Err(error) => {
            // To the dead letters as it is, by the broker; where there is no such way it stays with us, unsettled, until the connection ends.
            shared.metrics.unreadable.inc();
            tracing::error!(%error, queue = place.name(&shared.config.rabbitmq.prefix), "a message in the broker can't be read");
            if place.is_limited() {
                let _ = delivery.acker.reject(lapin::options::BasicRejectOptions { requeue: false }).await;
            }
            return;
        }
    };
    let wait = as_told_by(place, &mut meta);
    if STEPS.first().is_some_and(|shortest| wait >= *shortest)
        && matches!(meta.lane, Lane::Local | Lane::Remote)
    {
        // The ladder's step was shorter than its wait.
        let to = Place::after(meta.lane, meta.envelope.priority, wait);
        match shared.publisher.put(to, &meta, &octets).await {
            Ok(()) => {
                let _ = delivery.acker.ack(BasicAckOptions::default()).await;
                return;
            }
            Err(error) => tracing::debug!(%error, "a message waits here, not in the broker"),
        }
    }
    let wait = wait.max(apart(shared, &delivery, &meta));
    shared.hand.arrive(Taken { meta, octets, acker: delivery.acker, generation }, wait).await;
}

/// What has come back often may end its worker, or be at hand together with what does: each of them is tried at another moment, and at yet another
/// the next time, so that those that are no fault of it get through before the limit counts them out.
fn apart(shared: &Shared, delivery: &Delivery, meta: &Meta) -> Duration {
    let returns = returns(delivery);
    if returns < (i64::from(shared.config.rabbitmq.delivery_limit) / SUSPECT_FROM).max(2) {
        return Duration::ZERO;
    }
    let id = meta.envelope.id;
    tracing::info!(%id, returns, "a message came back from workers often, it is tried apart from others");
    // Not a CRC: two ids that differ by the same bits would share their moment each time.
    let mut moment = DefaultHasher::new();
    (id, returns).hash(&mut moment);
    shared.config.ends_apart.as_duration() * (moment.finish() % u64::from(MOMENTS)) as u32
}

/// What the queue that a message comes from tells. The lane: what the broker itself moved to the dead letters was not changed by it. And that it has
/// waited for the step that it comes out of, by the broker's clock: only what is left counts, which is returned, and nothing that another machine's
/// clock said when it was put there.
pub(super) fn as_told_by(place: Place, meta: &mut Meta) -> Duration {
    let Place::Lane(lane, _) = place else { return meta.due.since(now()) };
    if lane == Lane::Dead && meta.lane != Lane::Dead {
        meta.error =
            format!("given to workers of {} more often than the limit allows, and never settled", meta.lane);
    }
    meta.lane = lane;
    let wait = Duration::from_millis(meta.left.take().unwrap_or_default());
    meta.due = now().plus(wait);
    wait
}
