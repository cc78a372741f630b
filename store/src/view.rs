//! An immutable picture of a mailbox.

use std::collections::BTreeSet;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, OnceLock};

use crate::items::{Item, Items, Tally};
use crate::keywords::Keywords;
use crate::{Entry, MailboxStatus, ModSeq, Uid, UidValidity};

/// An immutable picture of a mailbox; sessions of one mailbox on one node share it. Entries are ascending by UID:
/// the message with sequence number n (RFC 3501 §2.3.1.2) is `get(n - 1)`.
#[derive(Debug)]
pub struct View {
    /// The mailbox's incarnation.
    pub uid_validity: UidValidity,
    /// The next message's UID is at least this.
    pub uid_next: Uid,
    /// The mod-sequence of the latest change.
    pub highest_mod_seq: ModSeq,
    /// UIDs from here on are `\Recent` for the first session that asks.
    pub first_recent: Uid,
    /// Grows with every new picture of the mailbox.
    pub generation: u64,
    pub(crate) keywords: Arc<Keywords>,
    pub(crate) items: Items,
    pub(crate) counted: OnceLock<Tally>,
}

impl View {
    /// Number of messages.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no message.
    pub const fn is_empty(&self) -> bool {
        self.items.len() == 0
    }

    /// The entry at an index (sequence number less one).
    pub fn get(&self, index: usize) -> Option<&Entry> {
        self.items.get(index).map(|item| &item.entry)
    }

    /// The index of a UID.
    pub fn position(&self, uid: Uid) -> Option<usize> {
        self.items.by_uid(uid.0).map(|(index, _)| index)
    }

    /// Index and entry of a UID.
    pub fn by_uid(&self, uid: Uid) -> Option<(usize, &Entry)> {
        self.items.by_uid(uid.0).map(|(index, item)| (index, &item.entry))
    }

    /// The index of the first message whose UID is at least `uid`; `len()` when there is none.
    pub fn lower_bound(&self, uid: Uid) -> usize {
        self.items.lower_bound(uid.0)
    }

    /// Every entry in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.items.iter().map(|item| &item.entry)
    }

    /// Entries of a range of indexes; what lies behind the end is left out.
    pub fn range(&self, range: impl RangeBounds<usize>) -> impl Iterator<Item = &Entry> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(from) => from.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(to) => to.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => usize::MAX,
        };
        (from..to.min(self.len())).filter_map(|index| self.get(index))
    }

    /// Ranges of indices outside of which the other picture has the very same entries: what has changed since then is inside. Most
    /// of two pictures of a mailbox is shared, and that is not looked through.
    pub fn unshared(&self, other: &Self) -> Vec<Range<usize>> {
        self.items.unshared(&other.items)
    }

    /// What STATUS tells of this picture. The first call counts the messages that changed since another picture of the mailbox was counted.
    pub fn status(&self) -> MailboxStatus {
        let tally = self.tally();
        MailboxStatus {
            messages: u32::try_from(self.len()).unwrap_or(u32::MAX),
            recent: u32::try_from(self.len() - self.lower_bound(self.first_recent)).unwrap_or(u32::MAX),
            unseen: tally.unseen,
            deleted: tally.deleted,
            size: tally.size,
            uid_next: self.uid_next,
            uid_validity: self.uid_validity,
            highest_mod_seq: self.highest_mod_seq,
        }
    }

    /// Whether [`Self::status`] has nothing left to count.
    pub fn is_counted(&self) -> bool {
        self.counted.get().is_some()
    }

    /// The index of the first message without `\\Seen`.
    pub fn first_unseen(&self) -> Option<usize> {
        self.tally().first_unseen
    }

    /// The keywords that some message has.
    pub fn keywords(&self) -> BTreeSet<String> {
        self.tally().used.to_flags(&self.keywords.0).keywords
    }

    fn tally(&self) -> &Tally {
        self.counted.get_or_init(|| self.items.tally())
    }

    pub(crate) fn item(&self, uid: Uid) -> Option<&Item> {
        self.items.by_uid(uid.0).map(|(_, item)| item)
    }
}
