//! Threads that yield to others: started when there is work for them, ended when there is none.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::debug;

use super::BlockingError;

/// How long a thread waits for work before it ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// Threads with a niceness. There are as many as have work at the same time, which the pool's slots bound.
pub(super) struct Threads {
    niceness: u8,
    jobs: Mutex<Jobs>,
    come: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Threads that wait for one, and all of them.
    idle: usize,
    threads: usize,
}

impl Threads {
    pub(super) fn new(niceness: u8) -> Self {
        Self { niceness, jobs: Mutex::default(), come: Condvar::new() }
    }

    /// As `spawn_blocking` of the runtime, whose context the work has too.
    pub(super) async fn run<T, F>(self: &Arc<Self>, work: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let (runtime, span) = (tokio::runtime::Handle::current(), tracing::Span::current());
        self.put(Box::new(move || {
            let (_runtime, _span) = (runtime.enter(), span.entered());
            // The panic hook has told of it; the other side sees that there is no answer.
            if let Ok(result) = catch_unwind(AssertUnwindSafe(work)) {
                let _ = answer.send(result);
            }
        }));
        answered.await.map_err(|_| BlockingError::Panicked)
    }

    fn put(self: &Arc<Self>, job: Job) {
        let mut jobs = self.jobs();
        jobs.waiting.push_back(job);
        if jobs.idle >= jobs.waiting.len() {
            drop(jobs);
            return self.come.notify_one();
        }
        jobs.threads += 1;
        drop(jobs);
        let threads = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("yielding".to_owned()).spawn(move || threads.work());
        if let Err(error) = spawned {
            debug!(%error, "no thread more for work that can wait");
            let mut jobs = self.jobs();
            jobs.threads -= 1;
            // Another thread gets to it; without any, its future ends as if the work had panicked.
            if jobs.threads == 0 {
                jobs.waiting.clear();
            }
        }
    }

    fn work(&self) {
        // On Linux a niceness is that of a thread. Without the right to it the work goes on as any other.
        if let Err(error) = rustix::process::setpriority_process(None, i32::from(self.niceness)) {
            debug!(%error, "work that can wait does not yield");
        }
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs();
        jobs.idle += 1;
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                jobs.idle -= 1;
                return Some(job);
            }
            let (woken, timeout) =
                self.come.wait_timeout(jobs, IDLE_MAX).unwrap_or_else(PoisonError::into_inner);
            jobs = woken;
            if timeout.timed_out() && jobs.waiting.is_empty() {
                jobs.idle -= 1;
                jobs.threads -= 1;
                return None;
            }
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::BlockingPool;
    use crate::blocking::BlockingError;

    use super::*;

    #[tokio::test]
    async fn work_runs_aside_and_yields() {
        let pool = BlockingPool::new(4, Duration::from_secs(5)).yielding(7);
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let mut working = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let pool = pool.clone();
            let look = move || (std::thread::current().name().map(str::to_owned), niceness());
            working.spawn(async move { pool.run(look).await });
        }
        for found in working.join_all().await {
            assert_eq!(found.unwrap(), (Some("yielding".to_owned()), 7));
        }
        assert_eq!(niceness(), before, "nobody else is changed");
        let panicked: Result<(), _> = pool.run(|| panic!("on purpose")).await;
        assert!(matches!(panicked, Err(BlockingError::Panicked)));
        assert!(pool.run(|| tokio::runtime::Handle::try_current().is_ok()).await.unwrap());
    }
}
