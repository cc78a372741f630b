//! Wakes those who wait for a message of a lane.

use std::time::Duration;

use tokio::sync::Notify;

use crate::Lane;
use crate::schedule::{Take, now};

/// A wait for a due time is cut into pieces of this length, so that a clock that jumps is noticed.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// One bell a lane.
#[derive(Debug, Default)]
pub(crate) struct Bells([Notify; Lane::ALL.len()]);

impl Bells {
    /// Something changed in this lane.
    pub(crate) fn ring(&self, lane: Lane) {
        self.of(lane).notify_one();
    }

    /// Everybody look.
    pub(crate) fn ring_all(&self) {
        self.0.iter().for_each(Notify::notify_waiters);
    }

    /// Waits until `take` has something. Cancel-safe as far as what `take` returned goes back when dropped.
    pub(crate) async fn wait<T>(&self, lane: Lane, mut take: impl FnMut() -> Result<T, Take>) -> T {
        let bell = self.of(lane);
        // Whether this wait took something or was given up: another must look after what is due next.
        let _pass_on = PassOn(bell);
        loop {
            let mut ring = std::pin::pin!(bell.notified());
            ring.as_mut().enable();
            match take() {
                Ok(taken) => return taken,
                Err(Take::Due(due)) => {
                    let wait = due.since(now()).clamp(Duration::from_millis(1), WAIT_MAX);
                    let _ = tokio::time::timeout(wait, ring).await;
                }
                Err(Take::Empty | Take::Leased(_)) => ring.await,
            }
        }
    }

    fn of(&self, lane: Lane) -> &Notify {
        let [local, remote, quarantine, dead] = &self.0;
        match lane {
            Lane::Local => local,
            Lane::Remote => remote,
            Lane::Quarantine => quarantine,
            Lane::Dead => dead,
        }
    }
}

struct PassOn<'a>(&'a Notify);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
