//! A mailbox's messages in order: a vector in shared chunks.
//!
//! A picture of the mailbox is a copy of the chunk list; a change copies only the chunks it touches. So a delivery
//! into a mailbox of 100,000 messages copies one chunk and 200 pointers.

mod tally;

use std::collections::HashSet;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use envelope::{MessageId, Timestamp};

use crate::file_name::{Base, FileName};
use crate::flags::FlagBits;
use crate::{Flags, ModSeq, Uid};

pub(crate) use tally::Tally;

/// One message as the index knows it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub uid: Uid,
    /// Shared by all messages with the same flags.
    pub flags: Arc<Flags>,
    /// When it came, or what APPEND said.
    pub internal_date: Timestamp,
    /// Octets with CRLF line ends, as IMAP and POP3 report them.
    pub size: u64,
    /// Of its latest change.
    pub mod_seq: ModSeq,
    /// None for messages that another program put here.
    pub message_id: Option<MessageId>,
}

/// Where in the Maildir a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    New,
    Cur,
}

impl Place {
    pub(crate) const fn directory(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Cur => "cur",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::New => Self::Cur,
            Self::Cur => Self::New,
        }
    }
}

/// An [`Entry`] and what only the store knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) entry: Entry,
    pub(crate) bits: FlagBits,
    /// The flags that the file's name shows; other than `bits` while a rename is owed.
    pub(crate) name_bits: FlagBits,
    /// The flags changed again while a rename was owed: a process that died may have made that rename without a record,
    /// so what the file's name shows is not another program's word.
    pub(crate) uncertain: bool,
    pub(crate) place: Place,
    pub(crate) base: Base,
    pub(crate) disk_size: u64,
    /// Where in the cache its summary is.
    pub(crate) cached: Option<Position>,
}

/// A record of `sluice.cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

impl Item {
    pub(crate) const fn uid(&self) -> u32 {
        self.entry.uid.0
    }

    /// The file's name as the index believes it to be.
    pub(crate) fn file_name(&self) -> String {
        self.name_with(self.name_bits, self.place)
    }

    pub(crate) fn name_with(&self, bits: FlagBits, place: Place) -> String {
        let name = FileName {
            base: self.base.clone(),
            uid: Some(self.uid()),
            disk_size: Some(self.disk_size),
            wire_size: Some(self.entry.size),
            flags: (place == Place::Cur).then_some(bits),
        };
        name.to_string()
    }

    pub(crate) fn rename_is_owed(&self) -> bool {
        self.bits != self.name_bits || self.uncertain
    }
}

const CHUNK: usize = 256;

/// Some messages that follow each other, and what was counted of them.
#[derive(Debug, Default)]
struct Chunk {
    items: Vec<Item>,
    tally: OnceLock<Tally>,
}

impl Chunk {
    const fn new(items: Vec<Item>) -> Self {
        Self { items, tally: OnceLock::new() }
    }

    fn tally(&self) -> &Tally {
        self.tally.get_or_init(|| Tally::of(&self.items))
    }

    /// The messages, to be changed; what was counted is counted anew.
    fn to_change(chunk: &mut Arc<Self>) -> &mut Vec<Item> {
        let chunk = Arc::make_mut(chunk);
        chunk.tally = OnceLock::new();
        &mut chunk.items
    }
}

/// A copy is made to be changed.
impl Clone for Chunk {
    fn clone(&self) -> Self {
        Self::new(self.items.clone())
    }
}

impl Deref for Chunk {
    type Target = [Item];

    fn deref(&self) -> &[Item] {
        &self.items
    }
}

/// Ascending by UID.
#[derive(Debug, Clone, Default)]
pub(crate) struct Items {
    chunks: Vec<Arc<Chunk>>,
    /// The index of each chunk's first item.
    starts: Vec<usize>,
    len: usize,
}

