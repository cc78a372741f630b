//! Puts messages into the broker's queues, and believes it only when the broker has confirmed.
//!
//! A connection that is lost between a message and its confirmation leaves it open whether the broker has it. It is sent again under the same
//! id until it is confirmed or the time is up; whoever consumes tells the copies by their id. A connection by which a queue says nothing for
//! `confirm_max` is given up for another.

use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::Confirmation;
use lapin::options::BasicPublishOptions;
use tokio::time::{Instant, timeout, timeout_at};

use super::link::{Link, Standing, Up};
use super::topology::{Place, STEPS};
use super::wire::{Meta, encode};
use crate::metrics::BrokerMetrics;
use crate::schedule::now;
use crate::{PublishError, RabbitConfig};

/// AMQP: the broker keeps it on disk.
const PERSISTENT: u8 = 2;

/// What publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) link: Link,
    pub(super) config: RabbitConfig,
    pub(super) metrics: BrokerMetrics,
}

/// What one attempt came to.
enum Attempt {
    Confirmed,
    /// The broker has it not, and says why.
    Refused(String),
    /// The connection was lost; the broker may have it.
    Lost(String),
}

impl Publisher {
    /// Returns when a majority of the replicas has the message on disk.
    pub(super) async fn put(&self, place: Place, meta: &Meta, octets: &[u8]) -> Result<(), PublishError> {
        let left = left(place, meta.due.since(now()));
        let encoded = if left == meta.left {
            encode(meta, octets)
        } else {
            encode(&Meta { left, ..meta.clone() }, octets)
        };
        let payload = encoded.map_err(|error| PublishError::Store(std::io::Error::other(error)))?;
        let name = place.name(&self.config.prefix);
        let deadline = Instant::now() + self.config.confirm_max.as_duration();
        let mut lost: Option<String> = None;
        loop {
            let up = self.up(lost.as_deref(), deadline).await?;
            if let Some(reason) = up.blocked() {
                // A message that may be there already is not said to be refused.
                return Err(match lost {
                    None => PublishError::Full(format!("the broker takes no messages for now: {reason}")),
                    Some(why) => PublishError::Unconfirmed(why),
                });
            }
            match self.attempt(&up, &name, meta, &payload, deadline).await {
                Attempt::Confirmed => return Ok(()),
                Attempt::Refused(why) if lost.is_none() => return Err(PublishError::Full(why)),
                Attempt::Refused(why) | Attempt::Lost(why) => {
                    self.metrics.unconfirmed.inc();
                    if Instant::now() >= deadline {
                        return Err(PublishError::Unconfirmed(why));
                    }
                    // The keeper of the connection notices by itself when it is lost; a refusal is not tried at once.
                    let _ = timeout(Duration::from_millis(100), self.link.lost(&up)).await;
                    lost = Some(why);
                }
            }
        }
    }

    /// A connection, or why there is none. A message that was sent before has all the time there is.
    async fn up(&self, lost: Option<&str>, deadline: Instant) -> Result<Arc<Up>, PublishError> {
        let until = match lost {
            None => deadline.min(Instant::now() + self.config.away_max.as_duration()),
            Some(_) => deadline,
        };
        let why: Arc<str> = match timeout_at(until, self.link.settled()).await {
            Ok(Standing::Up(up)) => return Ok(up),
            Ok(Standing::Closed) => return Err(PublishError::Closing),
            Ok(Standing::Refused(why) | Standing::Down(why)) => why,
            Err(_) => match self.link.standing() {
                Standing::Down(why) | Standing::Refused(why) => why,
                Standing::Up(_) | Standing::Closed => "it comes and goes".into(),
            },
        };
        Err(match lost {
            None => PublishError::Away(why.to_string()),
            Some(lost) => PublishError::Unconfirmed(lost.to_owned()),
        })
    }

    async fn attempt(
        &self,
        up: &Arc<Up>,
        name: &str,
        meta: &Meta,
        payload: &[u8],
        deadline: Instant,
    ) -> Attempt {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(meta.envelope.id.to_string().into())
            .with_type("sluice".into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let started = Instant::now();
        let confirmed = async {
            up.channel.basic_publish("".into(), name.into(), options, payload, properties).await?.await
        };
        let confirmed = tokio::select! {
            confirmed = timeout_at(deadline, confirmed) => confirmed,
            () = self.link.lost(up) => return Attempt::Lost("the connection was lost before the confirmation".to_owned()),
        };
        match confirmed {
            Err(_) => {
                up.said_nothing(name, started);
                Attempt::Lost("the broker did not confirm in time".to_owned())
            }
            Ok(Err(error)) => Attempt::Lost(error.to_string()),
            Ok(Ok(Confirmation::Ack(None))) => {
                up.took(name);
                self.metrics.confirm_seconds.observe(started.elapsed().as_secs_f64());
                Attempt::Confirmed
            }
            Ok(Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)))) => {
                Attempt::Refused(format!("the broker has no queue {name}: {}", returned.reply_text))
            }
            Ok(Ok(Confirmation::Nack(None))) => {
                Attempt::Refused(format!("the broker's queue {name} is full or has no majority"))
            }
            Ok(Ok(Confirmation::NotRequested)) => Attempt::Lost("the broker confirms nothing".to_owned()),
        }
    }
}

/// What is left of a wait after the step of the ladder that a message is put in, if it is.
fn left(place: Place, wait: Duration) -> Option<u64> {
    let step = match place {
        Place::Wait(_, step) => STEPS.get(step).copied().unwrap_or_default(),
        Place::Lane(..) | Place::Held => Duration::ZERO,
    };
    let left = u64::try_from(wait.saturating_sub(step).as_millis()).unwrap_or(u64::MAX);
    (left > 0).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lane;

    #[test]
    fn what_is_left_of_a_wait() {
        let wait = |step, seconds| left(Place::Wait(Lane::Local, step), Duration::from_secs(seconds));
        assert_eq!((wait(0, 7), wait(0, 5), wait(0, 3)), (Some(2000), None, None));
        let lane = Place::due(Lane::Local, envelope::Priority::Bulk);
        assert_eq!(left(lane, Duration::from_secs(3)), Some(3000), "shorter than the first step");
        assert_eq!(left(lane, Duration::ZERO), None);
    }
}
