//! One record of a log.
//!
//! ```text
//!  0        8     12     16   17   18   20        24   40         48
//!  | salt   | crc | size |kind|lane| 0  | envelope | id | body     | envelope (JSON) | body | pad to 8 |
//!  |        |     |      |    |    |    | octets   |    | octets   |                 |      |          |
//! ```
//! Little-endian. `size` counts header, envelope and body, not the padding. The CRC32C covers all behind
//! itself. The salt is a random number of the segment: it makes a record findable behind a damaged one,
//! and it cannot be forged by the text of a message.

use envelope::MessageId;

use crate::Lane;

/// Octets before the envelope.
pub(super) const HEADER: usize = 48;

/// Octets in the place of a body that is in a file: its CRC32C and the file's name.
const REFERENCE: usize = 20;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message, body included.
    Inline,
    /// A message with its body in a file of its own.
    Spooled,
    /// All before this in the segment is on disk; written behind each sync, for readers in other processes.
    Commit,
    /// Of the consumer: these messages have left; the body is a list of ids.
    Done,
    /// Of the consumer: the message waits; the envelope is a `Waiting` as JSON.
    Waiting,
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) lane: Lane,
    pub(super) id: MessageId,
    /// Octets of the JSON.
    pub(super) envelope: u32,
    /// Octets of the message's body, wherever it is.
    pub(super) body: u64,
    /// Octets of the record without padding.
    pub(super) size: u32,
}

/// What is found at a position of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole record.
    Record(Header),
    /// More octets are needed: this many from the record's start.
    Short(usize),
    /// Nothing was written here.
    Blank,
    /// Something else. The size is what the header claims, when the salt fits.
    Bad(Option<u32>),
}

/// Octets from one record's start to the next.
pub(super) const fn padded(size: u32) -> u64 {
    (size as u64).next_multiple_of(8)
}

/// Appends a record with a blank salt to `to`; `None` when it is larger than a record may be.
pub(super) fn encode(
    kind: Kind,
    lane: Lane,
    id: MessageId,
    envelope: &[u8],
    body: Payload<'_>,
) -> Option<Vec<u8>> {
    let reference;
    let (inline, body_size) = match body {
        Payload::Here(octets) => (octets, octets.len() as u64),
        Payload::Elsewhere { size, crc, name } => {
            reference = [&crc.to_le_bytes()[..], &name.to_le_bytes()[..]].concat();
            (&reference[..], size)
        }
    };
    let size =
        u32::try_from(HEADER + envelope.len() + inline.len()).ok().filter(|size| *size < u32::MAX - 8)?;
    let mut record = Vec::with_capacity(padded(size) as usize);
    record.extend_from_slice(&[0; 12]);
    record.extend_from_slice(&size.to_le_bytes());
    record.extend_from_slice(&[kind.code(), lane_code(lane), 0, 0]);
    record.extend_from_slice(&(envelope.len() as u32).to_le_bytes());
    record.extend_from_slice(&id.to_bytes());
    record.extend_from_slice(&body_size.to_le_bytes());
    record.extend_from_slice(envelope);
    record.extend_from_slice(inline);
    let crc = crc32c::crc32c(record.get(12..)?).to_le_bytes();
    record.get_mut(8..12)?.copy_from_slice(&crc);
    record.resize(padded(size) as usize, 0);
    Some(record)
}

/// Where the body of an encoded message goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Payload<'a> {
    /// Into the record.
    Here(&'a [u8]),
    /// It is in a file; its size, CRC32C and name are recorded.
    Elsewhere {
        /// Octets in the file.
        size: u64,
        /// Over all of them.
        crc: u32,
        /// Part of the file's name, so that two publications of one message have two files.
        name: u128,
    },
}

/// Reads what is at the start of `octets`.
pub(super) fn parse(octets: &[u8], salt: u64) -> Found {
    let Some((header, rest)) = octets.split_first_chunk::<HEADER>() else { return Found::Short(HEADER) };
    if header.iter().all(|octet| *octet == 0) {
        return Found::Blank;
    }
    let Some(fields) = Fields::read(header) else { return Found::Bad(None) };
    if fields.salt != salt || (fields.size as usize) < HEADER {
        return Found::Bad(None);
    }
    let Some(payload) = rest.get(..fields.size as usize - HEADER) else {
        return Found::Short(fields.size as usize);
    };
    let crc = crc32c::crc32c_append(crc32c::crc32c(header.get(12..).unwrap_or_default()), payload);
    match fields.header() {
        Some(header) if crc == fields.crc && header.fits() => Found::Record(header),
        _ => Found::Bad(Some(fields.size)),
    }
}

struct Fields {
    salt: u64,
    crc: u32,
    size: u32,
    kind: u8,
    lane: u8,
    envelope: u32,
    id: [u8; 16],
    body: u64,
}

impl Fields {
    fn read(header: &[u8; HEADER]) -> Option<Self> {
        let (salt, rest) = header.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let ([kind, lane, _, _], rest) = rest.split_first_chunk()?;
        let (envelope, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (body, _) = rest.split_first_chunk()?;
        Some(Self {
            salt: u64::from_le_bytes(*salt),
            crc: u32::from_le_bytes(*crc),
            size: u32::from_le_bytes(*size),
            kind: *kind,
            lane: *lane,
            envelope: u32::from_le_bytes(*envelope),
            id: *id,
            body: u64::from_le_bytes(*body),
        })
    }

    fn header(&self) -> Option<Header> {
        Some(Header {
            kind: Kind::from_code(self.kind)?,
            lane: lane_from_code(self.lane)?,
            id: MessageId::from_bytes(self.id),
            envelope: self.envelope,
            body: self.body,
            size: self.size,
        })
    }
}

impl Header {
    fn fits(&self) -> bool {
        let inline = if self.kind == Kind::Spooled { REFERENCE as u64 } else { self.body };
        (HEADER as u64 + u64::from(self.envelope)).checked_add(inline) == Some(u64::from(self.size))
    }

