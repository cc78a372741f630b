//! Bounded things that many connections use at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So much there is in all.
#[derive(Debug, Clone)]
pub(crate) struct Supply {
    max: usize,
    used: Arc<AtomicUsize>,
}

/// What somebody has of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    supply: Supply,
    held: usize,
}

impl Supply {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: Arc::default() }
    }

    /// Nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { supply: self.clone(), held: 0 }
    }
}

impl Share {
    /// Takes more; `false`, and nothing taken, when there is not so much left.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let max = self.supply.max;
        let fits = |used: usize| used.checked_add(more).filter(|used| *used <= max);
        let taken = self.supply.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits);
        if taken.is_ok() {
            self.held += more;
        }
        taken.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.supply.used.fetch_sub(self.held, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_there_is() {
        let supply = Supply::new(10);
        let (mut one, mut other) = (supply.share(), supply.share());
        assert!(one.grow(9) && !other.grow(2) && other.grow(1) && !one.grow(1));
        assert!(!one.grow(usize::MAX), "no overflow");
        drop(one);
        assert!(other.grow(9) && !other.grow(1));
        drop(other);
        assert_eq!(supply.used.load(Ordering::Acquire), 0);
    }
}
