//! A leased message of the broker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use envelope::{MessageId, Timestamp};
use lapin::options::BasicAckOptions;

use super::Shared;
use super::hand::Taken;
use super::topology::Place;
use super::wire::Meta;
use crate::order::{Change, Standing};
use crate::schedule::now;
use crate::{Lane, QueueError, Settle, Settlement};

/// Gives the message back when it is dropped unsettled.
pub(super) struct Held {
    pub(super) shared: Arc<Shared>,
    pub(super) id: MessageId,
    pub(super) taken: Taken,
    pub(super) settled: bool,
}

#[async_trait]
impl Settle for Held {
    /// What goes on waiting is in its new place, confirmed, before it is acknowledged in the old one: a crash in between leaves both, and the
    /// one that says more is believed.
    async fn settle(mut self: Box<Self>, settlement: Settlement) -> Result<(), QueueError> {
        let meta = &self.taken.meta;
        let attempts = meta.attempts.saturating_add(1);
        let (outcome, next) = match settlement {
            Settlement::Ack => ("ack", None),
            Settlement::Retry { after, recipients, reason } => {
                let mut next = Meta { attempts, due: now().plus(after), error: reason, ..meta.clone() };
                next.envelope.recipients = recipients;
                let place = Place::after(next.lane, next.envelope.priority, after);
                ("retry", Some((place, next)))
            }
            Settlement::Dead { reason } => {
                let next = Meta { attempts, due: now(), error: reason, lane: Lane::Dead, ..meta.clone() };
                ("dead", Some((Place::due(Lane::Dead, next.envelope.priority), next)))
            }
        };
        if let Err(error) = self.shared.replace(&self.taken, next.as_ref()).await {
            // The next try would end as this one did: not at once.
            self.settled = true;
            let wait = self.shared.config.rabbitmq.reconnect_wait_max.as_duration();
            self.shared.hand.put_back(self.id, wait);
            return Err(error);
        }
        self.settled = true;
        self.shared.forget(self.id).await;
        self.shared.queue_metrics.settled.with_label_values(&[outcome]).inc();
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.hand.put_back(self.id, Duration::ZERO);
        }
    }
}

impl Shared {
    /// What is at hand of a settled message is done.
    pub(super) async fn forget(&self, id: MessageId) {
        if let Some(spare) = self.hand.forget(id) {
            let _ = spare.acker.ack(BasicAckOptions::default()).await;
        }
    }

    /// Puts `next` where it belongs, or nothing, and acknowledges what was taken.
    pub(super) async fn replace(
        &self,
        taken: &Taken,
        next: Option<&(Place, Meta)>,
    ) -> Result<(), QueueError> {
        if let Some((place, meta)) = next {
            let put = self.publisher.put(*place, meta, &taken.octets).await;
            put.map_err(|error| QueueError::Broker { step: "put a message back", why: why(&error) })?;
        }
        let lost = |why: String| QueueError::Broker { step: "acknowledge a message", why };
        match taken.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => {}
            Ok(false) => return Err(lost("the connection it came by is lost, it comes again".to_owned())),
            Err(error) => return Err(lost(error.to_string())),
        }
        if next.is_none()
            && let Some(spooled) = &taken.meta.spooled
        {
            self.spool.remove(spooled).await;
        }
        Ok(())
    }
}

/// Where a message goes that an operator changed.
pub(super) fn changed(meta: &Meta, change: Change, now: Timestamp) -> Option<(Place, Meta)> {
    let Change::Stays(Standing { lane, due, held, recipients }) = change else { return None };
    let mut next = Meta { lane, due, ..meta.clone() };
    next.envelope.recipients = recipients;
    let place = if held { Place::Held } else { Place::after(lane, next.envelope.priority, due.since(now)) };
    Some((place, next))
}

fn why(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
