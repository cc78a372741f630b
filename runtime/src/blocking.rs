//! Work that blocks a thread (files, password hashes), bounded.

mod threads;

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Opts, Registry};
use tokio::sync::Semaphore;

use self::threads::Threads;

/// A bounded door to the blocking threads. Cheap to clone.
#[derive(Clone)]
pub struct BlockingPool {
    slots: Arc<Semaphore>,
    limit: usize,
    wait_max: Duration,
    busy: Option<IntCounter>,
    /// Of the pool's own; without them the runtime's are used.
    threads: Option<Arc<Threads>>,
}

/// Why blocking work was not done.
#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    /// Every slot stayed taken for the whole wait.
    #[error("too much work is waiting for the disk")]
    Busy,
    /// The work panicked; the panic is in the log.
    #[error("the work failed unexpectedly")]
    Panicked,
}

impl BlockingPool {
    /// At most `slots` pieces of work at once; each waits at most `wait_max` for its slot.
    pub fn new(slots: usize, wait_max: Duration) -> Self {
        let limit = slots.max(1);
        Self { slots: Arc::new(Semaphore::new(limit)), limit, wait_max, busy: None, threads: None }
    }

    /// The same slots, but the work runs on threads of its own that get less of a busy processor (`nice`, 0 to 19): for work that can wait where other work
    /// answers somebody. A thread without work ends after a while.
    #[must_use]
    pub fn yielding(&self, niceness: u8) -> Self {
        Self { threads: Some(Arc::new(Threads::new(niceness))), ..self.clone() }
    }

    /// The same, with metrics under the name `pool`: slots taken, their limit, and work that got none.
    pub fn observed(mut self, pool: &str, registry: &Registry) -> Result<Self, prometheus::Error> {
        let named = |name: &str, help: &str| Opts::new(name, help).const_label("pool", pool);
        let busy = IntCounter::with_opts(named(
            "sluice_runtime_blocking_busy_total",
            "Work that waited in vain for a thread that may block.",
        ))?;
        let used =
            IntGauge::with_opts(named("sluice_runtime_blocking_in_use", "Threads at work that may block."))?;
        let limit =
            IntGauge::with_opts(named("sluice_runtime_blocking_limit", "Threads that may block at once."))?;
        limit.set(i64::try_from(self.limit).unwrap_or(i64::MAX));
        registry.register(Box::new(busy.clone()))?;
        registry.register(Box::new(limit))?;
        registry.register(Box::new(Used { used, slots: Arc::clone(&self.slots), limit: self.limit }))?;
        self.busy = Some(busy);
        Ok(self)
    }

    /// Runs `work` on a blocking thread. Dropping the future does not stop work that has begun.
    pub async fn run<T, F>(&self, work: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let wait = tokio::time::timeout(self.wait_max, Arc::clone(&self.slots).acquire_owned());
        let Ok(Ok(permit)) = wait.await else {
            self.busy.iter().for_each(IntCounter::inc);
            return Err(BlockingError::Busy);
        };
        let work = move || {
            let result = work();
            drop(permit);
            result
        };
        match &self.threads {
            None => tokio::task::spawn_blocking(work).await.map_err(|_| BlockingError::Panicked),
            Some(threads) => threads.run(work).await,
        }
    }
}

/// Looks at the slots when asked.
struct Used {
    used: IntGauge,
    slots: Arc<Semaphore>,
    limit: usize,
}

impl Collector for Used {
    fn desc(&self) -> Vec<&Desc> {
        self.used.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let used = self.limit.saturating_sub(self.slots.available_permits());
        self.used.set(i64::try_from(used).unwrap_or(i64::MAX));
        self.used.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn bounds_its_work_and_survives_panics() {
        let registry = Registry::new();
        let pool = BlockingPool::new(1, Duration::from_millis(20)).observed("files", &registry).unwrap();
        let other = BlockingPool::new(7, Duration::ZERO).observed("hashes", &registry);
        assert!(other.is_ok());
        let gauge = |name: &str| {
            let families = registry.gather();
            let family = families.iter().find(|family| family.name() == name).unwrap();
            let label = |metric: &&prometheus::proto::Metric| metric.get_label()[0].value() == "files";
            let metric = family.get_metric().iter().find(label).unwrap().clone();
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        let (release, wait) = channel::<()>();
        let (begun, begin) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    begun.send(()).unwrap();
                    wait.recv().unwrap();
                    5
                })
                .await
            }
        });
        begin.await.unwrap();
        assert!(matches!(pool.run(|| 6).await, Err(BlockingError::Busy)));
        assert!((gauge("sluice_runtime_blocking_in_use") - 1.0).abs() < 0.1);
        assert!((gauge("sluice_runtime_blocking_limit") - 1.0).abs() < 0.1);
        assert!((gauge("sluice_runtime_blocking_busy_total") - 1.0).abs() < 0.1);
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), 5);
        let panicked: Result<(), _> = pool.run(|| panic!("on purpose")).await;
        assert!(matches!(panicked, Err(BlockingError::Panicked)));
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }
}
