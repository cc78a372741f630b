//! The memory that messages on their way in may take, over all connections of a protocol: many slow senders must not take
//! a node's memory, and each is refused for now when it is short.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in steps of this many octets; what is smaller is not counted.
const STEP: usize = 16 * 1024;

/// The common budget. Cheap to clone.
#[derive(Clone)]
pub struct MemoryBudget {
    steps: Arc<Semaphore>,
    /// How long a client waits for memory before it is refused.
    wait_max: Duration,
    taken: IntGauge,
}

/// What one message holds of it.
pub struct HeldMemory {
    memory: MemoryBudget,
    steps: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    /// A budget of `octets`, at least one step; `taken` shows how much of it is held.
    pub fn new(octets: usize, wait_max: Duration, taken: IntGauge) -> Self {
        let steps = (octets / STEP).clamp(1, Semaphore::MAX_PERMITS);
        Self { steps: Arc::new(Semaphore::new(steps)), wait_max, taken }
    }

    /// Holds nothing yet.
    pub fn hold(&self) -> HeldMemory {
        HeldMemory { memory: self.clone(), steps: 0, permit: None }
    }
}

impl HeldMemory {
    /// Holds memory for `octets` in all, waiting a little when it is short; false when there is none.
    pub async fn grow_to(&mut self, octets: u64) -> bool {
        let wanted = usize::try_from(octets).unwrap_or(usize::MAX) / STEP;
        let Some(more @ 1..) = wanted.checked_sub(self.steps) else { return true };
        let Ok(count) = u32::try_from(more) else { return false };
        let wait = Arc::clone(&self.memory.steps).acquire_many_owned(count);
        let Ok(Ok(permit)) = tokio::time::timeout(self.memory.wait_max, wait).await else { return false };
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.memory.taken.add(i64::try_from(more * STEP).unwrap_or(i64::MAX));
        self.steps = wanted;
        true
    }

    /// Gives back what is held beyond `octets`.
    pub fn shrink_to(&mut self, octets: u64) {
        let wanted = usize::try_from(octets).unwrap_or(usize::MAX) / STEP;
        let Some(surplus @ 1..) = self.steps.checked_sub(wanted) else { return };
        drop(self.permit.as_mut().and_then(|permit| permit.split(surplus)));
        self.memory.taken.sub(i64::try_from(surplus * STEP).unwrap_or(i64::MAX));
        self.steps = wanted;
    }

    /// Gives all of it back.
    pub fn release(&mut self) {
        self.permit = None;
        self.memory.taken.sub(i64::try_from(self.steps * STEP).unwrap_or(i64::MAX));
        self.steps = 0;
    }
}

impl Drop for HeldMemory {
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
        let memory = MemoryBudget::new(4 * STEP, Duration::from_secs(10), gauge.clone());
        let (mut one, mut two) = (memory.hold(), memory.hold());
        assert!(one.grow_to(STEP as u64 - 1).await);
        assert_eq!(gauge.get(), 0);
        assert!(one.grow_to(3 * STEP as u64).await);
        assert!(one.grow_to(STEP as u64).await, "less than is held needs nothing");
        assert!(two.grow_to(STEP as u64).await);
        assert!(!two.grow_to(2 * STEP as u64).await);
        assert_eq!(gauge.get(), 4 * STEP as i64);
        one.shrink_to(2 * STEP as u64);
        assert_eq!(gauge.get(), 3 * STEP as i64);
        one.shrink_to(3 * STEP as u64);
        assert!(two.grow_to(2 * STEP as u64).await, "what was given back is to be had");
        drop(one);
        assert!(two.grow_to(4 * STEP as u64).await);
        two.release();
        assert_eq!(gauge.get(), 0);
    }
}
