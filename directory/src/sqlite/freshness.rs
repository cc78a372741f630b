//! Whether cached answers still hold: the file is looked at when a question comes and the last look is too old.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::pool::{Pool, Seen};
use crate::metrics::Metrics;

/// How the file stood when it was last looked at.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// Grows with every change of the file that was noticed.
    pub(super) generation: u64,
    /// Why it can't be read, when it can't.
    pub(super) fault: Option<String>,
    /// When it could last be read.
    pub(super) good_at: Instant,
}

impl Standing {
    pub(super) const fn is_available(&self) -> bool {
        self.fault.is_none()
    }
}

struct Last {
    standing: Standing,
    looked_at: Instant,
    seen: Seen,
}

pub(super) struct Freshness {
    last: Mutex<Last>,
    /// Held by the one question that looks; the others wait for its result.
    looking: tokio::sync::Mutex<()>,
    metrics: Arc<Metrics>,
}

impl Freshness {
    pub(super) fn new(seen: Seen, metrics: Arc<Metrics>) -> Self {
        let now = Instant::now();
        let standing = Standing { generation: 0, fault: None, good_at: now };
        Self {
            last: Mutex::new(Last { standing, looked_at: now, seen }),
            looking: tokio::sync::Mutex::new(()),
            metrics,
        }
    }

    /// How the file stands; looks when the last look is `interval` old.
    pub(super) async fn standing(&self, pool: &Pool, interval: Duration) -> Standing {
        if let Some(standing) = self.recent(interval) {
            return standing;
        }
        let _looking = self.looking.lock().await;
        if let Some(standing) = self.recent(interval) {
            return standing;
        }
        let looked = pool.look().await;
        let mut last = self.lock();
        let was_available = last.standing.is_available();
        last.looked_at = Instant::now();
        match looked {
            Ok(seen) => {
                last.standing.fault = None;
                last.standing.good_at = last.looked_at;
                if seen != last.seen {
                    last.seen = seen;
                    last.standing.generation += 1;
                    self.metrics.changes.inc();
                }
            }
            Err(fault) => last.standing.fault = Some(fault.0),
        }
        let standing = last.standing.clone();
        drop(last);
        self.metrics.available.set(i64::from(standing.is_available()));
        match (&standing.fault, was_available) {
            (Some(fault), true) => tracing::error!(%fault, "the directory is unavailable"),
            (None, false) => tracing::warn!("the directory is available again"),
            _ => {}
        }
        standing
    }

    fn recent(&self, interval: Duration) -> Option<Standing> {
        let last = self.lock();
        (last.looked_at.elapsed() < interval).then(|| last.standing.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
