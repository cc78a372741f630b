//! Where queued messages are kept: by number, and found by id.
//!
//! A million messages wait in here when a large destination is down, so that each octet counts. Slots lie in chunks, which never move
//! and leave no half-empty array behind when there is one more; everything else names a message by its number, four octets.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use envelope::MessageId;
use hashbrown::HashTable;

/// Slots in one chunk.
const CHUNK: usize = 4096;

/// The number of a message while it is queued; then another message's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u32);

/// All queued messages.
#[derive(Debug)]
pub(super) struct Slots<S> {
    chunks: Vec<Vec<Option<(MessageId, S)>>>,
    free: Vec<Number>,
    numbers: HashTable<Number>,
    hasher: RandomState,
}

impl<S> Slots<S> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), numbers: HashTable::new(), hasher: RandomState::new() }
    }

    /// Puts a message in that is not there; none when there are as many as numbers.
    pub(super) fn insert(&mut self, id: MessageId, slot: S) -> Option<Number> {
        let number = match self.free.pop() {
            Some(number) => number,
            None => self.grow()?,
        };
        *self.place(number)? = Some((id, slot));
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let hash = |number: &Number| hasher.hash_one(at(chunks, *number).map(|(id, _)| id));
        self.numbers.insert_unique(hasher.hash_one(Some(&id)), number, hash);
        Some(number)
    }

    pub(super) fn number(&self, id: MessageId) -> Option<Number> {
        let same = |number: &Number| at(&self.chunks, *number).is_some_and(|(other, _)| *other == id);
        self.numbers.find(self.hasher.hash_one(Some(&id)), same).copied()
    }

    pub(super) fn get(&self, number: Number) -> Option<&(MessageId, S)> {
        at(&self.chunks, number)
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut S> {
        self.place(number)?.as_mut().map(|(_, slot)| slot)
    }

    pub(super) fn remove(&mut self, number: Number) -> Option<S> {
        let (id, _) = at(&self.chunks, number)?;
        let hash = self.hasher.hash_one(Some(id));
        if let Ok(entry) = self.numbers.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        self.free.push(number);
        self.place(number)?.take().map(|(_, slot)| slot)
    }

    pub(super) fn chunk(&self, index: usize) -> Option<impl Iterator<Item = (MessageId, &S)>> {
        Some(self.chunks.get(index)?.iter().flatten().map(|(id, slot)| (*id, slot)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (MessageId, &S)> {
        self.chunks.iter().flatten().flatten().map(|(id, slot)| (*id, slot))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.chunks.iter_mut().flatten().flatten().map(|(_, slot)| slot)
    }

    fn grow(&mut self) -> Option<Number> {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut()?;
        let number = u32::try_from(before + chunk.len()).ok()?;
        chunk.push(None);
        Some(Number(number))
    }

    fn place(&mut self, number: Number) -> Option<&mut Option<(MessageId, S)>> {
        let number = number.0 as usize;
        self.chunks.get_mut(number / CHUNK)?.get_mut(number % CHUNK)
    }
}

fn at<S>(chunks: &[Vec<Option<(MessageId, S)>>], number: Number) -> Option<&(MessageId, S)> {
    let number = number.0 as usize;
    chunks.get(number / CHUNK)?.get(number % CHUNK)?.as_ref()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn does_what_a_map_does(steps in proptest::collection::vec((0u8..3, 0u8..40), 0..300)) {
            let (mut slots, mut model) = (Slots::new(), HashMap::new());
            for (index, (step, number)) in steps.into_iter().enumerate() {
                let id = MessageId::from_bytes([number; 16]);
                match (step, slots.number(id)) {
                    (0, None) => {
                        prop_assert!(slots.insert(id, index).is_some());
                        prop_assert_eq!(model.insert(id, index), None);
                    }
                    (1, Some(number)) => prop_assert_eq!(slots.remove(number), model.remove(&id)),
                    (_, Some(number)) => {
                        *slots.get_mut(number).unwrap() += 1;
                        *model.get_mut(&id).unwrap() += 1;
                    }
                    (_, None) => prop_assert!(!model.contains_key(&id)),
                }
            }
            let mut all: Vec<_> = slots.iter().map(|(id, slot)| (id, *slot)).collect();
            all.sort_unstable();
            let mut expected: Vec<_> = model.into_iter().collect();
            expected.sort_unstable();
            prop_assert_eq!(&all, &expected);
            let mut chunks: Vec<_> =
                (0..).map_while(|index| slots.chunk(index)).flatten().map(|(id, slot)| (id, *slot)).collect();
            chunks.sort_unstable();
            prop_assert_eq!(chunks, expected);
        }
    }

    #[test]
    fn what_left_makes_room_and_chunks_are_filled_to_the_end() {
        let mut slots = Slots::new();
        let id = |number: usize| MessageId::from_bytes((number as u128).to_be_bytes());
        for number in 0..=CHUNK {
            slots.insert(id(number), number).unwrap();
        }
        assert_eq!((slots.chunks.len(), slots.chunks[0].len(), slots.chunks[1].len()), (2, CHUNK, 1));
        let seventh = slots.number(id(7)).unwrap();
        assert_eq!(slots.remove(seventh), Some(7));
        assert_eq!(slots.number(id(7)), None);
        assert_eq!(slots.insert(id(CHUNK + 1), 5), Some(seventh));
        assert_eq!(slots.get(seventh), Some(&(id(CHUNK + 1), 5)));
        assert_eq!(slots.iter().count(), CHUNK + 1);
    }
}
