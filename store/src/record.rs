//! What the journal says: one record is one change of the mailbox, made of operations that apply together.
//!
//! ```text
//! file    "SLUICEJ1" generation:u64 uid_validity:u32 crc32c:u32        24 octets
//! record  length:u32 crc32c:u32 body                                   crc over generation, length and body
//! body    operation*                                                   a tag octet and fields, see `Op`
//! ```
//!
//! Applying a record twice gives the same as once.

use envelope::Timestamp;

use crate::codec::{Reader, Writer};
use crate::file_name::Base;
use crate::flags::FlagBits;
use crate::items::{Place, Position};

/// Everything about a new message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) uid: u32,
    pub(crate) mod_seq: u64,
    pub(crate) base: Base,
    pub(crate) internal_date: Timestamp,
    pub(crate) size: u64,
    pub(crate) disk_size: u64,
    pub(crate) bits: FlagBits,
    pub(crate) place: Place,
    pub(crate) cached: Option<Position>,
}

/// One operation. UIDs are ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// A message came; its file has its final name.
    Added(Added),
    /// Flags changed to `(bits - remove) + add`; the files' names follow later (see `Named`).
    Flags { mod_seq: u64, add: FlagBits, remove: FlagBits, uids: Vec<u32> },
    /// Messages are gone for clients; their files go later (see `Removed`).
    Expunged { mod_seq: u64, at: Timestamp, uids: Vec<u32> },
    /// The files' names now show these flags, in that directory.
    Named { place: Place, bits: FlagBits, uids: Vec<u32> },
    /// The files of expunged messages are gone.
    Removed { uids: Vec<u32> },
    /// UIDs below are no longer recent.
    Recent { below: u32 },
    /// Summaries were written to the cache file.
    Cached { positions: Vec<(u32, Position)> },
    /// Modification times of `new/` and `cur/` after our own last change; zero while a change is under way.
    Directories { new: i128, cur: i128 },
    /// UIDs below were given, or may have been.
    Counters { uid_next: u32, mod_seq: u64 },
    /// The keyword table as of now (a copy; the truth is its own file).
    Keywords(Vec<Option<String>>),
    /// A delivery failed after its record was written: its id may come again.
    Forgotten { id: [u8; 16] },
    /// A record of a later version that may be passed over.
    Unknown,
}

impl Op {
    /// Whether what it says would be lost with it. A delivery is found again by its file's name in `new/`; so are places in
    /// the cache and times of directories, or they don't matter. After a power cut a message may be `\Recent` once more (RFC 3501
    /// §2.3.2: where that can't be told, it should be).
    pub(crate) fn must_be_synced(&self) -> bool {
        match self {
            Self::Added(added) => added.place == Place::Cur,
            Self::Cached { .. } | Self::Directories { .. } | Self::Recent { .. } => false,
            _ => true,
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Added(added) => {
                writer.u8(1);
                added.encode(writer);
            }
            Self::Flags { mod_seq, add, remove, uids } => {
                writer.u8(2);
                writer.var(*mod_seq);
                writer.var(add.0);
                writer.var(remove.0);
                encode_uids(writer, uids);
            }
            Self::Expunged { mod_seq, at, uids } => {
                writer.u8(3);
                writer.var(*mod_seq);
                writer.var(at.unix_milliseconds());
                encode_uids(writer, uids);
            }
            Self::Named { place, bits, uids } => {
                writer.u8(4);
                writer.u8(u8::from(*place == Place::Cur));
                writer.var(bits.0);
                encode_uids(writer, uids);
            }
            Self::Removed { uids } => {
                writer.u8(5);
                encode_uids(writer, uids);
            }
            Self::Recent { below } => {
                writer.u8(6);
                writer.var(u64::from(*below));
            }
            Self::Cached { positions } => {
                writer.u8(7);
                writer.len(positions.len());
                for (uid, position) in positions {
                    writer.var(u64::from(*uid));
                    encode_position(writer, *position);
                }
            }
            Self::Directories { new, cur } => {
                writer.u8(8);
                writer.raw(&new.to_le_bytes());
                writer.raw(&cur.to_le_bytes());
            }
            Self::Counters { uid_next, mod_seq } => {
                writer.u8(9);
                writer.var(u64::from(*uid_next));
                writer.var(*mod_seq);
            }
            Self::Keywords(table) => {
                writer.u8(10);
                encode_table(writer, table);
            }
            Self::Forgotten { id } => {
                writer.u8(11);
                writer.raw(id);
            }
            Self::Unknown => writer.u8(0),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.u8()? {
            0 => Self::Unknown,
            1 => Self::Added(Added::decode(reader)?),
            2 => Self::Flags {
                mod_seq: reader.var()?,
                add: FlagBits(reader.var()?),
                remove: FlagBits(reader.var()?),
                uids: decode_uids(reader)?,
            },
            3 => Self::Expunged {
                mod_seq: reader.var()?,
                at: Timestamp::from_unix_milliseconds(reader.var()?),
                uids: decode_uids(reader)?,
            },
            4 => Self::Named {
                place: if reader.u8()? == 0 { Place::New } else { Place::Cur },
                bits: FlagBits(reader.var()?),
                uids: decode_uids(reader)?,
            },
            5 => Self::Removed { uids: decode_uids(reader)? },
            6 => Self::Recent { below: reader.var32()? },
            7 => {
                let count = reader.len()?;
                let positions = (0..count).map(|_| Some((reader.var32()?, decode_position(reader)?)));
                Self::Cached { positions: positions.collect::<Option<_>>()? }
            }
            8 => Self::Directories {
                new: i128::from_le_bytes(reader.array()?),
                cur: i128::from_le_bytes(reader.array()?),
            },
            9 => Self::Counters { uid_next: reader.var32()?, mod_seq: reader.var()? },
            10 => Self::Keywords(decode_table(reader)?),
            11 => Self::Forgotten { id: reader.array()? },
            _ => return None,
        })
    }
}

