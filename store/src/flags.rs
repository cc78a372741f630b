//! A message's flags: by name for callers, as bits inside, as letters in file names.
//!
//! ```text
//! bit    0     1         2        3        4      5               8..34
//!        \Seen \Answered \Flagged \Deleted \Draft passed (`P`)    keywords a..z of the mailbox's table
//! letter S     R         F        T        D      P               a..z
//! ```

use std::collections::BTreeSet;

/// System flags and keywords of one message. `\Recent` is session state and not here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// `\Seen`.
    pub seen: bool,
    /// `\Answered`.
    pub answered: bool,
    /// `\Flagged`.
    pub flagged: bool,
    /// `\Deleted`.
    pub deleted: bool,
    /// `\Draft`.
    pub draft: bool,
    /// Keywords such as `$Forwarded`, `$Junk`; compared without regard to case, case kept as first seen.
    pub keywords: BTreeSet<String>,
}

/// [`Flags`] as bits, meaningful together with the mailbox's keyword table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct FlagBits(pub(crate) u64);

/// Upper-case letters in the order in which Maildir wants them (ASCII), with their bits.
const LETTERS: [(u8, u32); 6] = [(b'D', 4), (b'F', 2), (b'P', 5), (b'R', 1), (b'S', 0), (b'T', 3)];
const FIRST_KEYWORD: u32 = 8;
/// As many keywords as there are lower-case letters.
pub(crate) const KEYWORDS_MAX: usize = 26;

impl FlagBits {
    /// Every bit that a flag or letter stands for.
    pub(crate) const ALL: Self = Self(0x3f | ((1 << KEYWORDS_MAX) - 1) << FIRST_KEYWORD);
    /// `\Seen`.
    pub(crate) const SEEN: Self = Self(1);
    /// `\Deleted`.
    pub(crate) const DELETED: Self = Self(1 << 3);
    /// What a client sees: not the `P` that other tools set.
    pub(crate) const VISIBLE: Self = Self(Self::ALL.0 & !(1 << 5));

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn keyword(index: usize) -> Self {
        Self(1 << (FIRST_KEYWORD as usize + index % KEYWORDS_MAX))
    }

    /// The letters of a file name, in order.
    pub(crate) fn letters(self) -> String {
        let upper = LETTERS.iter().filter(|(_, bit)| self.0 & (1 << bit) != 0).map(|(letter, _)| *letter);
        let lower = (b'a'..=b'z').enumerate();
        let lower = lower.filter(|(index, _)| self.contains(Self::keyword(*index))).map(|(_, letter)| letter);
        upper.chain(lower).map(char::from).collect()
    }

    /// Letters in any order; unknown ones are ignored.
    pub(crate) fn from_letters(letters: &[u8]) -> Self {
        letters.iter().fold(Self::default(), |bits, letter| match letter {
            b'a'..=b'z' => bits.with(Self::keyword(usize::from(letter - b'a'))),
            _ => LETTERS
                .iter()
                .find(|(known, _)| known == letter)
                .map_or(bits, |(_, bit)| bits.with(Self(1 << bit))),
        })
    }

    /// The system flags of `flags`.
    pub(crate) fn system(flags: &Flags) -> Self {
        let all = [flags.seen, flags.answered, flags.flagged, flags.deleted, flags.draft];
        Self(all.iter().enumerate().map(|(bit, set)| u64::from(*set) << bit).sum())
    }

    /// With names for keywords from `table`; letters without a name stay in the file name and are not shown.
    pub(crate) fn to_flags(self, table: &[Option<String>]) -> Flags {
        let bit = |bit: u32| self.0 & (1 << bit) != 0;
        let named = table.iter().take(KEYWORDS_MAX).enumerate();
        let keywords = named.filter(|(index, _)| self.contains(Self::keyword(*index)));
        Flags {
            seen: bit(0),
            answered: bit(1),
            flagged: bit(2),
            deleted: bit(3),
            draft: bit(4),
            keywords: keywords.filter_map(|(_, name)| name.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_round_trip_in_maildir_order() {
        for (letters, ordered) in
            [("", ""), ("SRF", "FRS"), ("aSbT", "STab"), ("DFPRSTz", "DFPRSTz"), ("S?9", "S")]
        {
            assert_eq!(FlagBits::from_letters(letters.as_bytes()).letters(), ordered);
        }
    }

    #[test]
    fn bits_and_flags_agree() {
        let table = [Some("$Junk".to_owned()), None, Some("x".to_owned())];
        assert_eq!(FlagBits::SEEN.with(FlagBits::DELETED), FlagBits::from_letters(b"ST"));
        let flags = FlagBits::from_letters(b"SDacb").to_flags(&table);
        assert!(flags.seen && flags.draft && !flags.deleted);
        assert_eq!(flags.keywords.into_iter().collect::<Vec<_>>(), ["$Junk", "x"]);
    }
}
