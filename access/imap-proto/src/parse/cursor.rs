//! A place in a frame, and what may still be spent on it.

use super::Parsed;
use crate::{ParseError, ParseLimits, chars};

/// Reads the text of a frame from left to right, taking a literal wherever one is announced.
pub(super) struct Cursor<'f> {
    text: &'f [u8],
    at: usize,
    literals: std::vec::IntoIter<Vec<u8>>,
    pub(super) limits: &'f ParseLimits,
    /// Ranges of sequence sets so far, of [`ParseLimits::ranges_max`].
    pub(super) ranges: usize,
}

impl<'f> Cursor<'f> {
    pub(super) fn new(text: &'f [u8], literals: Vec<Vec<u8>>, limits: &'f ParseLimits) -> Self {
        Self { text, at: 0, literals: literals.into_iter(), limits, ranges: 0 }
    }

    /// The next octet. None at the end of the command.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// What is left of the text.
    pub(super) fn rest(&self) -> &'f [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes that octet if it is next.
    pub(super) fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes that text if it is next, in any case.
    pub(super) fn eat_text(&mut self, text: &[u8]) -> bool {
        let found = self.rest().get(..text.len()).is_some_and(|next| next.eq_ignore_ascii_case(text));
        if found {
            self.at += text.len();
        }
        found
    }

    pub(super) fn expect(&mut self, octet: u8, name: &'static str) -> Parsed<()> {
        if self.eat(octet) { Ok(()) } else { Err(ParseError::Expected(name)) }
    }

    pub(super) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space")
    }

    /// Takes octets while they belong to a class.
    pub(super) fn take_while(&mut self, class: impl Fn(u8) -> bool) -> &'f [u8] {
        let rest = self.rest();
        let count = rest.iter().position(|octet| !class(*octet)).unwrap_or(rest.len());
        self.at += count;
        rest.get(..count).unwrap_or_default()
    }

    /// Takes `count` octets, at most what there is.
    pub(super) fn take(&mut self, count: usize) -> &'f [u8] {
        let rest = self.rest();
        let taken = rest.get(..count).unwrap_or(rest);
        self.at += taken.len();
        taken
    }

    /// The octets of the literal whose announcement has just been read.
    pub(super) fn next_literal(&mut self) -> Parsed<Vec<u8>> {
        self.literals.next().ok_or(ParseError::Expected("a literal"))
    }

    /// ```abnf
    /// atom = 1*ATOM-CHAR                         ; RFC 3501 §9
    /// ```
    pub(super) fn atom(&mut self, name: &'static str) -> Parsed<&'f [u8]> {
        let word = self.take_while(chars::is_atom_char);
        if word.is_empty() { Err(ParseError::Expected(name)) } else { Ok(word) }
    }

    /// Digits as a number of 64 bits.
    ///
    /// ```abnf
    /// number   = 1*DIGIT                         ; RFC 3501 §9
    /// number64 = 1*DIGIT                         ; RFC 9051 §9: below 2^63
    /// ```
    pub(super) fn number64(&mut self) -> Parsed<u64> {
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        if digits.is_empty() {
            return Err(ParseError::Expected("a number"));
        }
        let mut value = 0u64;
        for digit in digits {
            let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
            value = next.ok_or(ParseError::Number)?;
        }
        if value > i64::MAX as u64 { Err(ParseError::Number) } else { Ok(value) }
    }

    /// Digits as a number of 32 bits.
    pub(super) fn number(&mut self) -> Parsed<u32> {
        u32::try_from(self.number64()?).map_err(|_| ParseError::Number)
    }

    /// `"(" [item *(SP item)] ")"`, at most [`ParseLimits::list_max`] items.
    pub(super) fn parenthesised(
        &mut self,
        name: &'static str,
        mut item: impl FnMut(&mut Self) -> Parsed<()>,
    ) -> Parsed<()> {
        self.expect(b'(', "a parenthesis")?;
        if self.eat(b')') {
            return Ok(());
        }
        let mut count = 0;
        loop {
            self.check_list(count, name)?;
            count += 1;
            item(self)?;
            if self.eat(b')') {
                return Ok(());
            }
            self.space()?;
        }
    }

    /// Whether a list of `count` members may have one more.
    pub(super) fn check_list(&self, count: usize, name: &'static str) -> Parsed<()> {
        if count >= self.limits.list_max { Err(ParseError::TooMany(name)) } else { Ok(()) }
    }

    /// Quirk `trailing-space`: takes spaces if nothing else follows.
    pub(super) fn skip_trailing_spaces(&mut self) {
        if self.rest().iter().all(|octet| *octet == b' ') {
            self.at = self.text.len();
        }
    }

    /// The end of the command.
    pub(super) fn end(&mut self) -> Parsed<()> {
        self.skip_trailing_spaces();
        if self.peek().is_some() || self.literals.len() > 0 { Err(ParseError::Trailing) } else { Ok(()) }
    }
}
