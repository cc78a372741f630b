//! Sets of message numbers.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

/// Whether a command names messages by their place in the mailbox or by UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Numbering {
    /// Message sequence numbers, 1 to EXISTS.
    Sequence,
    /// Unique identifiers.
    Uid,
}

/// The messages that a command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageSet {
    /// Numbers and ranges.
    Numbers(SequenceSet),
    /// `$`: the result of the last SEARCH RETURN (SAVE) (RFC 5182 §2.1).
    Saved,
}

/// A set of message numbers, normalised: ranges ascend, do not touch, and hold no zero.
///
/// `*` stands for the largest number in use, which only the mailbox knows: [`SequenceSet::ranges`]
/// takes it. All ranges with a `*` are one, `n:*` with the smallest `n`, and that one swallows the
/// numbers behind `n`; a lone `*` is `4294967295:*`. This loses nothing, since `n:*` always names the largest number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet {
    /// Disjoint, ascending, not adjacent, all before `open`.
    closed: Vec<(u32, u32)>,
    /// `n` of `n:*`.
    open: Option<NonZeroU32>,
}

/// One end of a range as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceNumber {
    /// A number.
    Number(NonZeroU32),
    /// `*`
    Largest,
}

impl SequenceSet {
    /// Makes a set from ranges as written: ends in any order, ranges in any order, overlaps allowed.
    /// None when there is no range.
    pub fn new(ranges: impl IntoIterator<Item = (SequenceNumber, SequenceNumber)>) -> Option<Self> {
        let mut closed = Vec::new();
        let mut open: Option<NonZeroU32> = None;
        for range in ranges {
            let start = match range {
                (SequenceNumber::Number(a), SequenceNumber::Number(b)) => {
                    closed.push((a.get().min(b.get()), a.get().max(b.get())));
                    continue;
                }
                (SequenceNumber::Number(n), SequenceNumber::Largest)
                | (SequenceNumber::Largest, SequenceNumber::Number(n)) => n,
                (SequenceNumber::Largest, SequenceNumber::Largest) => NonZeroU32::MAX,
            };
            open = Some(open.map_or(start, |other| other.min(start)));
        }
        Self { closed: merge(closed), open }.absorbed()
    }

    /// Makes a set of single numbers; zeros are left out. None when nothing is left.
    pub fn from_numbers(numbers: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut closed: Vec<(u32, u32)> = Vec::new();
        for number in numbers.into_iter().filter(|number| *number != 0) {
            match closed.last_mut() {
                Some(last) if last.1.checked_add(1) == Some(number) => last.1 = number,
                _ => closed.push((number, number)),
            }
        }
        Self { closed: merge(closed), open: None }.absorbed()
    }

    /// Lets `n:*` swallow what is behind `n` or touches it. None when the set is empty.
    fn absorbed(mut self) -> Option<Self> {
        while let (Some(open), Some((start, end))) = (self.open, self.closed.last().copied()) {
            if end.saturating_add(1) < open.get() {
                break;
            }
            self.closed.pop();
            self.open = NonZeroU32::new(start.min(open.get()));
        }
        (self.open.is_some() || !self.closed.is_empty()).then_some(self)
    }

    /// The ranges in ascending order, where `largest` is the largest number in use (0: the mailbox is
    /// empty and `*` names nothing). A range may reach beyond `largest`, and the one that `*` makes may overlap with the one before it
    /// when numbers beyond `largest` are named.
    pub fn ranges(&self, largest: u32) -> impl Iterator<Item = RangeInclusive<u32>> + '_ {
        let open = self.open.filter(|_| largest > 0).map(|start| start.get().min(largest)..=largest);
        let before = open.as_ref().map_or(u32::MAX, |range| *range.start());
        // Below the start of `n:*` once `*` is known: what is left of the closed ranges.
        let cut = move |(start, end): &(u32, u32)| {
            (self.open.is_none() || largest == 0 || *start < before).then(|| {
                *start..=if self.open.is_none() || largest == 0 { *end } else { (*end).min(before - 1) }
            })
        };
        self.closed.iter().filter_map(cut).chain(open)
    }

    /// Whether `number` is in the set, where `largest` is the largest number in use.
    pub fn contains(&self, number: u32, largest: u32) -> bool {
        let at = self.closed.partition_point(|(_, end)| *end < number);
        let closed = self.closed.get(at).is_some_and(|(start, end)| (*start..=*end).contains(&number));
        closed
            || self
                .open
                .is_some_and(|open| largest > 0 && (open.get().min(largest)..=largest).contains(&number))
    }

    /// The largest number that is written in the set, without regard to `*`: a sequence number above
    /// EXISTS is a client's mistake.
    pub fn largest_number(&self) -> Option<u32> {
        self.closed.last().map(|(_, end)| *end)
    }

    /// How many ranges the set holds.
    pub fn range_count(&self) -> usize {
        self.closed.len() + usize::from(self.open.is_some())
    }
}

