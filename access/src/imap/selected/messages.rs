//! Messages of the selected mailbox, by index.

use std::ops::Range;

/// Ascending, disjoint ranges of indices (sequence number less one).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Messages(Vec<Range<usize>>);

impl Messages {
    /// Adds a range that begins behind the last one's begin; what overlaps counts once.
    pub(crate) fn push(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.0.push(range),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(ExactSizeIterator::len).sum()
    }

    /// Every index in order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().flat_map(Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_ranges_count_once() {
        let mut messages = Messages::default();
        assert_eq!(messages.len(), 0);
        for range in [0..2, 1..3, 3..4, 5..5, 7..9] {
            messages.push(range);
        }
        assert_eq!(messages, Messages(vec![0..4, 7..9]));
        assert_eq!(messages.len(), 6);
        assert_eq!(messages.indices().collect::<Vec<_>>(), [0, 1, 2, 3, 7, 8]);
    }
}
