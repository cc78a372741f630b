//! `sluice.journal`: appends under the mailbox's lock, reads without. See [`crate::record`] for the format.

use std::io;
use std::path::Path;

use crate::StoreError;
use crate::append_file::AppendFile;
use crate::codec::{Reader, Writer};
use crate::error::At as _;
use crate::fs::{self, Fs, Syncs};
use crate::record::{Op, decode_body, encode_body};

pub(crate) const FILE: &str = "sluice.journal";
const NEW_FILE: &str = "sluice.journal.new";
const MAGIC: &[u8; 8] = b"SLUICEJ1";
const HEADER: u64 = 24;
const RECORD_MAX: u32 = 1 << 30;

/// The journal as opened by this process.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) file: AppendFile,
    pub(crate) identity: (u64, u64),
    pub(crate) generation: u64,
    /// Behind the last record that is applied.
    pub(crate) end: u64,
}

/// What stands behind [`Log::end`].
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) operations: Vec<Op>,
    pub(crate) end: u64,
    /// There is more, and it is no whole record.
    pub(crate) torn: bool,
}

impl Log {
    /// `None` when there is no journal or its header is unreadable.
    pub(crate) fn open(fs: &dyn Fs, directory: &Path, network: bool) -> Result<Option<Self>, StoreError> {
        let path = directory.join(FILE);
        match fs.meta(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at("look at", &path)?,
        };
        let file = AppendFile::open(fs, &path, network).at("open", &path)?;
        let header = fs::read_range(&*file.reader(), 0, HEADER).at("read", &path)?;
        let identity = file.identity();
        let generation = decode_header(&header);
        Ok(generation.map(|generation| Self { file, identity, generation, end: HEADER }))
    }

    /// Makes a new, empty, synced journal beside the old one; [`Self::install`] puts it in its place.
    pub(crate) fn prepare(
        fs: &dyn Fs,
        directory: &Path,
        generation: u64,
        uid_validity: u32,
        network: bool,
    ) -> Result<Self, StoreError> {
        let path = directory.join(NEW_FILE);
        match fs.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("remove", &path),
            _ => {}
        }
        let mut file = AppendFile::open(fs, &path, network).at("create", &path)?;
        file.write_all_at(fs, &encode_header(generation, uid_validity), 0).at("write", &path)?;
        file.written().sync().at("sync", &path)?;
        file.renamed_to(&directory.join(FILE));
        let identity = file.identity();
        Ok(Self { file, identity, generation, end: HEADER })
    }

    pub(crate) fn install(fs: &dyn Fs, directory: &Path) -> Result<(), StoreError> {
        let path = directory.join(FILE);
        fs.rename(&directory.join(NEW_FILE), &path).at("replace", &path)?;
        fs.sync_dir(directory).at("sync", directory)
    }

    /// Reads what others appended; whole records only.
    pub(crate) fn tail(&self) -> io::Result<Tail> {
        let bytes = fs::read_from(&*self.file.reader(), self.end)?;
        Ok(decode_records(self.generation, self.end, &bytes))
    }

    /// Appends one record. The caller holds the lock and has applied everything before.
    pub(crate) fn append(&mut self, fs: &dyn Fs, operations: &[Op]) -> io::Result<()> {
        let bytes = encode_record(self.generation, operations)?;
        self.file.write_all_at(fs, &bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Makes the first journal of a mailbox, an empty one.
pub(crate) fn begin(
    fs: &dyn Fs,
    directory: &Path,
    generation: u64,
    uid_validity: u32,
    syncs: Syncs,
) -> Result<(), StoreError> {
    fs::replace_with(fs, directory, (FILE, &encode_header(generation, uid_validity)), syncs)
        .at("replace", &directory.join(FILE))
}

fn encode_header(generation: u64, uid_validity: u32) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(MAGIC);
    writer.u64(generation);
    writer.u32(uid_validity);
    let checksum = crc32c::crc32c(&writer.0);
    writer.u32(checksum);
    writer.0
}

fn decode_header(bytes: &[u8]) -> Option<u64> {
    let (content, checksum) = bytes.split_last_chunk::<4>()?;
    let mut reader = Reader(content);
    let sound = crc32c::crc32c(content) == u32::from_le_bytes(*checksum) && reader.array()? == *MAGIC;
    sound.then(|| reader.u64()).flatten()
}

fn checksum(generation: u64, length: u32, body: &[u8]) -> u32 {
    let start = crc32c::crc32c(&generation.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(start, &length.to_le_bytes()), body)
}

fn encode_record(generation: u64, operations: &[Op]) -> io::Result<Vec<u8>> {
    let body = encode_body(operations);
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= RECORD_MAX);
    let length = length.ok_or_else(|| io::Error::other("a journal record over 1 GiB"))?;
    let mut writer = Writer(Vec::with_capacity(body.len() + 8));
    writer.u32(length);
    writer.u32(checksum(generation, length, &body));
    writer.raw(&body);
    Ok(writer.0)
}