/// Sorts and joins what overlaps or touches.
fn merge(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    if !ranges.is_sorted() {
        ranges.sort_unstable();
    }
    ranges.dedup_by(|next, last| {
        let joined = next.0 <= last.1.saturating_add(1);
        if joined {
            last.1 = last.1.max(next.1);
        }
        joined
    });
    ranges
}

/// The wire form: `1:3,5,7:*`.
impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (start, end) in &self.closed {
            if start == end {
                write!(f, "{comma}{start}")?;
            } else {
                write!(f, "{comma}{start}:{end}")?;
            }
            comma = ",";
        }
        match self.open {
            None => Ok(()),
            Some(NonZeroU32::MAX) => write!(f, "{comma}*"),
            Some(start) => write!(f, "{comma}{start}:*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(n: u32) -> SequenceNumber {
        NonZeroU32::new(n).map_or(SequenceNumber::Largest, SequenceNumber::Number)
    }

    /// 0 is `*`.
    fn set(ranges: &[(u32, u32)]) -> Option<SequenceSet> {
        SequenceSet::new(ranges.iter().map(|(a, b)| (end(*a), end(*b))))
    }

    #[test]
    fn normalised() {
        let check = |ranges: &[(u32, u32)], expected: &str| {
            assert_eq!(set(ranges).map(|set| set.to_string()).unwrap_or_default(), expected, "{ranges:?}");
        };
        check(&[], "");
        check(&[(5, 1)], "1:5");
        check(&[(1, 1), (2, 2), (4, 4)], "1:2,4");
        check(&[(10, 20), (1, 5), (4, 9)], "1:20");
        check(&[(0, 0)], "*");
        check(&[(0, 4), (9, 0)], "4:*");
        check(&[(1, 2), (3, 0)], "1:*");
        check(&[(1, 2), (4, 0)], "1:2,4:*");
        check(&[(1, 20), (4, 0)], "1:*");
        check(&[(4_294_967_295, 4_294_967_295), (1, 1)], "1,4294967295");
        check(&[(4_294_967_295, 4_294_967_295), (0, 0)], "*");
    }

    #[test]
    fn the_star_is_the_largest_number() {
        let ranges = |set_of: &[(u32, u32)], largest| {
            set(set_of)
                .unwrap()
                .ranges(largest)
                .map(|range| (*range.start(), *range.end()))
                .collect::<Vec<_>>()
        };
        assert_eq!(ranges(&[(0, 0)], 7), [(7, 7)]);
        assert_eq!(ranges(&[(3, 0)], 7), [(3, 7)]);
        assert_eq!(ranges(&[(9, 0)], 7), [(7, 7)]); // RFC 3501 §6.4.8: 9:* names the last message
        assert_eq!(ranges(&[(9, 0)], 0), []);
        assert_eq!(ranges(&[(1, 2), (9, 0)], 7), [(1, 2), (7, 7)]);
        assert_eq!(ranges(&[(1, 8), (10, 0)], 7), [(1, 6), (7, 7)]);
        assert_eq!(ranges(&[(1, 2)], 0), [(1, 2)]);
        assert_eq!(set(&[(1, 2), (9, 9), (20, 0)]).unwrap().largest_number(), Some(9));
    }

    #[test]
    fn from_numbers() {
        let shown =
            |numbers: &[u32]| SequenceSet::from_numbers(numbers.iter().copied()).map(|set| set.to_string());
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&[0]), None);
        assert_eq!(shown(&[1, 2, 3, 7, 9, 8]).as_deref(), Some("1:3,7:9"));
    }

    proptest! {
        #[test]
        fn as_the_plain_definition_says(
            written in prop::collection::vec((0u32..12, 0u32..12), 1..6), largest in 0u32..14,
        ) {
            let set = set(&written).unwrap();
            let named = |number: u32| written.iter().any(|(a, b)| {
                let star = *a == 0 || *b == 0;
                let value = |n: u32| if n == 0 { largest } else { n };
                let (low, high) = (value(*a).min(value(*b)), value(*a).max(value(*b)));
                // Behind the largest number nothing is in use.
                number > 0 && (low..=high).contains(&number) && (!star || (largest > 0 && number <= largest))
            });
            for number in 1..=largest {
                prop_assert_eq!(set.contains(number, largest), named(number), "{} of {}", number, set);
            }
            let mut last = 0;
            for range in set.ranges(largest) {
                prop_assert!(*range.start() > last && range.start() <= range.end());
                last = *range.end();
            }
            for number in 1..=largest {
                prop_assert_eq!(set.ranges(largest).any(|range| range.contains(&number)), named(number));
            }
        }
    }
}
