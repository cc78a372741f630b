//! Whether publishers throng: several wait for the same sync.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// When several publishers last waited at once.
#[derive(Debug)]
pub(super) struct Crowd {
    since: Instant,
    /// In milliseconds after `since`.
    last: AtomicU64,
}

impl Crowd {
    /// So many publishers wait for one sync.
    const MANY: usize = 4;
    /// For so long they count: a sync on a slow disk takes tens of milliseconds.
    const LATELY: u64 = 100;

    pub(super) fn new() -> Self {
        Self { since: Instant::now(), last: AtomicU64::new(0) }
    }

    pub(super) fn note(&self, publishers: usize) {
        if publishers >= Self::MANY {
            self.last.store(self.clock(), Ordering::Relaxed);
        }
    }

    pub(super) fn is_there(&self) -> bool {
        match self.last.load(Ordering::Relaxed) {
            0 => false,
            last => self.clock().saturating_sub(last) <= Self::LATELY,
        }
    }

    /// Never 0, which stands for never.
    fn clock(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).map_or(u64::MAX, |clock| clock.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_at_once_are_a_crowd_for_a_while() {
        let crowd = Crowd::new();
        crowd.note(Crowd::MANY - 1);
        assert!(!crowd.is_there(), "a few are none");
        crowd.note(Crowd::MANY);
        crowd.note(1);
        assert!(crowd.is_there(), "those of a moment ago count");
        let long_ago = Instant::now().checked_sub(std::time::Duration::from_secs(10)).unwrap();
        let crowd = Crowd { since: long_ago, last: AtomicU64::new(5_000) };
        assert!(!crowd.is_there(), "those of seconds ago do not");
    }
}
