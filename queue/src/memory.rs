//! The queue for tests and simulation: as the embedded one, without a disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use envelope::{Envelope, MessageId, Timestamp};

use crate::bells::Bells;
use crate::flow::Flow;
use crate::order::{Change, Standing};
use crate::schedule::{Arrival, Schedule, Slot, Take, now};
use crate::{
    Body, BodyWriter, Lane, LaneStats, Lease, ListFilter, Listed, Order, Ordered, PublishError, Queue,
    QueueError, QueuedState, Settle, Settlement,
};

/// A queue that forgets everything with the process. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    bells: Bells,
    messages_max: usize,
}

#[derive(Debug)]
struct State {
    schedule: Schedule<Message>,
    closing: bool,
    count: usize,
}

#[derive(Debug)]
struct Message {
    envelope: Envelope,
    body: Bytes,
    last_error: String,
}

impl MemoryQueue {
    /// An empty queue of at most 100,000 messages.
    pub fn new() -> Self {
        Self::bounded(100_000)
    }

    /// An empty queue that refuses more than `messages_max` messages.
    pub fn bounded(messages_max: usize) -> Self {
        let state = State { schedule: Schedule::new(), closing: false, count: 0 };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), bells: Bells::default(), messages_max }) }
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn apply(&mut self, id: MessageId, change: Change) {
        match change {
            Change::Gone => {
                self.count = self.count.saturating_sub(1);
                self.schedule.remove(id);
            }
            Change::Stays(Standing { lane, due, held, recipients }) => self.schedule.change(id, |slot| {
                (slot.lane, slot.due, slot.held) = (lane, due, held);
                slot.payload.envelope.recipients = recipients;
            }),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, lane: Lane) -> Result<Result<Lease, QueueError>, Take> {
        let mut state = self.lock();
        if state.closing {
            return Ok(Err(QueueError::Closing));
        }
        let id = match state.schedule.take(lane, now()) {
            Take::Leased(id) => id,
            nothing => return Err(nothing),
        };
        let Some(slot) = state.schedule.slot(id) else { return Err(Take::Empty) };
        let held = Held { id, shared: Arc::clone(self), settled: false };
        let message = &slot.payload;
        Ok(Ok(Lease::new(message.envelope.clone(), message.body.clone(), slot.attempts, Box::new(held))))
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    fn body_writer(&self) -> BodyWriter {
        BodyWriter::in_memory()
    }

    async fn publish(&self, lane: Lane, envelope: Envelope, body: Body) -> Result<(), PublishError> {
        let body = body.read().await.map_err(PublishError::Store)?;
        let mut state = self.shared.lock();
        if state.closing {
            return Err(PublishError::Closing);
        }
        let (id, received_at) = (envelope.id, envelope.received_at);
        if state.schedule.slot(id).is_some() {
            return Ok(());
        }
        if state.count >= self.shared.messages_max {
            return Err(PublishError::Full(format!("{} messages are queued", state.count)));
        }
        state.count += 1;
        let (flow, priority) = (Flow::of(&envelope), envelope.priority);
        let payload = Message { envelope, body, last_error: String::new() };
        let due = received_at.min(now());
        let arrival = Arrival { lane, due, attempts: 0, received_at, held: false, flow, priority, payload };
        state.schedule.insert(id, arrival);
        drop(state);
        self.shared.bells.ring(lane);
        Ok(())
    }

    async fn lease(&self, lane: Lane) -> Result<Lease, QueueError> {
        self.shared.bells.wait(lane, || self.shared.take(lane)).await
    }

    async fn stats(&self) -> Result<Vec<LaneStats>, QueueError> {
        Ok(self.shared.lock().schedule.stats(now()))
    }

    async fn list(&self, filter: &ListFilter, limit: usize) -> Result<Vec<Listed>, QueueError> {
        let (state, now) = (self.shared.lock(), now());
        let messages = state.schedule.by_age(filter.lane).map(|(_, slot)| listed(slot, now));
        Ok(messages.filter(|message| filter.fits(message, now)).take(limit).collect())
    }

    async fn find(&self, id: MessageId) -> Result<Option<Listed>, QueueError> {
        Ok(self.shared.lock().schedule.slot(id).map(|slot| listed(slot, now())))
    }

    async fn content(&self, id: MessageId) -> Result<Option<Bytes>, QueueError> {
        Ok(self.shared.lock().schedule.slot(id).map(|slot| slot.payload.body.clone()))
    }

    async fn order(&self, filter: &ListFilter, order: Order) -> Result<Ordered, QueueError> {
        let (mut state, now) = (self.shared.lock(), now());
        let messages: Vec<Listed> =
            state.schedule.by_age(filter.lane).map(|(_, slot)| listed(slot, now)).collect();
        let mut ordered = Ordered::default();
        for message in messages.iter().filter(|message| filter.fits(message, now)) {
            let Some(change) = order.change(filter, message, now) else { continue };
            if message.state == QueuedState::Leased {
                ordered.busy += 1;
                continue;
            }
            state.apply(message.envelope.id, change);
            order.tell(filter, message);
            ordered.count(message.envelope.id);
        }
        drop(state);
        Lane::ALL.into_iter().for_each(|lane| self.shared.bells.ring(lane));
        Ok(ordered)
    }

    async fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.bells.ring_all();
    }
}

