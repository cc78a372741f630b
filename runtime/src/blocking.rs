//! Work that blocks a thread (files, password hashes), bounded.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// A bounded door to the blocking threads. Cheap to clone.
#[derive(Clone)]
pub struct BlockingPool {
    slots: Arc<Semaphore>,
    wait_max: Duration,
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
        Self { slots: Arc::new(Semaphore::new(slots.max(1))), wait_max }
    }

    /// Runs `work` on a blocking thread. Dropping the future does not stop work that has begun.
    pub async fn run<T, F>(&self, work: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let wait = tokio::time::timeout(self.wait_max, Arc::clone(&self.slots).acquire_owned());
        let permit = wait.await.map_err(|_| BlockingError::Busy)?.map_err(|_| BlockingError::Busy)?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(|_| BlockingError::Panicked)
    }
}
