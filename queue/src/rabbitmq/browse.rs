//! Looks through the broker's queues, which know no looking: messages are consumed, not acknowledged, and given back.
//!
//! Each return counts as a try in a queue with a delivery limit. A message that has come near the limit by this is put in anew, at the end of its
//! queue, so that looking kills nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use envelope::MessageId;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel, Consumer};
use tokio::time::timeout;

use super::Shared;
use super::consumer::as_told_by;
use super::hand::Taken;
use super::lease::changed;
use super::link::{Standing, Up};
use super::topology::{Place, count};
use super::wire::{Meta, decode};
use crate::schedule::now;
use crate::{Lane, ListFilter, Listed, Order, Ordered, QueueError, QueuedState};

/// A queue that has brought nothing for so long has no more for us: others have the rest.
const IDLE: Duration = Duration::from_millis(500);

/// How often it is looked whether what was given back is there.
const BACK_POLL: Duration = Duration::from_millis(5);

/// One message of a queue, seen by whoever looks.
pub(super) struct Seen {
    pub(super) taken: Taken,
    pub(super) listed: Listed,
}

/// A look through one queue.
pub(super) struct Browse<'a> {
    shared: &'a Shared,
    channel: Channel,
    stream: Option<Consumer>,
    left: u32,
    place: Place,
    /// What was shown last and has come near the limit.
    worn: Option<Taken>,
    /// What was shown last.
    last: Option<Acker>,
    up: Arc<Up>,
}

