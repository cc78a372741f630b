//! The identity of a message inside Sluice: a ULID.
//!
//! ```text
//!  01AN4Z07BY      79KA1307SR9X4MV3
//! |----------|    |----------------|
//!  milliseconds      randomness
//!     48 bits          80 bits          Crockford base 32, 26 characters
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;

/// Made by the gateway at the end of DATA; found again in the 250 reply, the `Received` field, the
/// queue, the Maildir file's name and every log line. It is also the key of idempotent delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u128);

/// Why a text is not a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message id is 26 characters of Crockford base 32, such as 01AN4Z07BY79KA1307SR9X4MV3")]
pub struct MessageIdError;

impl MessageId {
    /// Makes an id from a time (milliseconds since 1970; the low 48 bits count) and 80 random bits.
    pub const fn new(unix_milliseconds: u64, random: [u8; 10]) -> Self {
        let mut value = (unix_milliseconds & 0xffff_ffff_ffff) as u128;
        let mut index = 0;
        while index < 10 {
            #[allow(clippy::indexing_slicing, reason = "const fn; the index is below the array's length")]
            let byte = random[index];
            value = (value << 8) | byte as u128;
            index += 1;
        }
        Self(value)
    }

    /// When the id was made, in milliseconds since 1970.
    pub const fn unix_milliseconds(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The 16 bytes of the id, most significant first.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id whose bytes these are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for index in 0..LENGTH {
            let shift = (LENGTH - 1 - index) * 5;
            let digit = (self.0 >> shift) as usize & 31;
            f.write_char(ALPHABET.get(digit).map_or('0', |byte| char::from(*byte)))?;
        }
        Ok(())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    /// Takes upper and lower case. The first character is at most `7`, since 26 digits hold 130 bits.
    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        let bytes = text.as_bytes();
        if bytes.len() != LENGTH || bytes.first().is_none_or(|first| *first > b'7') {
            return Err(MessageIdError);
        }
        bytes
            .iter()
            .try_fold(0u128, |value, byte| {
                let upper = byte.to_ascii_uppercase();
                let digit = ALPHABET.iter().position(|letter| *letter == upper).ok_or(MessageIdError)?;
                Ok((value << 5) | digit as u128)
            })
            .map(Self)
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_as_the_ulid_specification_does() {
        let id: MessageId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        assert_eq!(id.unix_milliseconds(), 1_469_922_850_259);
        assert_eq!(id.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!("01arz3ndektsv4rrffq69g5fav".parse(), Ok(id));
    }

    #[test]
    fn refuses_what_is_no_ulid() {
        for text in [
            "",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "01ARZ3NDEKTSV4RRFFQ69G5FAé",
        ] {
            assert_eq!(text.parse::<MessageId>(), Err(MessageIdError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(time in 0u64..(1 << 48), random: [u8; 10]) {
            let id = MessageId::new(time, random);
            prop_assert_eq!(id.to_string().parse::<MessageId>().unwrap(), id);
            prop_assert_eq!(MessageId::from_bytes(id.to_bytes()), id);
            prop_assert_eq!(id.unix_milliseconds(), time);
        }
    }
}
