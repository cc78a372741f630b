//! The messages of one session: the picture taken when it began, and what is marked as deleted.

use std::fmt::Write;

/// One message of the maildrop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Its number in the mailbox, never given again.
    pub uid: u32,
    /// Octets with CRLF line ends (RFC 1939 §11).
    pub size: u64,
}

/// Which listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// LIST.
    Sizes,
    /// UIDL.
    UniqueIds,
}

/// The messages by number, from 1. Numbers don't change during a session, whatever others do to the mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maildrop {
    uid_validity: u32,
    messages: Vec<Message>,
    is_deleted: Vec<bool>,
}

impl Maildrop {
    /// The picture. The unique id of a message is `<uid_validity>.<uid>`: the same on every node and for ever.
    pub fn new(uid_validity: u32, messages: Vec<Message>) -> Self {
        let is_deleted = vec![false; messages.len()];
        Self { uid_validity, messages, is_deleted }
    }

    /// The message of that number, unless it is marked as deleted.
    pub fn message(&self, number: u32) -> Option<Message> {
        let index = self.index(number)?;
        self.messages.get(index).copied()
    }

    /// How many messages are not marked, and their octets.
    pub fn totals(&self) -> (usize, u64) {
        let kept = self.messages.iter().zip(&self.is_deleted).filter(|(_, is_deleted)| !**is_deleted);
        kept.fold((0, 0), |(count, octets), (message, _)| (count + 1, octets + message.size))
    }

    /// The messages that are marked.
    pub fn deleted(&self) -> Vec<u32> {
        let marked = self.messages.iter().zip(&self.is_deleted).filter(|(_, is_deleted)| **is_deleted);
        marked.map(|(message, _)| message.uid).collect()
    }

    /// The unique id of a message of this maildrop.
    pub fn unique_id(&self, message: Message) -> String {
        format!("{}.{}", self.uid_validity, message.uid)
    }

    /// Writes lines of a listing into `out` until that holds `octets_max` or all are written; begins behind the
    /// number `after`. Gives the last number written, or nothing when the listing is complete.
    pub fn write_listing(
        &self,
        kind: ListKind,
        after: u32,
        octets_max: usize,
        out: &mut String,
    ) -> Option<u32> {
        let first = usize::try_from(after).unwrap_or(usize::MAX);
        let rest = self.messages.iter().zip(&self.is_deleted).zip(1u32..).skip(first);
        for ((message, is_deleted), number) in rest {
            if out.len() >= octets_max {
                return Some(number - 1);
            }
            if !is_deleted {
                // Writing into a string does not fail.
                let _ = match kind {
                    ListKind::Sizes => write!(out, "{number} {}\r\n", message.size),
                    ListKind::UniqueIds => write!(out, "{number} {}.{}\r\n", self.uid_validity, message.uid),
                };
            }
        }
        None
    }

    /// Marks a message; false when there is none of that number, or it is marked already.
    pub(crate) fn delete(&mut self, number: u32) -> bool {
        let index = self.index(number);
        let mark = index.and_then(|index| self.is_deleted.get_mut(index));
        mark.map(|mark| *mark = true).is_some()
    }

    pub(crate) fn reset(&mut self) {
        self.is_deleted.fill(false);
    }

    /// Where a message that is not marked stands.
    fn index(&self, number: u32) -> Option<usize> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        (self.is_deleted.get(index) == Some(&false)).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maildrop(count: u32) -> Maildrop {
        Maildrop::new(7, (1..=count).map(|n| Message { uid: n * 10, size: u64::from(n) * 100 }).collect())
    }

    #[test]
    fn numbers_and_marks() {
        let mut maildrop = maildrop(3);
        assert_eq!(maildrop.totals(), (3, 600));
        assert!(maildrop.delete(2));
        assert!(
            !maildrop.delete(2) && !maildrop.delete(0) && !maildrop.delete(4) && !maildrop.delete(u32::MAX)
        );
        assert_eq!(maildrop.totals(), (2, 400));
        assert_eq!(maildrop.deleted(), [20]);
        assert_eq!(maildrop.message(2), None);
        assert_eq!(maildrop.message(3).map(|message| maildrop.unique_id(message)), Some("7.30".to_owned()));
        maildrop.reset();
        assert_eq!((maildrop.totals(), maildrop.deleted()), ((3, 600), vec![]));
    }

    #[test]
    fn listings_come_in_pieces() {
        let mut maildrop = maildrop(5);
        assert!(maildrop.delete(2));
        for kind in [ListKind::Sizes, ListKind::UniqueIds] {
            let mut whole = String::new();
            assert_eq!(maildrop.write_listing(kind, 0, usize::MAX, &mut whole), None);
            assert_eq!(whole.lines().count(), 4);
            for octets_max in 1..whole.len() {
                let (mut pieces, mut after) = (String::new(), Some(0));
                while let Some(number) = after {
                    let mut piece = String::new();
                    after = maildrop.write_listing(kind, number, octets_max, &mut piece);
                    assert!(piece.len() < octets_max + 16);
                    pieces += &piece;
                }
                assert_eq!(pieces, whole);
            }
        }
    }
}
