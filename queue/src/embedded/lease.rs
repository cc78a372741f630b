//! A leased message of the embedded queue.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use envelope::{Envelope, MessageId, Recipient};
use tokio::sync::oneshot;

use super::consumer::{Consumer, Inner};
use super::scan::Segment;
use super::settle::Settling;
use super::state::{Cached, Decision, Place, Waiting};
use crate::schedule::now;
use crate::{Lane, QueueError, Settle, Settlement};

/// Gives the message back when it is dropped unsettled.
#[derive(Debug)]
pub(super) struct Held {
    consumer: Arc<Consumer>,
    pub(super) id: MessageId,
    pub(super) lane: Lane,
    pub(super) attempts: u32,
    taken: Taken,
    /// Those that the worker was given.
    recipients: Vec<Recipient>,
    settled: bool,
}

/// What is needed to read the message.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) place: Place,
    pub(super) cached: Option<(Envelope, Bytes)>,
    pub(super) segment: Segment,
}

impl Held {
    /// For a message that the schedule has just leased.
    pub(super) fn new(consumer: &Arc<Consumer>, inner: &mut Inner, id: MessageId) -> Option<Self> {
        let cached = inner.state.uncache(id).map(|Cached { envelope, body, .. }| (envelope, body));
        let slot = inner.state.schedule.slot(id)?;
        let place = slot.payload.clone();
        let segment = inner.state.segments.get(&place.segment)?.segment.clone();
        let (lane, attempts) = (slot.lane, slot.attempts);
        // A message that was already tried has fewer recipients than the copy in memory says.
        let cached = cached.filter(|_| place.recipients().is_none());
        let taken = Taken { place, cached, segment };
        Some(Self {
            consumer: Arc::clone(consumer),
            id,
            lane,
            attempts,
            taken,
            recipients: Vec::new(),
            settled: false,
        })
    }

    /// For reading it; once.
    pub(super) fn taken(&mut self) -> Taken {
        let cached = self.taken.cached.take();
        Taken { cached, ..self.taken.clone() }
    }

    /// What the worker gets.
    pub(super) fn given(&mut self, envelope: &Envelope) {
        self.recipients.clone_from(&envelope.recipients);
    }

    /// Gives the message back, but not before `wait` has passed. Not remembered across a restart.
    pub(super) fn postpone(self, wait: Duration) {
        let schedule = &mut self.consumer.lock().state.schedule;
        let due = schedule.now().plus(wait);
        schedule.change(self.id, |slot| slot.due = due);
    }

    /// Who waited when it was taken, when it is not everybody.
    fn waiting(&self) -> Option<Vec<Recipient>> {
        self.taken.place.recipients().map(<[Recipient]>::to_vec)
    }

    fn decision(&self, settlement: Settlement) -> (Decision, &'static str) {
        let attempts = self.attempts.saturating_add(1);
        match settlement {
            Settlement::Ack => (Decision::Done, "ack"),
            Settlement::Retry { after, recipients, reason } => {
                let recipients =
                    if recipients == self.recipients { self.waiting() } else { Some(recipients) };
                let due = self.consumer.lock().state.schedule.now().plus(after);
                (
                    Decision::Waiting(Waiting {
                        lane: self.lane,
                        due,
                        attempts,
                        recipients,
                        error: reason,
                        held: false,
                    }),
                    "retry",
                )
            }
            Settlement::Dead { reason } => {
                let (due, recipients) = (now(), self.waiting());
                (
                    Decision::Waiting(Waiting {
                        lane: Lane::Dead,
                        due,
                        attempts,
                        recipients,
                        error: reason,
                        held: false,
                    }),
                    "dead",
                )
            }
        }
    }
}

#[async_trait]
impl Settle for Held {
    async fn settle(mut self: Box<Self>, settlement: Settlement) -> Result<(), QueueError> {
        let (decision, outcome) = self.decision(settlement);
        let sender = self.consumer.lock().settle.clone().ok_or(QueueError::Closing)?;
        let permit = sender.reserve().await.map_err(|_| QueueError::Closing)?;
        let (answer, answered) = oneshot::channel();
        self.settled = true;
        permit.send(Settling { id: self.id, lane: self.lane, decision, answer });
        drop(sender);
        let failed =
            |source| QueueError::Io { step: "record a decision in", path: self.consumer.path(), source };
        match answered.await {
            Ok(Ok(())) => {
                self.consumer.metrics.settled.with_label_values(&[outcome]).inc();
                Ok(())
            }
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(io::Error::other("the settling thread has ended"))),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut inner = self.consumer.lock();
        // One that `postpone` has given back is not leased any more.
        if inner.state.schedule.slot(self.id).is_some_and(|slot| slot.leased) {
            inner.state.schedule.put_back(self.id);
        }
        drop(inner);
        self.consumer.at_hand.given_back(self.id);
        self.consumer.bells.ring(self.lane);
    }
}
