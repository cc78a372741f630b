//! `sluice.index`: the whole state of a mailbox, replaced by rename.
//!
//! ```text
//! "SLUICEI1" body crc32c:u32
//! body: journal generation, counters, directories, keyword table, messages, removals, remembered ids
//! ```
//! The journal of that generation holds what came after.

use std::path::Path;

use envelope::{MessageId, Timestamp};

use crate::StoreError;
use crate::codec::{Reader, Writer};
use crate::error::At as _;
use crate::flags::FlagBits;
use crate::fs::{self, Fs, Syncs};
use crate::items::Place;
use crate::keywords::Keywords;
use crate::record::{Added, decode_table, encode_table};
use crate::state::{Removal, State};

pub(crate) const FILE: &str = "sluice.index";
const MAGIC: &[u8; 8] = b"SLUICEI1";

/// A snapshot as read.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) generation: u64,
    pub(crate) state: State,
}

/// What was found on disk.
#[derive(Debug)]
pub(crate) enum Found {
    Missing,
    Damaged,
    Good(Box<Snapshot>),
}

pub(crate) fn load(fs: &dyn Fs, directory: &Path) -> Result<Found, StoreError> {
    let path = directory.join(FILE);
    let Some(bytes) = fs::read_optional(fs, &path).at("read", &path)? else { return Ok(Found::Missing) };
    Ok(decode(&bytes).map_or(Found::Damaged, |snapshot| Found::Good(Box::new(snapshot))))
}

/// Writes it; gives the size. The caller holds the mailbox's lock.
pub(crate) fn save(
    fs: &dyn Fs,
    directory: &Path,
    generation: u64,
    state: &State,
    syncs: Syncs,
) -> Result<u64, StoreError> {
    let bytes = encode(generation, state);
    fs::replace_with(fs, directory, (FILE, &bytes), syncs).at("replace", &directory.join(FILE))?;
    Ok(bytes.len() as u64)
}

fn encode(generation: u64, state: &State) -> Vec<u8> {
    let mut writer = Writer(Vec::with_capacity(256 + 64 * state.items.len()));
    writer.raw(MAGIC);
    writer.var(generation);
    for number in [state.uid_validity, state.uid_next, state.first_recent] {
        writer.var(u64::from(number));
    }
    writer.var(state.mod_seq);
    let (new, cur) = state.directories.unwrap_or_default();
    writer.u8(u8::from(state.directories.is_some()));
    writer.raw(&new.to_le_bytes());
    writer.raw(&cur.to_le_bytes());
    encode_table(&mut writer, &state.keywords.0);
    writer.len(state.items.len());
    for item in state.items.iter() {
        let added = Added {
            uid: item.uid(),
            mod_seq: item.entry.mod_seq.0,
            base: item.base.clone(),
            internal_date: item.entry.internal_date,
            size: item.entry.size,
            disk_size: item.disk_size,
            bits: item.bits,
            place: item.place,
            cached: item.cached,
        };
        added.encode(&mut writer);
        writer.var(item.name_bits.0);
        writer.u8(u8::from(item.uncertain));
    }
    writer.len(state.removals.len());
    for (uid, removal) in &state.removals {
        writer.var(u64::from(*uid));
        writer.u8(u8::from(removal.place == Place::Cur));
        writer.bytes(removal.name.as_bytes());
    }
    writer.len(state.gone.len());
    for (id, at) in &state.gone {
        writer.raw(&id.to_bytes());
        writer.var(at.unix_milliseconds());
    }
    let checksum = crc32c::crc32c(&writer.0);
    writer.u32(checksum);
    writer.0
}

fn decode(bytes: &[u8]) -> Option<Snapshot> {
    let (content, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut reader = Reader(content);
    if reader.array()? != *MAGIC {
        return None;
    }
    let generation = reader.var()?;
    let uid_validity = reader.var32()?;
    let (uid_next, first_recent) = (reader.var32()?, reader.var32()?);
    let mod_seq = reader.var()?;
    let known = reader.u8()? != 0;
    let times = (i128::from_le_bytes(reader.array()?), i128::from_le_bytes(reader.array()?));
    let mut state = State::new(uid_validity, Keywords(decode_table(&mut reader)?));
    state.directories = known.then_some(times);
    for _ in 0..reader.len()? {
        let added = Added::decode(&mut reader)?;
        let name_bits = FlagBits(reader.var()?);
        let uncertain = reader.u8()? != 0;
        if !state.add(&added, name_bits, uncertain) {
            return None;
        }
    }
    for _ in 0..reader.len()? {
        let uid = reader.var32()?;
        let place = if reader.u8()? == 0 { Place::New } else { Place::Cur };
        let name = reader.text()?.to_owned();
        state.removals.insert(uid, Removal { place, name });
    }
    for _ in 0..reader.len()? {
        let id = MessageId::from_bytes(reader.array()?);
        state.gone.insert(id, Timestamp::from_unix_milliseconds(reader.var()?));
    }
    state.first_recent = first_recent;
    state.raise(uid_next, mod_seq);
    reader.is_empty().then_some(Snapshot { generation, state })
}

/// Fuzz entry: whatever decodes encodes to something that decodes alike.
pub fn fuzz_snapshot(input: &[u8]) {
    let mut sealed = MAGIC.to_vec();
    sealed.extend_from_slice(input);
    let checksum = crc32c::crc32c(&sealed);
    sealed.extend_from_slice(&checksum.to_le_bytes());
    if let Some(snapshot) = decode(&sealed) {
        let again = decode(&encode(snapshot.generation, &snapshot.state));
        let again = again.map(|again| (again.generation, again.state.items.len(), again.state.uid_next));
        assert_eq!(
            again,
            Some((snapshot.generation, snapshot.state.items.len(), snapshot.state.uid_next)),
            "a snapshot that was read must be readable again"
        );
    }
    let _ = decode(input);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::tests::operation;

    proptest! {
        #[test]
        fn round_trips(operations in proptest::collection::vec(operation(), 0..40), generation: u64) {
            let mut state = State::new(7, Keywords::default());
            state.apply_all(&operations);
            let bytes = encode(generation, &state);
            let again = decode(&bytes).unwrap();
            prop_assert_eq!(again.generation, generation);
            let lists = |state: &State| {
                let items: Vec<String> = state.items.iter().map(|item| format!("{item:?}")).collect();
                (items, state.removals.clone(), state.gone.clone(), state.owed.clone(), state.directories)
            };
            prop_assert_eq!(lists(&again.state), lists(&state));
            prop_assert_eq!(
                (again.state.uid_next, again.state.mod_seq, again.state.first_recent),
                (state.uid_next, state.mod_seq, state.first_recent)
            );
        }

        #[test]
        fn any_bytes_are_read_without_harm(input: Vec<u8>) {
            fuzz_snapshot(&input);
        }

        #[test]
        fn every_flipped_bit_is_found(byte in 0usize..200, bit in 0u8..8) {
            let mut state = State::new(7, Keywords::default());
            state.uid_next = 70_000;
            let mut bytes = encode(3, &state);
            let index = byte % bytes.len();
            bytes[index] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_none());
        }
    }
}
