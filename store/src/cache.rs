//! `sluice.cache`: summaries, appended under the mailbox's lock and never synced: what is lost is parsed again.
//!
//! ```text
//! record  length:u32 crc32c:u32 uid:u32 summary      length and crc over uid and summary
//! ```
//! The index says where a message's record is. A record that does not check, or that is of another UID, is as good
//! as none.
//!
//! Records of messages that are gone stay until [`compacted`] leaves them out: into `sluice.cache.new`, which takes the
//! file's name when the index that knows the new places is on disk. A crash in between costs parsing, nothing else.

use std::path::Path;

use crate::StoreError;
use crate::append_file::AppendFile;
use crate::codec::{Reader, Writer};
use crate::error::At as _;
use crate::fs::{self, Fs, FsFile};
use crate::items::Position;
use crate::summary::{self, Summary};

pub(crate) const FILE: &str = "sluice.cache";
const NEW: &str = "sluice.cache.new";

/// Adjacent records are read together up to this many octets.
const READ_MAX: u64 = 1 << 20;
/// Records this far apart are still read together.
const GAP_MAX: u64 = 16 << 10;

pub(crate) fn open(fs: &dyn Fs, directory: &Path, network: bool) -> Result<AppendFile, StoreError> {
    let path = directory.join(FILE);
    AppendFile::open(fs, &path, network).at("open", &path)
}

/// Appends summaries in one write; the caller holds the lock.
pub(crate) fn append(
    fs: &dyn Fs,
    file: &mut AppendFile,
    summaries: &[(u32, &Summary)],
) -> std::io::Result<Vec<(u32, Position)>> {
    let mut offset = file.reader().meta()?.size;
    let mut writer = Writer::default();
    let mut positions = Vec::with_capacity(summaries.len());
    let start = offset;
    for (uid, summary) in summaries {
        let mut body = Writer::default();
        body.u32(*uid);
        summary::codec::encode(summary, &mut body);
        let Ok(length) = u32::try_from(body.0.len()) else { continue };
        writer.u32(length);
        writer.u32(crc32c::crc32c(&body.0));
        writer.raw(&body.0);
        positions.push((*uid, Position { offset, length: length + 8 }));
        offset += u64::from(length) + 8;
    }
    file.write_all_at(fs, &writer.0, start)?;
    Ok(positions)
}

/// Writes the sound records of `wanted` into a new file, one behind the other. Gives where they are then; the new file takes
/// its name with [`install_compacted`].
pub(crate) fn compacted(
    fs: &dyn Fs,
    directory: &Path,
    file: &dyn FsFile,
    wanted: Vec<(u32, Position)>,
) -> std::io::Result<Vec<(u32, Position)>> {
    let path = directory.join(NEW);
    match fs.remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let new = fs.create_new(&path)?;
    let mut positions = Vec::with_capacity(wanted.len());
    let (mut buffer, mut written, mut failure) = (Vec::new(), 0u64, None);
    records(file, wanted, |uid, record| {
        if failure.is_some() || checked(uid, record).is_none() {
            return;
        }
        let Ok(length) = u32::try_from(record.len()) else { return };
        positions.push((uid, Position { offset: written + buffer.len() as u64, length }));
        buffer.extend_from_slice(record);
        if buffer.len() as u64 >= READ_MAX {
            failure = new.write_all_at(&buffer, written).err();
            written += buffer.len() as u64;
            buffer.clear();
        }
    })?;
    failure.map_or(Ok(()), Err)?;
    new.write_all_at(&buffer, written)?;
    new.sync()?;
    Ok(positions)
}

/// The new file takes the old one's place.
pub(crate) fn install_compacted(fs: &dyn Fs, directory: &Path) -> std::io::Result<()> {
    fs.rename(&directory.join(NEW), &directory.join(FILE))
}

/// Calls `found` for each of `wanted` (in order of offset) whose record is sound, with what stands for it there and the octets of its summary.
pub(crate) fn read<K: Copy>(
    file: &dyn FsFile,
    wanted: Vec<(K, u32, Position)>,
    mut found: impl FnMut(K, &[u8]),
) -> std::io::Result<()> {
    let wanted = wanted.into_iter().map(|(key, uid, position)| ((key, uid), position)).collect();
    records(file, wanted, |(key, uid), record| {
        if let Some(summary) = checked(uid, record) {
            found(key, summary);
        }
    })
}

/// Calls `found` with what is at each of these places, in order of offset.
fn records<K: Copy>(
    file: &dyn FsFile,
    mut wanted: Vec<(K, Position)>,
    mut found: impl FnMut(K, &[u8]),
) -> std::io::Result<()> {
    wanted.sort_unstable_by_key(|(_, position)| position.offset);
    let mut rest = wanted.as_slice();
    let mut buffer = Vec::new();
    while let Some((_, first)) = rest.first() {
        let mut end = first.offset.saturating_add(u64::from(first.length));
        let limit = first.offset.saturating_add(READ_MAX);
        let together = rest.iter().skip(1).take_while(|(_, next)| {
            let next_end = next.offset.saturating_add(u64::from(next.length));
            let near = next.offset <= end.saturating_add(GAP_MAX) && next_end <= limit;
            end = if near { end.max(next_end) } else { end };
            near
        });
        let count = 1 + together.count();
        fs::read_into(file, first.offset, (end - first.offset).min(u64::from(u32::MAX)), &mut buffer)?;
        let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        for (key, position) in now {
            let from = usize::try_from(position.offset - first.offset).unwrap_or(usize::MAX);
            let record = buffer.get(from..from.saturating_add(position.length as usize));
            if let Some(record) = record {
                found(*key, record);
            }
        }
        rest = later;
    }
    Ok(())
}

/// The octets of a summary, when its record is sound.
fn checked(uid: u32, record: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(record);
    let (length, checksum) = (reader.u32()?, reader.u32()?);
    let body = reader.raw(length as usize)?;
    if !reader.is_empty() || crc32c::crc32c(body) != checksum {
        return None;
    }
    let (number, summary) = body.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*number) == uid).then_some(summary)
}