impl Items {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Counts over all of them; what did not change since the last time is not counted again.
    pub(crate) fn tally(&self) -> Tally {
        let each = self.chunks.iter().zip(&self.starts);
        each.fold(Tally::default(), |sum, (chunk, start)| sum.and(chunk.tally(), *start))
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Item> {
        let chunk = self.starts.partition_point(|start| *start <= index).checked_sub(1)?;
        self.chunks.get(chunk)?.get(index - self.starts.get(chunk)?)
    }

    fn chunk_of(&self, uid: u32) -> Option<usize> {
        self.chunks
            .partition_point(|chunk| chunk.first().is_some_and(|item| item.uid() <= uid))
            .checked_sub(1)
    }

    /// Ranges of indices outside of which the other has the very same items. Takes a look at each chunk, not at each item.
    pub(crate) fn unshared(&self, other: &Self) -> Vec<Range<usize>> {
        let theirs: HashSet<_> = other.chunks.iter().map(Arc::as_ptr).collect();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (chunk, start) in self.chunks.iter().zip(&self.starts) {
            if theirs.contains(&Arc::as_ptr(chunk)) {
                continue;
            }
            let end = start + chunk.len();
            match ranges.last_mut().filter(|last| last.end == *start) {
                Some(last) => last.end = end,
                None => ranges.push(*start..end),
            }
        }
        ranges
    }

    /// The index of the first item with a UID of at least `uid`.
    pub(crate) fn lower_bound(&self, uid: u32) -> usize {
        let Some(chunk) = self.chunk_of(uid) else { return 0 };
        let (Some(items), Some(start)) = (self.chunks.get(chunk), self.starts.get(chunk)) else { return 0 };
        start + items.partition_point(|item| item.uid() < uid)
    }

    pub(crate) fn by_uid(&self, uid: u32) -> Option<(usize, &Item)> {
        let chunk = self.chunk_of(uid)?;
        let items = self.chunks.get(chunk)?;
        let offset = items.binary_search_by_key(&uid, Item::uid).ok()?;
        Some((self.starts.get(chunk)? + offset, items.get(offset)?))
    }

    /// The item, to be changed; its UID must stay.
    pub(crate) fn by_uid_mut(&mut self, uid: u32) -> Option<&mut Item> {
        let chunk = self.chunk_of(uid)?;
        let chunk = self.chunks.get_mut(chunk)?;
        let offset = chunk.binary_search_by_key(&uid, Item::uid).ok()?;
        Chunk::to_change(chunk).get_mut(offset)
    }

    /// Adds an item; false when its UID is not above all others.
    pub(crate) fn push(&mut self, item: Item) -> bool {
        if self.last_uid().is_some_and(|last| last >= item.uid()) {
            return false;
        }
        self.len += 1;
        if let Some(last) = self.chunks.last_mut().filter(|last| last.len() < CHUNK) {
            Chunk::to_change(last).push(item);
        } else {
            self.starts.push(self.len - 1);
            let mut chunk = Vec::with_capacity(CHUNK);
            chunk.push(item);
            self.chunks.push(Arc::new(Chunk::new(chunk)));
        }
        true
    }

    pub(crate) fn last_uid(&self) -> Option<u32> {
        self.chunks.last().and_then(|chunk| chunk.last()).map(Item::uid)
    }

    /// Removes the items with these UIDs (ascending) and gives them.
    pub(crate) fn remove(&mut self, uids: &[u32]) -> Vec<Item> {
        let mut removed = Vec::new();
        for chunk in &mut self.chunks {
            let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
            let from = uids.partition_point(|uid| *uid < first.uid());
            let to = uids.partition_point(|uid| *uid <= last.uid());
            let Some(wanted) = uids.get(from..to).filter(|wanted| !wanted.is_empty()) else { continue };
            let (gone, kept): (Vec<Item>, Vec<Item>) =
                chunk.iter().cloned().partition(|item| wanted.binary_search(&item.uid()).is_ok());
            if !gone.is_empty() {
                removed.extend(gone);
                *chunk = Arc::new(Chunk::new(kept));
            }
        }
        if !removed.is_empty() {
            self.tidy();
        }
        removed
    }

    /// Drops empty chunks, and packs anew when too many are almost empty.
    fn tidy(&mut self) {
        self.chunks.retain(|chunk| !chunk.is_empty());
        self.len = self.chunks.iter().map(|chunk| chunk.len()).sum();
        if self.chunks.len() > 4 * (self.len / CHUNK) + 16 {
            let all: Vec<Item> = self.iter().cloned().collect();
            self.chunks = all.chunks(CHUNK).map(|chunk| Arc::new(Chunk::new(chunk.to_vec()))).collect();
        }
        let mut start = 0;
        self.starts.clear();
        for chunk in &self.chunks {
            self.starts.push(start);
            start += chunk.len();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn item(uid: u32) -> Item {
        Item {
            entry: Entry {
                uid: Uid(uid),
                flags: Arc::default(),
                internal_date: Timestamp::from_unix_milliseconds(5_000),
                size: 10,
                mod_seq: ModSeq(1),
                message_id: None,
            },
            bits: FlagBits::default(),
            name_bits: FlagBits::default(),
            uncertain: false,
            place: Place::Cur,
            base: Base::Foreign("x".into()),
            disk_size: 10,
            cached: None,
        }
    }

    #[test]
    fn what_is_outside_of_the_unshared_ranges_is_the_same() {
        let mut old = Items::default();
        (1..=2000).for_each(|uid| assert!(old.push(item(uid))));
        let mut new = old.clone();
        assert_eq!(old.unshared(&new), []);
        new.by_uid_mut(3).unwrap().entry.mod_seq = ModSeq(9);
        new.by_uid_mut(700).unwrap().entry.mod_seq = ModSeq(9);
        assert_eq!(old.unshared(&new), [0..256, 512..768]);
        assert!(new.push(item(2001)));
        let gone: Vec<u32> = (1100..1400).collect();
        assert_eq!(new.remove(&gone).len(), 300);
        let ranges = old.unshared(&new);
        assert!(ranges.iter().map(Range::len).sum::<usize>() < 1800, "{ranges:?}");
        for (index, ours) in old.iter().enumerate() {
            let same = new.by_uid(ours.uid()).is_some_and(|(_, now)| now.entry.mod_seq == ours.entry.mod_seq);
            assert!(same || ranges.iter().any(|range| range.contains(&index)), "{index}");
        }
    }

    #[test]
    fn what_changes_is_counted_anew() {
        let mut items = Items::default();
        (1..=600).for_each(|uid| assert!(items.push(item(uid))));
        let (seen, keyword) = (FlagBits::from_letters(b"S"), FlagBits::from_letters(b"c"));
        let counted = items.tally();
        let expected = Tally { unseen: 600, first_unseen: Some(0), size: 6000, ..Tally::default() };
        assert_eq!(counted, expected);
        let before = items.clone();
        for uid in 1..=300 {
            items.by_uid_mut(uid).unwrap().bits = seen;
        }
        items.by_uid_mut(500).unwrap().bits = keyword.with(FlagBits::from_letters(b"T"));
        let expected = Tally {
            unseen: 300,
            first_unseen: Some(300),
            deleted: 1,
            size: 6000,
            used: FlagBits::from_letters(b"STc"),
        };
        assert_eq!(items.tally(), expected);
        assert_eq!(before.tally(), counted, "a picture stays what it was");
        assert!(items.push(item(601)));
        assert_eq!(items.remove(&[301, 302, 500]).len(), 3);
        let expected = Tally { unseen: 298, first_unseen: Some(300), deleted: 0, size: 5980, used: seen };
        assert_eq!(items.tally(), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn behaves_like_a_sorted_vector(
            steps in proptest::collection::vec(1u32..4, 0..1500),
            removals in proptest::collection::vec(proptest::collection::btree_set(0u32..4500, 0..900), 0..4),
        ) {
            let mut items = Items::default();
            let mut model = Vec::new();
            let mut uid = 0;
            for step in steps {
                uid += step;
                prop_assert!(items.push(item(uid)));
                prop_assert!(!items.push(item(uid)));
                model.push(uid);
            }
            for removal in removals {
                let removal: Vec<u32> = removal.into_iter().collect();
                let gone: Vec<u32> = items.remove(&removal).iter().map(Item::uid).collect();
                let (expected, kept): (Vec<u32>, Vec<u32>) =
                    model.into_iter().partition(|uid| removal.contains(uid));
                prop_assert_eq!(gone, expected);
                model = kept;
            }
            let all: Vec<Item> = items.iter().cloned().collect();
            prop_assert_eq!(items.tally(), Tally::of(&all));
            prop_assert_eq!(items.len(), model.len());
            prop_assert_eq!(items.iter().map(Item::uid).collect::<Vec<_>>(), model.clone());
            for (index, uid) in model.iter().enumerate() {
                prop_assert_eq!(items.get(index).map(Item::uid), Some(*uid));
                prop_assert_eq!(items.by_uid(*uid).map(|(at, item)| (at, item.uid())), Some((index, *uid)));
                prop_assert!(items.by_uid_mut(*uid).is_some());
            }
            for probe in [0, 1, 100, 5000] {
                prop_assert_eq!(items.lower_bound(probe), model.partition_point(|uid| *uid < probe));
            }
        }
    }
}