fn decode_records(generation: u64, start: u64, bytes: &[u8]) -> Tail {
    let mut tail = Tail { operations: Vec::new(), end: start, torn: false };
    let mut reader = Reader(bytes);
    while !reader.is_empty() {
        let Some((operations, length)) = decode_record(generation, &mut reader) else {
            tail.torn = true;
            break;
        };
        tail.operations.extend(operations);
        tail.end += 8 + length as u64;
    }
    tail
}

fn decode_record(generation: u64, reader: &mut Reader<'_>) -> Option<(Vec<Op>, usize)> {
    let (length, expected) = (reader.u32()?, reader.u32()?);
    let body = reader.raw(usize::try_from(length).ok()?)?;
    if length == 0 || checksum(generation, length, body) != expected {
        return None;
    }
    Some((decode_body(body)?, body.len()))
}

/// Fuzz entry: any bytes as a journal's tail, and any bytes as a record's body.
pub fn fuzz_journal(input: &[u8]) {
    let tail = decode_records(1, HEADER, input);
    assert!(tail.end <= HEADER + input.len() as u64, "nothing is read behind the end");
    if let Some(operations) = decode_body(input) {
        let record = encode_record(1, &operations).unwrap_or_default();
        let again = decode_records(1, HEADER, &record);
        assert_eq!(again.operations, operations, "a record that was read must be readable again");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::tests::operation;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_cut_or_flipped_journal_gives_a_prefix(
            records in proptest::collection::vec(proptest::collection::vec(operation(), 1..3), 1..6),
            cut: prop::sample::Index,
            flip: prop::sample::Index,
        ) {
            let encoded: Vec<Vec<u8>> = records.iter().map(|record| encode_record(9, record).unwrap()).collect();
            let bytes = encoded.concat();
            let whole = decode_records(9, HEADER, &bytes);
            prop_assert_eq!(&whole.operations, &records.concat());
            prop_assert!(!whole.torn);

            let at = cut.index(bytes.len());
            let tail = decode_records(9, HEADER, &bytes[..at]);
            prop_assert!(whole.operations.starts_with(&tail.operations));

            let mut flipped = bytes.clone();
            let at = flip.index(bytes.len());
            flipped[at] ^= 1;
            let tail = decode_records(9, HEADER, &flipped);
            prop_assert!(tail.torn && whole.operations.starts_with(&tail.operations));
            prop_assert!(tail.end <= HEADER + at as u64);
        }

        #[test]
        fn records_of_another_generation_are_none(record in proptest::collection::vec(operation(), 1..3)) {
            let bytes = encode_record(1, &record).unwrap();
            prop_assert!(decode_records(2, HEADER, &bytes).operations.is_empty());
        }

        #[test]
        fn fuzz(input: Vec<u8>) {
            fuzz_journal(&input);
        }
    }
}
