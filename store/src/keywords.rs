//! `sluice.keywords`: which letter of a file name stands for which keyword.
//!
//! One line a keyword, `<number> <name>`, number 0 for `a`, as in Dovecot's `dovecot-keywords`. It is truth and not
//! a cache: the file is synced before the first file name uses a new letter.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::At as _;
use crate::flags::{FlagBits, KEYWORDS_MAX};
use crate::fs::{self, Fs};
use crate::{Flags, StoreError};

pub(crate) const FILE: &str = "sluice.keywords";
/// The longest keyword in octets.
const NAME_MAX: usize = 250;

/// Names by letter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Keywords(pub(crate) Vec<Option<String>>);

impl Keywords {
    pub(crate) fn load(fs: &dyn Fs, directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let text = fs::read_optional(fs, &path).at("read", &path)?.unwrap_or_default();
        Ok(Self::parse(&text))
    }

    /// Lines that make no sense are passed over: the letters stay in the file names.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        for line in String::from_utf8_lossy(text).lines() {
            let Some((number, name)) = line.split_once(' ') else { continue };
            if let Ok(index) = number.parse::<usize>()
                && index < KEYWORDS_MAX
                && is_valid(name)
                && table.position(name).is_none()
            {
                table.set(index, name);
            }
        }
        table
    }

    pub(crate) fn save(&self, fs: &dyn Fs, directory: &Path) -> Result<(), StoreError> {
        let text = self.print();
        fs::replace(fs, directory, FILE, text.as_bytes()).at("replace", &directory.join(FILE))
    }

    /// Nothing when there are none.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        for (index, name) in self.0.iter().enumerate() {
            if let Some(name) = name {
                let _ = writeln!(text, "{index} {name}");
            }
        }
        text
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name)))
    }

    fn set(&mut self, index: usize, name: &str) {
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        if let Some(slot) = self.0.get_mut(index) {
            *slot = Some(name.to_owned());
        }
    }

    /// The bits of `flags` as far as their keywords have letters.
    pub(crate) fn known_bits(&self, flags: &Flags) -> FlagBits {
        let known = flags.keywords.iter().filter_map(|name| self.position(name));
        known.fold(FlagBits::system(flags), |bits, index| bits.with(FlagBits::keyword(index)))
    }

    /// A table with a letter for each keyword of `flags`, or `None` when this one has them all. When all letters are
    /// taken, those outside of `used` are given anew.
    pub(crate) fn extended(
        &self,
        flags: &Flags,
        used: impl Fn() -> FlagBits,
    ) -> Result<Option<Self>, StoreError> {
        let missing: Vec<_> = flags.keywords.iter().filter(|name| self.position(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let mut table = self.clone();
        let free =
            |table: &Self| (0..KEYWORDS_MAX).find(|index| table.0.get(*index).is_none_or(Option::is_none));
        for name in missing {
            if !is_valid(name) {
                return Err(StoreError::Limit("keyword length or characters"));
            }
            if free(&table).is_none() {
                let used = used().with(self.known_bits(flags)).with(table.known_bits(flags));
                for (index, slot) in table.0.iter_mut().enumerate() {
                    if !used.contains(FlagBits::keyword(index)) {
                        *slot = None;
                    }
                }
            }
            let index = free(&table).ok_or(StoreError::Limit("keywords in one mailbox"))?;
            table.set(index, name);
        }
        Ok(Some(table))
    }
}

fn is_valid(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX && !name.chars().any(|c| c.is_control() || c == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(names: &[&str]) -> Flags {
        Flags { keywords: names.iter().map(|name| (*name).to_owned()).collect(), ..Flags::default() }
    }

    #[test]
    fn letters_are_given_once_and_found_without_regard_to_case() {
        let table =
            Keywords::default().extended(&flags(&["$Junk", "b"]), FlagBits::default).unwrap().unwrap();
        assert_eq!(table.known_bits(&flags(&["$JUNK"])).letters(), "a");
        assert_eq!(table.extended(&flags(&["B"]), FlagBits::default).unwrap(), None);
    }

    #[test]
    fn unused_letters_are_given_anew_and_used_ones_never() {
        let names: Vec<String> = (0..26).map(|number| format!("k{number:02}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let table = Keywords::default().extended(&flags(&all), FlagBits::default).unwrap().unwrap();
        assert!(table.extended(&flags(&["new"]), || FlagBits::ALL).is_err());
        let used = FlagBits::ALL.without(FlagBits::keyword(7));
        let table = table.extended(&flags(&["new"]), || used).unwrap().unwrap();
        assert_eq!(table.known_bits(&flags(&["new"])).letters(), "h");
    }
}