impl Added {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.var(u64::from(self.uid));
        writer.var(self.mod_seq);
        match &self.base {
            Base::Own { seconds, id } => {
                writer.u8(0);
                writer.var(*seconds);
                writer.raw(&id.to_bytes());
            }
            Base::Foreign(text) => {
                writer.u8(1);
                writer.bytes(text.as_bytes());
            }
        }
        writer.var(self.internal_date.unix_milliseconds());
        writer.var(self.size);
        writer.var(self.disk_size);
        writer.var(self.bits.0);
        writer.u8(u8::from(self.place == Place::Cur) | u8::from(self.cached.is_some()) << 1);
        if let Some(position) = self.cached {
            encode_position(writer, position);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let uid = reader.var32()?;
        let mod_seq = reader.var()?;
        let base = match reader.u8()? {
            0 => Base::Own { seconds: reader.var()?, id: envelope::MessageId::from_bytes(reader.array()?) },
            1 => Base::parse(reader.text()?),
            _ => return None,
        };
        let internal_date = Timestamp::from_unix_milliseconds(reader.var()?);
        let (size, disk_size) = (reader.var()?, reader.var()?);
        let bits = FlagBits(reader.var()?);
        let marks = reader.u8()?;
        let cached = if marks & 2 != 0 { Some(decode_position(reader)?) } else { None };
        let place = if marks & 1 != 0 { Place::Cur } else { Place::New };
        Some(Self { uid, mod_seq, base, internal_date, size, disk_size, bits, place, cached })
    }
}

fn encode_position(writer: &mut Writer, position: Position) {
    writer.var(position.offset);
    writer.var(u64::from(position.length));
}

fn decode_position(reader: &mut Reader<'_>) -> Option<Position> {
    Some(Position { offset: reader.var()?, length: reader.var32()? })
}

pub(crate) fn encode_table(writer: &mut Writer, table: &[Option<String>]) {
    writer.len(table.len());
    for name in table {
        writer.optional(name.as_ref().map(String::as_bytes));
    }
}

pub(crate) fn decode_table(reader: &mut Reader<'_>) -> Option<Vec<Option<String>>> {
    let count = reader.len()?;
    let name = |reader: &mut Reader<'_>| {
        Some(reader.optional()?.and_then(|name| String::from_utf8(name.to_vec()).ok()))
    };
    (0..count).map(|_| name(reader)).collect()
}

/// UIDs as runs: count of runs, then gap and length of each.
fn encode_uids(writer: &mut Writer, uids: &[u32]) {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for uid in uids {
        match runs.last_mut() {
            Some((first, length)) if first.checked_add(*length) == Some(*uid) => *length += 1,
            _ => runs.push((*uid, 1)),
        }
    }
    writer.len(runs.len());
    let mut last = 0;
    for (first, length) in runs {
        writer.var(u64::from(first.wrapping_sub(last)));
        writer.var(u64::from(length));
        last = first;
    }
}

/// No mailbox has more; a forged run must not fill the memory.
const UIDS_MAX: u32 = 50_000_000;

