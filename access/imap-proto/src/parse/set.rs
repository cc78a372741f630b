//! Sequence sets.

use std::num::NonZeroU32;

use super::{Cursor, Parsed};
use crate::{MessageSet, ParseError, SequenceNumber, SequenceSet};

impl Cursor<'_> {
    /// ```abnf
    /// sequence-set = (seq-number / seq-range) *("," (seq-number / seq-range)) / "$"   ; RFC 3501 §9, RFC 5182 §3
    /// seq-range    = seq-number ":" seq-number
    /// ```
    pub(super) fn message_set(&mut self) -> Parsed<MessageSet> {
        if self.eat(b'$') {
            return Ok(MessageSet::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            self.ranges += 1;
            if self.ranges > self.limits.ranges_max {
                return Err(ParseError::TooMany("ranges"));
            }
            let start = self.sequence_number()?;
            let end = if self.eat(b':') { self.sequence_number()? } else { start };
            ranges.push((start, end));
            if !self.eat(b',') {
                break;
            }
        }
        SequenceSet::new(ranges).map(MessageSet::Numbers).ok_or(ParseError::Expected("a sequence set"))
    }

    /// ```abnf
    /// seq-number = nz-number / "*"
    /// ```
    fn sequence_number(&mut self) -> Parsed<SequenceNumber> {
        if self.eat(b'*') {
            return Ok(SequenceNumber::Largest);
        }
        if !self.peek().is_some_and(|octet| octet.is_ascii_digit()) {
            return Err(ParseError::Expected("a sequence set"));
        }
        NonZeroU32::new(self.number()?).map(SequenceNumber::Number).ok_or(ParseError::Number)
    }
}