    /// Where the JSON is in the record.
    pub(super) const fn envelope_range(&self) -> std::ops::Range<usize> {
        HEADER..HEADER + self.envelope as usize
    }

    /// CRC32C and name of the body's file, in a whole record.
    pub(super) fn reference(&self, record: &[u8]) -> Option<(u32, u128)> {
        let (crc, rest) = record.get(self.body_range())?.split_first_chunk()?;
        let (name, _) = rest.split_first_chunk()?;
        (self.kind == Kind::Spooled).then(|| (u32::from_le_bytes(*crc), u128::from_le_bytes(*name)))
    }

    /// Where the body is in the record.
    pub(super) const fn body_range(&self) -> std::ops::Range<usize> {
        HEADER + self.envelope as usize..self.size as usize
    }
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Inline => 1,
            Self::Spooled => 2,
            Self::Commit => 3,
            Self::Done => 4,
            Self::Waiting => 5,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Inline,
            2 => Self::Spooled,
            3 => Self::Commit,
            4 => Self::Done,
            5 => Self::Waiting,
            _ => return None,
        })
    }
}

const fn lane_code(lane: Lane) -> u8 {
    match lane {
        Lane::Local => 1,
        Lane::Remote => 2,
        Lane::Quarantine => 3,
        Lane::Dead => 4,
    }
}

const fn lane_from_code(code: u8) -> Option<Lane> {
    Some(match code {
        1 => Lane::Local,
        2 => Lane::Remote,
        3 => Lane::Quarantine,
        4 => Lane::Dead,
        _ => return None,
    })
}

/// Records to be written with one write and one sync.
#[derive(Debug, Default)]
pub(super) struct Batch {
    octets: Vec<u8>,
    starts: Vec<usize>,
}

impl Batch {
    /// Adds an encoded record; returns where it begins in the batch.
    pub(super) fn push(&mut self, record: &[u8]) -> u64 {
        let start = self.octets.len();
        self.starts.push(start);
        self.octets.extend_from_slice(record);
        start as u64
    }

    /// Adds a record if there is one.
    pub(super) fn extend(&mut self, record: Option<Vec<u8>>) {
        record.iter().for_each(|record| {
            self.push(record);
        });
    }

    pub(super) const fn size(&self) -> u64 {
        self.octets.len() as u64
    }

    /// The octets with the salt of the segment that takes them.
    pub(super) fn stamp(&mut self, salt: u64) -> &[u8] {
        for start in &self.starts {
            if let Some(place) = self.octets.get_mut(*start..*start + 8) {
                place.copy_from_slice(&salt.to_le_bytes());
            }
        }
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamped(salt: u64, record: &[u8]) -> Vec<u8> {
        let mut batch = Batch::default();
        batch.push(record);
        batch.stamp(salt).to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn reads_what_was_written(salt in 1u64.., id: [u8; 16], json: Vec<u8>, body: Vec<u8>, spooled: bool) {
            let id = MessageId::from_bytes(id);
            let (kind, payload) = if spooled {
                (Kind::Spooled, Payload::Elsewhere { size: body.len() as u64, crc: 5, name: 6 })
            } else {
                (Kind::Inline, Payload::Here(&body))
            };
            let octets = stamped(salt, &encode(kind, Lane::Remote, id, &json, payload).unwrap());
            let Found::Record(header) = parse(&octets, salt) else { panic!("{:?}", parse(&octets, salt)) };
            prop_assert_eq!((header.kind, header.lane, header.id), (kind, Lane::Remote, id));
            prop_assert_eq!(&octets[header.envelope_range()], &json[..]);
            prop_assert_eq!(header.body, body.len() as u64);
            prop_assert_eq!(header.reference(&octets), spooled.then_some((5, 6)));
            if !spooled {
                prop_assert_eq!(&octets[header.body_range()], &body[..]);
            }
            prop_assert_eq!(octets.len() as u64, padded(header.size));
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let record = encode(
            Kind::Inline,
            Lane::Local,
            MessageId::from_bytes([7; 16]),
            b"{}",
            Payload::Here(b"octets"),
        );
        let octets = stamped(99, &record.unwrap());
        let size = HEADER + 8;
        for position in 0..size {
            for bit in 0..8 {
                let mut damaged = octets.clone();
                damaged[position] ^= 1 << bit;
                assert!(!matches!(parse(&damaged, 99), Found::Record(_)), "octet {position} bit {bit}");
            }
        }
        for cut in 0..size {
            assert!(matches!(parse(&octets[..cut], 99), Found::Short(_)), "cut at {cut}");
            let mut torn = octets[..cut].to_vec();
            torn.resize(octets.len(), 0);
            let found = parse(&torn, 99);
            // The last octet of this body is not zero, so that no torn record is whole by chance.
            assert!(matches!(found, Found::Bad(_) | Found::Blank), "torn at {cut}: {found:?}");
        }
        assert_eq!(parse(&octets, 98), Found::Bad(None));
        assert_eq!(parse(&[0; HEADER], 99), Found::Blank);
    }
}
