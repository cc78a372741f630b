//! One message as the broker carries it.
//!
//! ```text
//!  0      4             8         12
//!  | SLQ1 | JSON octets | CRC32C  | Meta as JSON | the message's octets, unless they are in the spool |
//! ```
//! Little-endian; the checksum covers the JSON and the octets. All is in the body, since an AMQP header must fit into one frame and an
//! envelope with a thousand recipients need not. What operators see in the broker's own tools: `message_id` is our id, `type` is `sluice`.

use bytes::Bytes;
use envelope::{Envelope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Lane;

const MAGIC: &[u8; 4] = b"SLQ1";
const HEADER: usize = 12;

/// What is known of a message besides its octets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) envelope: Envelope,
    /// Where it is worked, or goes back to from where it waits.
    pub(super) lane: Lane,
    /// Tries so far.
    #[serde(default)]
    pub(super) attempts: u32,
    /// When it is due, by the clock of whoever put it there.
    pub(super) due: Timestamp,
    /// Milliseconds that are left of its wait when it comes out of the queue that it is in; none: it is due then. Who takes it goes by this
    /// and not by `due`: the machines' clocks need not agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<u64>,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) error: String,
    /// The octets' file, when they are too many for the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) spooled: Option<Spooled>,
}

/// A file in the shared spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spooled {
    /// Its name in the directory.
    pub(super) name: String,
    pub(super) size: u64,
    /// CRC32C.
    pub(super) crc: u32,
}

/// What is in the queue and is no message of ours, or not any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damaged {
    #[error("it is not in the format of this program")]
    Format,
    #[error("the checksum is another")]
    Checksum,
    #[error("its description can't be read")]
    Meta(#[source] serde_json::Error),
}

/// The payload for the broker.
pub(super) fn encode(meta: &Meta, octets: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(meta)?;
    let mut payload = Vec::with_capacity(HEADER + json.len() + octets.len());
    payload.extend_from_slice(MAGIC);
    payload.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&json), octets);
    payload.extend_from_slice(&crc.to_le_bytes());
    payload.extend_from_slice(&json);
    payload.extend_from_slice(octets);
    Ok(payload)
}

/// Takes a payload apart; the octets are not copied.
pub(super) fn decode(payload: Vec<u8>) -> Result<(Meta, Bytes), Damaged> {
    let payload = Bytes::from(payload);
    let (magic, rest) = payload.split_first_chunk::<4>().ok_or(Damaged::Format)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Damaged::Format)?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or(Damaged::Format)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Damaged::Format)?;
    if magic != MAGIC || length > rest.len() {
        return Err(Damaged::Format);
    }
    if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) {
        return Err(Damaged::Checksum);
    }
    let meta = serde_json::from_slice(rest.get(..length).unwrap_or_default()).map_err(Damaged::Meta)?;
    Ok((meta, payload.slice(HEADER + length..)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::suite;

    fn meta() -> Meta {
        let spooled = Some(Spooled { name: "x.body".to_owned(), size: 3, crc: 4 });
        let due = Timestamp::from_unix_milliseconds(7);
        Meta {
            envelope: suite::envelope(1, 5),
            lane: Lane::Remote,
            attempts: 2,
            due,
            left: Some(500),
            error: "busy".to_owned(),
            spooled,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_encoded_is_decoded(octets: Vec<u8>) {
            let (read, body) = decode(encode(&meta(), &octets).unwrap()).unwrap();
            prop_assert_eq!(read, meta());
            prop_assert_eq!(&body[..], &octets[..]);
        }

        #[test]
        fn any_octets_are_decoded_or_refused(octets: Vec<u8>) {
            let _ = decode(octets.clone());
            let _ = decode([&b"SLQ1"[..], &octets].concat());
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let payload = encode(&meta(), b"octets").unwrap();
        for position in 0..payload.len() {
            let mut damaged = payload.clone();
            damaged[position] ^= 1;
            assert!(decode(damaged).is_err(), "octet {position}");
            assert!(decode(payload[..position].to_vec()).is_err(), "cut at {position}");
        }
    }
}
