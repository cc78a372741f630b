//! What can be said of many messages at once, counted chunk by chunk.
//!
//! A change makes a new chunk, which is counted when somebody asks; the others keep what was counted. So STATUS and SELECT
//! of a large mailbox look at the chunks and not at every message.

use super::Item;
use crate::flags::FlagBits;

/// Counts over some messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Messages without `\Seen`, and the index of the first of them.
    pub(crate) unseen: u32,
    pub(crate) first_unseen: Option<usize>,
    /// Messages with `\Deleted`.
    pub(crate) deleted: u32,
    /// Octets, with CRLF line ends.
    pub(crate) size: u64,
    /// Every flag that one of them has.
    pub(crate) used: FlagBits,
}

impl Tally {
    pub(super) fn of(items: &[Item]) -> Self {
        let mut tally = Self::default();
        for (index, item) in items.iter().enumerate() {
            if !item.bits.contains(FlagBits::SEEN) {
                tally.unseen += 1;
                tally.first_unseen.get_or_insert(index);
            }
            tally.deleted += u32::from(item.bits.contains(FlagBits::DELETED));
            tally.size = tally.size.saturating_add(item.entry.size);
            tally.used = tally.used.with(item.bits);
        }
        tally
    }

    /// With the messages that begin at the index `start`.
    pub(super) fn and(mut self, later: &Self, start: usize) -> Self {
        self.first_unseen = self.first_unseen.or_else(|| later.first_unseen.map(|index| start + index));
        self.unseen = self.unseen.saturating_add(later.unseen);
        self.deleted = self.deleted.saturating_add(later.deleted);
        self.size = self.size.saturating_add(later.size);
        self.used = self.used.with(later.used);
        self
    }
}