fn decode_uids(reader: &mut Reader<'_>) -> Option<Vec<u32>> {
    let runs = reader.len()?;
    let mut uids: Vec<u32> = Vec::new();
    let mut last = 0u32;
    let mut total = 0u32;
    for _ in 0..runs {
        let first = last.checked_add(reader.var32()?)?;
        let length = reader.var32()?;
        total = total.checked_add(length).filter(|total| *total <= UIDS_MAX)?;
        if uids.last().is_some_and(|previous| *previous >= first) {
            return None;
        }
        uids.extend(first..first.checked_add(length)?);
        last = first;
    }
    Some(uids)
}

/// Every operation of a record's body, or `None` when it is not well formed.
pub(crate) fn decode_body(body: &[u8]) -> Option<Vec<Op>> {
    let mut reader = Reader(body);
    let mut operations = Vec::new();
    while !reader.is_empty() {
        operations.push(Op::decode(&mut reader)?);
    }
    Some(operations)
}

pub(crate) fn encode_body(operations: &[Op]) -> Vec<u8> {
    let mut writer = Writer::default();
    for operation in operations {
        operation.encode(&mut writer);
    }
    writer.0
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uids() -> impl Strategy<Value = Vec<u32>> {
        proptest::collection::btree_set(1u32..500, 0..60).prop_map(|set| set.into_iter().collect())
    }

    fn position() -> impl Strategy<Value = Position> {
        any::<(u64, u32)>().prop_map(|(offset, length)| Position { offset, length })
    }

    fn base() -> impl Strategy<Value = Base> {
        prop_oneof![
            any::<(u64, [u8; 16])>()
                .prop_map(|(seconds, id)| Base::Own { seconds, id: envelope::MessageId::from_bytes(id) }),
            "[a-z.]{1,20}".prop_map(|text| Base::Foreign(text.as_str().into())),
        ]
    }

    pub(crate) fn operation() -> impl Strategy<Value = Op> {
        let added = (any::<(u32, u64, u64, u64, u64, u64, bool)>(), base(), proptest::option::of(position()));
        let added = added.prop_map(|(numbers, base, cached)| {
            let (uid, mod_seq, date, size, disk_size, bits, cur) = numbers;
            let place = if cur { Place::Cur } else { Place::New };
            let internal_date = Timestamp::from_unix_milliseconds(date);
            Op::Added(Added {
                uid,
                mod_seq,
                base,
                internal_date,
                size,
                disk_size,
                bits: FlagBits(bits),
                place,
                cached,
            })
        });
        prop_oneof![
            added,
            (any::<(u64, u64, u64)>(), uids()).prop_map(|((mod_seq, add, remove), uids)| Op::Flags {
                mod_seq,
                add: FlagBits(add),
                remove: FlagBits(remove),
                uids
            }),
            (any::<(u64, u64)>(), uids()).prop_map(|((mod_seq, at), uids)| Op::Expunged {
                mod_seq,
                at: Timestamp::from_unix_milliseconds(at),
                uids
            }),
            (any::<u64>(), uids()).prop_map(|(bits, uids)| Op::Named {
                place: Place::Cur,
                bits: FlagBits(bits),
                uids
            }),
            uids().prop_map(|uids| Op::Removed { uids }),
            any::<u32>().prop_map(|below| Op::Recent { below }),
            proptest::collection::vec((any::<u32>(), position()), 0..5)
                .prop_map(|positions| Op::Cached { positions }),
            any::<(i128, i128)>().prop_map(|(new, cur)| Op::Directories { new, cur }),
            any::<(u32, u64)>().prop_map(|(uid_next, mod_seq)| Op::Counters { uid_next, mod_seq }),
            proptest::collection::vec(proptest::option::of("[a-z$]{1,9}"), 0..5).prop_map(Op::Keywords),
            any::<[u8; 16]>().prop_map(|id| Op::Forgotten { id }),
        ]
    }

    proptest! {
        #[test]
        fn records_round_trip(operations in proptest::collection::vec(operation(), 0..6)) {
            prop_assert_eq!(decode_body(&encode_body(&operations)), Some(operations));
        }

        #[test]
        fn any_bytes_are_read_without_harm(body: Vec<u8>) {
            let _ = decode_body(&body);
        }
    }

    #[test]
    fn a_run_of_all_numbers_is_refused() {
        let mut writer = Writer::default();
        writer.u8(5);
        writer.len(1);
        writer.var(1);
        writer.var(u64::from(u32::MAX - 1));
        assert_eq!(decode_body(&writer.0), None);
    }
}
