//! The memory that messages may take that people are sending in, by APPEND or by the webmail's form, over all connections.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in steps of this many octets; what is smaller is not counted.
const STEP: usize = 64 * 1024;

/// How long a client waits for memory before it is refused.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The common budget. Cheap to clone.
#[derive(Clone)]
pub(crate) struct UploadMemory {
    steps: Arc<Semaphore>,
    taken: IntGauge,
}

/// What one command or form holds of it.
pub(crate) struct Held {
    memory: UploadMemory,
    steps: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl UploadMemory {
    pub(crate) fn new(octets: usize, taken: IntGauge) -> Self {
        Self { steps: Arc::new(Semaphore::new((octets / STEP).clamp(1, Semaphore::MAX_PERMITS))), taken }
    }

    /// Holds nothing yet.
    pub(crate) fn hold(&self) -> Held {
        Held { memory: self.clone(), steps: 0, permit: None }
    }
}

impl Held {
    /// Holds memory for `octets` in all, waiting a little when it is short; false when there is none.
    pub(crate) async fn grow_to(&mut self, octets: u64) -> bool {
        let wanted = usize::try_from(octets).unwrap_or(usize::MAX) / STEP;
        let Some(more @ 1..) = wanted.checked_sub(self.steps) else { return true };
        let Ok(count) = u32::try_from(more) else { return false };
        let wait = Arc::clone(&self.memory.steps).acquire_many_owned(count);
        let Ok(Ok(permit)) = tokio::time::timeout(WAIT_MAX, wait).await else { return false };
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.memory.taken.add(i64::try_from(more * STEP).unwrap_or(i64::MAX));
        self.steps = wanted;
        true
    }

    /// Gives all of it back.
    pub(crate) fn release(&mut self) {
        self.permit = None;
        self.memory.taken.sub(i64::try_from(self.steps * STEP).unwrap_or(i64::MAX));
        self.steps = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_budget_is_shared_and_comes_back() {
        let gauge = IntGauge::new("a", "b").unwrap();
        let memory = UploadMemory::new(4 * STEP, gauge.clone());
        let (mut one, mut two) = (memory.hold(), memory.hold());
        assert!(one.grow_to(STEP as u64 - 1).await);
        assert_eq!(gauge.get(), 0);
        assert!(one.grow_to(3 * STEP as u64).await);
        assert!(one.grow_to(STEP as u64).await, "less than is held needs nothing");
        assert!(two.grow_to(STEP as u64).await);
        assert!(!two.grow_to(2 * STEP as u64).await);
        assert_eq!(gauge.get(), 4 * STEP as i64);
        drop(one);
        assert!(two.grow_to(4 * STEP as u64).await);
        two.release();
        assert_eq!(gauge.get(), 0);
    }
}