impl Browse<'_> {
    /// The next message, or none when all have been seen. Whoever looks may acknowledge it.
    pub(super) async fn next(&mut self) -> Result<Option<Seen>, QueueError> {
        self.refresh().await?;
        let Some(stream) = &mut self.stream else { return Ok(None) };
        while self.left > 0 {
            self.left -= 1;
            let Ok(Some(delivery)) = timeout(IDLE, stream.next()).await else { return Ok(None) };
            let delivery = delivery.map_err(|error| failed(error.to_string()))?;
            let limit = i64::from(self.shared.config.rabbitmq.delivery_limit);
            let worn = self.place.is_limited() && returns(&delivery) >= limit / 2;
            if let Some(seen) = see(delivery, self.place) {
                self.worn = worn.then(|| seen.taken.clone());
                self.last = Some(seen.taken.acker.clone());
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// Gives back what was not acknowledged. It is there again when this is done, unless a worker has taken it.
    pub(super) async fn close(mut self) -> Result<(), QueueError> {
        let refreshed = self.refresh().await;
        let keeps = self.last.take().is_some_and(|acker| acker.usable());
        let answer_max = self.shared.config.rabbitmq.answer_max.as_duration();
        let _ = timeout(answer_max, self.channel.close(200, "looked".into())).await;
        if keeps {
            // The broker gives back all of a channel at once, but not before it says that the channel is closed.
            let _ = timeout(IDLE, self.is_back()).await;
        }
        refreshed
    }

    async fn is_back(&self) -> lapin::Result<()> {
        let channel = self.up.connection.create_channel().await?;
        let name = self.place.name(&self.shared.config.rabbitmq.prefix);
        while count(&channel, &name).await? == 0 {
            tokio::time::sleep(BACK_POLL).await;
        }
        channel.close(200, "looked".into()).await
    }

    async fn refresh(&mut self) -> Result<(), QueueError> {
        match self.worn.take().filter(|taken| taken.acker.usable()) {
            Some(taken) => self.shared.replace(&taken, Some(&(self.place, taken.meta.clone()))).await,
            None => Ok(()),
        }
    }
}

impl Shared {
    /// Begins to look through a queue, at most at `limit` messages.
    pub(super) async fn browse(&self, place: Place, limit: u32) -> Result<Browse<'_>, QueueError> {
        let settings = &self.config.rabbitmq;
        let up = match timeout(settings.connect_max.as_duration(), self.consuming.settled()).await {
            Ok(Standing::Up(up)) => up,
            Ok(Standing::Closed) => return Err(QueueError::Closing),
            Ok(Standing::Down(why) | Standing::Refused(why)) => return Err(failed(why.to_string())),
            Err(_) => return Err(failed("there is no connection".to_owned())),
        };
        let name = place.name(&settings.prefix);
        let began = async {
            let channel = up.connection.create_channel().await?;
            let left = count(&channel, &name).await?.min(limit);
            let mut stream = None;
            if left > 0 {
                channel.basic_qos(0, BasicQosOptions::default()).await?;
                let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
                stream = Some(channel.basic_consume(name.into(), "".into(), options, none).await?);
            }
            Ok::<_, lapin::Error>((channel, stream, left))
        };
        let (channel, stream, left) = timeout(settings.answer_max.as_duration(), began)
            .await
            .map_err(|_| failed("no answer in time".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        Ok(Browse { shared: self, channel, stream, left, place, worn: None, last: None, up })
    }

    /// What fits, in all queues that may hold it and at hand; oldest first.
    pub(super) async fn look_for(
        &self,
        filter: &ListFilter,
        limit: usize,
    ) -> Result<Vec<Listed>, QueueError> {
        let now = now();
        let mut found: Vec<Listed> =
            self.hand.listed().into_iter().filter(|listed| filter.fits(listed, now)).collect();
        let wanted = if filter.ids.is_empty() { usize::MAX } else { filter.ids.len() };
        for place in places(filter) {
            if found.len() >= wanted {
                break;
            }
            let mut here = 0;
            let mut browse = self.browse(place, self.config.rabbitmq.browse_max).await?;
            while here < limit && found.len() < wanted {
                let Some(seen) = browse.next().await? else { break };
                if filter.fits(&seen.listed, now) {
                    found.push(seen.listed);
                    here += 1;
                }
            }
            browse.close().await?;
        }
        found.sort_by_key(|listed| (listed.envelope.received_at, listed.envelope.id));
        let mut ids = HashSet::new();
        found.retain(|listed| ids.insert(listed.envelope.id));
        found.truncate(limit);
        Ok(found)
    }

    /// A copy of one message, wherever it waits.
    pub(super) async fn look_up(&self, id: MessageId) -> Result<Option<Taken>, QueueError> {
        if let Some(taken) = self.hand.show(id) {
            return Ok(Some(taken));
        }
        for place in Place::all() {
            let mut found = None;
            let mut browse = self.browse(place, self.config.rabbitmq.browse_max).await?;
            while found.is_none() {
                let Some(seen) = browse.next().await? else { break };
                found = (seen.listed.envelope.id == id).then_some(seen.taken);
            }
            browse.close().await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub(super) async fn carry_out(&self, filter: &ListFilter, order: Order) -> Result<Ordered, QueueError> {
        let mut ordered = Ordered::default();
        // A message may be met again where it was put.
        let mut done = HashSet::new();
        self.order_at_hand(filter, order, &mut ordered, &mut done).await?;
        // What nobody asked for may be left for the next time; an operator wants all of it.
        let most = if order == Order::Expire { self.config.rabbitmq.browse_max } else { u32::MAX };
        for place in places(filter) {
            let mut browse = self.browse(place, most).await?;
            while let Some(seen) = browse.next().await? {
                let (id, now) = (seen.listed.envelope.id, now());
                if !filter.fits(&seen.listed, now) || done.contains(&id) {
                    continue;
                }
                let Some(change) = order.change(filter, &seen.listed, now) else { continue };
                self.replace(&seen.taken, changed(&seen.taken.meta, change, now).as_ref()).await?;
                order.tell(filter, &seen.listed);
                ordered.count(id);
                done.insert(id);
            }
            browse.close().await?;
        }
        Ok(ordered)
    }

    async fn order_at_hand(
        &self,
        filter: &ListFilter,
        order: Order,
        ordered: &mut Ordered,
        done: &mut HashSet<MessageId>,
    ) -> Result<(), QueueError> {
        let now = now();
        for listed in self.hand.listed().into_iter().filter(|listed| filter.fits(listed, now)) {
            let Some(change) = order.change(filter, &listed, now) else { continue };
            let id = listed.envelope.id;
            let Some(taken) = self.hand.take_this(id) else {
                ordered.busy += 1;
                continue;
            };
            match self.replace(&taken, changed(&taken.meta, change, now).as_ref()).await {
                Ok(()) => {
                    self.forget(id).await;
                    order.tell(filter, &listed);
                    ordered.count(id);
                    done.insert(id);
                }
                Err(error) => {
                    self.hand.put_back(id, Duration::ZERO);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn failed(why: String) -> QueueError {
    QueueError::Broker { step: "look through a queue", why }
}

/// The queues that may hold what the filter means.
fn places(filter: &ListFilter) -> Vec<Place> {
    let fits = |place: &Place| match (place, filter.state) {
        (Place::Held, state) => matches!(state, None | Some(QueuedState::Held)),
        (Place::Lane(..), state) => matches!(state, None | Some(QueuedState::Ready)),
        (Place::Wait(..), state) => matches!(state, None | Some(QueuedState::Deferred)),
    };
    let mut places = filter.lane.map_or_else(Place::all, Place::of);
    if filter.lane.is_some() {
        places.push(Place::Held);
    }
    places.retain(fits);
    places
}

/// How often it came back to a queue with a limit.
pub(super) fn returns(delivery: &Delivery) -> i64 {
    let headers = delivery.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get("x-delivery-count")) {
        Some(AMQPValue::LongLongInt(count)) => *count,
        Some(AMQPValue::LongInt(count)) => i64::from(*count),
        Some(AMQPValue::LongUInt(count)) => i64::from(*count),
        _ => 0,
    }
}

fn see(mut delivery: Delivery, place: Place) -> Option<Seen> {
    let (mut meta, octets) = decode(std::mem::take(&mut delivery.data)).ok()?;
    as_told_by(place, &mut meta);
    let listed = list(&meta, place);
    Some(Seen { taken: Taken { meta, octets, acker: delivery.acker, generation: u64::MAX }, listed })
}

fn list(meta: &Meta, place: Place) -> Listed {
    let state = match place {
        Place::Held => QueuedState::Held,
        Place::Wait(..) => QueuedState::Deferred,
        Place::Lane(Lane::Local | Lane::Remote, _) if meta.due > now() => QueuedState::Deferred,
        Place::Lane(..) => QueuedState::Ready,
    };
    Listed {
        envelope: meta.envelope.clone(),
        lane: meta.lane,
        state,
        attempts: meta.attempts,
        next_attempt: meta.due,
        last_error: meta.error.clone(),
    }
}
