//! `sluice.uidvalidity`: the mailbox's incarnation and which numbers may have been given.
//!
//! One line, `sluice-uidvalidity 1 <uidvalidity> <uids below> <mod-sequences below> <crc32c>`. It is truth and not a
//! cache: numbers are reserved here in blocks, synced, before they are used. When index or journal are lost,
//! allocation goes on behind the reserved block, so that a number that a client may have seen never means another
//! message.

use std::path::Path;

use crate::StoreError;
use crate::error::At as _;
use crate::fs::{self, Fs, Syncs};

pub(crate) const FILE: &str = "sluice.uidvalidity";
/// How many numbers are reserved at once: one sync a block instead of one a message.
pub(crate) const BLOCK: u32 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) uid_validity: u32,
    /// UIDs from here on were never given.
    pub(crate) uid_end: u32,
    /// Mod-sequences from here on were never given.
    pub(crate) mod_seq_end: u64,
}

impl Reservation {
    pub(crate) const fn fresh(uid_validity: u32) -> Self {
        Self { uid_validity, uid_end: 1, mod_seq_end: 2 }
    }

    /// `None` when the file is missing or unreadable.
    pub(crate) fn load(fs: &dyn Fs, directory: &Path) -> Result<Option<Self>, StoreError> {
        let path = directory.join(FILE);
        let bytes = fs::read_optional(fs, &path).at("read", &path)?;
        Ok(bytes.as_deref().and_then(Self::parse))
    }

    pub(crate) fn save(&self, fs: &dyn Fs, directory: &Path) -> Result<(), StoreError> {
        self.save_with(fs, directory, Syncs::Each)
    }

    pub(crate) fn save_with(&self, fs: &dyn Fs, directory: &Path, syncs: Syncs) -> Result<(), StoreError> {
        fs::replace_with(fs, directory, (FILE, self.print().as_bytes()), syncs)
            .at("replace", &directory.join(FILE))
    }

    fn print(&self) -> String {
        let text =
            format!("sluice-uidvalidity 1 {} {} {}", self.uid_validity, self.uid_end, self.mod_seq_end);
        format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let (content, checksum) = text.rsplit_once(' ')?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(content.as_bytes()) {
            return None;
        }
        let mut words = content.strip_prefix("sluice-uidvalidity 1 ")?.split(' ');
        let uid_validity = words.next()?.parse().ok()?;
        Some(Self {
            uid_validity,
            uid_end: words.next()?.parse().ok()?,
            mod_seq_end: words.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_finds_damage() {
        let reservation = Reservation { uid_validity: 1_700_000_000, uid_end: 1_001, mod_seq_end: 5_001 };
        let text = reservation.print();
        assert_eq!(Reservation::parse(text.as_bytes()), Some(reservation));
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            assert_ne!(Reservation::parse(&bytes), Some(reservation), "bit flip at {index}");
            assert_eq!(Reservation::parse(&text.as_bytes()[..index]), None);
        }
    }
}
