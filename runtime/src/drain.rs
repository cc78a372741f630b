//! Ending in good order.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells every task that the process wants to end, and knows when they have. Cheap to clone.
#[derive(Clone, Default)]
pub struct Drain {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Drain {
    /// A drain nobody has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the end: stop accepting, finish what is under way.
    pub fn begin(&self) {
        self.token.cancel();
        self.tasks.close();
    }

    /// Whether the end was asked for.
    pub fn is_draining(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the end is asked for. Cancel-safe.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Runs a task that the end waits for.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Tasks that have not ended.
    pub fn open(&self) -> usize {
        self.tasks.len()
    }

    /// Waits for every task, at most `grace`. Gives the number still open then.
    pub async fn finish(&self, grace: Duration) -> usize {
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
        self.tasks.len()
    }
}