fn listed(slot: &Slot<Message>, now: Timestamp) -> Listed {
    Listed {
        envelope: slot.payload.envelope.clone(),
        lane: slot.lane,
        state: Schedule::state(slot, now),
        attempts: slot.attempts,
        next_attempt: slot.due,
        last_error: slot.payload.last_error.clone(),
    }
}

/// A leased message.
struct Held {
    id: MessageId,
    shared: Arc<Shared>,
    settled: bool,
}

#[async_trait]
impl Settle for Held {
    async fn settle(mut self: Box<Self>, settlement: Settlement) -> Result<(), QueueError> {
        self.settled = true;
        let mut state = self.shared.lock();
        let lane = match settlement {
            Settlement::Ack => {
                state.count = state.count.saturating_sub(1);
                state.schedule.remove(self.id);
                return Ok(());
            }
            Settlement::Retry { after, recipients, reason } => {
                let mut lane = Lane::Local;
                state.schedule.change(self.id, |slot| {
                    lane = slot.lane;
                    slot.due = now().plus(after);
                    slot.attempts = slot.attempts.saturating_add(1);
                    slot.payload.envelope.recipients = recipients;
                    slot.payload.last_error = reason;
                });
                lane
            }
            Settlement::Dead { reason } => {
                state.schedule.change(self.id, |slot| {
                    slot.lane = Lane::Dead;
                    slot.due = now();
                    slot.attempts = slot.attempts.saturating_add(1);
                    slot.payload.last_error = reason;
                });
                Lane::Dead
            }
        };
        drop(state);
        self.shared.bells.ring(lane);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut state = self.shared.lock();
        state.schedule.put_back(self.id);
        let lane = state.schedule.slot(self.id).map(|slot| slot.lane);
        drop(state);
        lane.into_iter().for_each(|lane| self.shared.bells.ring(lane));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::suite;

    suite::behaviour!(((), Arc::new(MemoryQueue::new()) as Arc<dyn Queue>));
    suite::behaviour!(((), Arc::new(MemoryQueue::new()) as Arc<dyn Queue>);
        senders_take_turns bulk_mail_stands_back_and_does_not_starve);

    #[tokio::test]
    async fn refuses_one_more_than_its_bound() {
        let queue = MemoryQueue::bounded(2);
        suite::publish(&queue, 1, 1).await.unwrap();
        suite::publish(&queue, 2, 1).await.unwrap();
        assert!(matches!(suite::publish(&queue, 3, 1).await, Err(PublishError::Full(_))));
        suite::publish(&queue, 1, 1).await.unwrap();
        queue.lease(Lane::Local).await.unwrap().ack().await.unwrap();
        suite::publish(&queue, 3, 1).await.unwrap();
    }
}
