//! The file of a log: a header page, then records. Written by one process only, from front to back.
//!
//! ```text
//!  0          2048         4096
//!  | header   | header     | record | record | ... | zeros up to the reserved size |
//!  | JSON     | once more  |
//!
//!  header: "SLUICEQ1" | crc32c u32 | size u32 | JSON { salt, seq, cuts, void_from }
//! ```
//! It comes into being as `<seq>.new`, or as a file of zeros that was made ready before, and gets its name when the header is on disk, so
//! that a reader never sees half a header. Once a write or sync has failed nothing more is written to it: the header
//! of its successor says with a *cut* how much of it counts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::Batch;
use super::scan::Segment;
use super::spare::Spare;
use crate::files::{FileHandle, Files};

/// Octets before the first record.
pub(super) const START: u64 = 4096;
const COPY: usize = 2048;
const MAGIC: &[u8; 8] = b"SLUICEQ1";
/// Once this part of a segment is full the next one's file is made ready.
const PREPARE_AFTER: u64 = 16;

/// What the header page says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentHeader {
    /// The random number of every record in the segment.
    pub(super) salt: u64,
    pub(super) seq: u64,
    /// Earlier segments of which only so many octets count, since the rest was answered with an error.
    #[serde(default)]
    pub(super) cuts: Vec<(u64, u64)>,
    /// The segments from this number to the one before this count for nothing: to begin them failed.
    #[serde(default)]
    pub(super) void_from: Option<u64>,
}

impl SegmentHeader {
    /// How much of an earlier segment counts, when it is not all of it.
    pub(super) fn cut_of(&self, seq: u64) -> Option<u64> {
        let void = self.void_from.is_some_and(|from| (from..self.seq).contains(&seq)).then_some(START);
        self.cuts.iter().filter(|(cut, _)| *cut == seq).map(|(_, octets)| *octets).chain(void).min()
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let mut page = Vec::with_capacity(START as usize);
        for end in [COPY, START as usize] {
            page.extend_from_slice(MAGIC);
            page.extend_from_slice(&crc32c::crc32c(&json).to_le_bytes());
            page.extend_from_slice(&(json.len() as u32).to_le_bytes());
            page.extend_from_slice(&json);
            if page.len() > end {
                return Err(io::Error::other("too many condemned segments"));
            }
            page.resize(end, 0);
        }
        Ok(page)
    }

    /// Reads the header of an open segment; `None` when both copies are damaged.
    pub(super) fn read(handle: &dyn FileHandle) -> io::Result<Option<Self>> {
        let mut page = [0; START as usize];
        let count = handle.read_at(&mut page, 0)?;
        let page = page.get(..count).unwrap_or_default();
        Ok(page.chunks(COPY).find_map(Self::parse))
    }

    fn parse(copy: &[u8]) -> Option<Self> {
        let (magic, rest) = copy.split_first_chunk::<8>()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let json = rest.get(..u32::from_le_bytes(*size) as usize)?;
        let whole = magic == MAGIC && crc32c::crc32c(json) == u32::from_le_bytes(*crc);
        whole.then(|| serde_json::from_slice(json).ok())?
    }
}

/// Writes the segments of one log directory.
#[derive(Debug)]
pub(super) struct LogWriter {
    files: Arc<dyn Files>,
    directory: PathBuf,
    extension: &'static str,
    reserve: u64,
    next: u64,
    /// The first number that was tried since the last segment began.
    tried_from: u64,
    active: Option<Active>,
    /// The segment that was condemned since then, and how much of it counts.
    cut: Option<(u64, u64)>,
    /// The file of the next segment.
    spare: Option<Spare>,
}

#[derive(Debug)]
struct Active {
    handle: Arc<dyn FileHandle>,
    header: Arc<SegmentHeader>,
    /// Where the next write goes; all before it is on disk, or a marker.
    position: u64,
    /// The reserved space.
    limit: u64,
    /// Whether that space was written before.
    written_before: bool,
}

/// The file of a segment that has no name yet.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    handle: Arc<dyn FileHandle>,
    /// What is reserved, and whether zeros were written there.
    reserved: u64,
    written_before: bool,
}

/// A position in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) seq: u64,
    pub(super) offset: u64,
}

impl LogWriter {
    /// Looks which names are taken, and removes what an earlier process left half-made.
    pub(super) fn open(
        files: Arc<dyn Files>,
        directory: PathBuf,
        extension: &'static str,
        reserve: u64,
    ) -> io::Result<Self> {
        let mut next = 1;
        for name in files.list(&directory)? {
            if name.ends_with(".new") {
                files.remove(&directory.join(&name))?;
            }
            if let Some(seq) = sequence(&name, extension) {
                next = next.max(seq.saturating_add(1));
            }
        }
        let (tried_from, active, cut, spare) = (next, None, None, None);
        Ok(Self { files, directory, extension, reserve, next, tried_from, active, cut, spare })
    }

    /// The segment that is written, and the position behind the last write.
    pub(super) fn current(&self) -> Option<(Segment, Position)> {
        self.active.as_ref().map(|active| {
            let segment = Segment { handle: Arc::clone(&active.handle), header: Arc::clone(&active.header) };
            (segment, Position { seq: active.header.seq, offset: active.position })
        })
    }

    /// Whether a batch needs a new segment: the reserved space would not hold it, there is no segment, or there is a file
    /// ready that syncs faster.
    pub(super) fn is_full_for(&self, size: u64) -> bool {
        let ready = self.spare.as_ref().is_some_and(Spare::is_ready);
        self.active.as_ref().is_none_or(|active| {
            (ready && !active.written_before) || active.position.saturating_add(size) > active.limit
        })
    }

    /// Begins a new segment with room for `size` octets, and `first`, in pieces, already in it when its name appears.
    pub(super) fn begin(&mut self, first: &mut dyn Iterator<Item = Batch>, size: u64) -> io::Result<()> {
        let seq = self.next;
        let salt = random_salt()?;
        let name = self.directory.join(segment_name(seq, self.extension));
        let cuts = self.cut.into_iter().collect();
        let header = SegmentHeader { salt, seq, cuts, void_from: Some(self.tried_from) };
        self.next += 1;
        let draft = self.draft(&name.with_extension("new"), START + size)?;
        let (position, limit) = match draft.write(self.reserve, &header, first, size) {
            Ok(begun) => begun,
            Err(error) => {
                // What stays is removed at the next open.
                let _ = self.files.remove(&draft.path);
                return Err(error);
            }
        };
        let named =
            self.files.rename(&draft.path, &name).and_then(|()| self.files.sync_directory(&self.directory));
        if let Err(error) = named {
            // The name may be there. Then readers take what came before it for sealed, and so must we. What is in it counts
            // for nothing: the next header says so.
            let _ = self.files.remove(&draft.path);
            self.condemn();
            return Err(error);
        }
        self.cut_rest();
        self.cut = None;
        self.tried_from = self.next;
        let Draft { handle, written_before, .. } = draft;
        self.active = Some(Active { handle, header: Arc::new(header), position, limit, written_before });
        Ok(())
    }

    /// Writes a batch and syncs it. After an error nothing of it will ever be read, except by whoever
    /// starts after a crash that comes before the next segment: the caller may then see what it was
    /// told was refused.
    pub(super) fn write(&mut self, batch: &mut Batch) -> io::Result<Position> {
        let active = self.active.as_mut().ok_or_else(|| io::Error::other("the log has no open segment"))?;
        let start = Position { seq: active.header.seq, offset: active.position };
        let outcome = active
            .handle
            .write_at(batch.stamp(active.header.salt), start.offset)
            .and_then(|()| active.handle.sync());
        match outcome {
            Ok(()) => {
                active.position += batch.size();
                if self.spare.is_none() && active.position > START + self.reserve / PREPARE_AFTER {
                    self.spare = Some(Spare::prepare(&self.files, &self.directory, self.reserve));
                }
                Ok(start)
            }
            Err(error) => {
                self.condemn();
                Err(error)
            }
        }
    }

    /// Writes a batch without sync: markers, which may be lost.
    pub(super) fn mark(&mut self, batch: &mut Batch) {
        let Some(active) = self.active.as_mut() else { return };
        match active.handle.write_at(batch.stamp(active.header.salt), active.position) {
            Ok(()) => active.position += batch.size(),
            Err(error) => {
                tracing::warn!(%error, seq = active.header.seq, "failed to mark a commit, beginning a new segment");
                self.condemn();
            }
        }
    }

    /// Nothing more is written.
    pub(super) fn seal(&mut self) {
        self.cut_rest();
        self.spare = None;
    }

    /// Octets behind which nothing counts are cut off, which also gives back what was reserved.
    fn cut_rest(&mut self) {
        if let Some(active) = self.active.take()
            && let Err(error) = active.handle.set_size(active.position)
        {
            tracing::debug!(%error, seq = active.header.seq, "failed to cut a full segment");
        }
    }

    fn condemn(&mut self) {
        if let Some(active) = self.active.take() {
            // The cut in the next header decides; this only makes it likely that it is not needed.
            let _ = active.handle.set_size(active.position);
            self.cut = Some((active.header.seq, active.position));
        }
    }

    /// The file of the next segment, with room for `least` octets: one that is ready, or a new one.
    fn draft(&mut self, path: &Path, least: u64) -> io::Result<Draft> {
        // One that failed is tried again during the next segment.
        if self.spare.as_ref().is_some_and(|spare| !spare.is_being_written())
            && let Some((handle, path, reserved)) = self.spare.take().and_then(Spare::take)
        {
            return Ok(Draft { path, handle, reserved, written_before: true });
        }
        let handle = self.files.create(path)?;
        let draft =
            Draft { path: path.to_owned(), handle, reserved: self.reserve.max(least), written_before: false };
        if let Err(error) = draft.handle.preallocate(draft.reserved) {
            let _ = self.files.remove(path);
            return Err(error);
        }
        Ok(draft)
    }
}

impl Draft {
    /// Writes what the segment begins with. Returns where the next record goes, and up to where there is room.
    fn write(
        &self,
        reserve: u64,
        header: &SegmentHeader,
        first: &mut dyn Iterator<Item = Batch>,
        size: u64,
    ) -> io::Result<(u64, u64)> {
        self.handle.write_at(&header.encode()?, 0)?;
        let mut position = START;
        for mut piece in first.filter(|piece| piece.size() > 0) {
            self.handle.write_at(piece.stamp(header.salt), position)?;
            position += piece.size();
        }
        // Twice what it begins with, so that a log with a large beginning is not renewed at once.
        let limit = reserve.max(START + 2 * (position - START) + size);
        if limit > self.reserved {
            self.handle.preallocate(limit)?;
        }
        self.handle.sync()?;
        Ok((position, limit))
    }
}

/// The name of a segment.
pub(super) fn segment_name(seq: u64, extension: &str) -> String {
    format!("{seq:016}.{extension}")
}

/// The number in the name of a segment.
pub(super) fn sequence(name: &str, extension: &str) -> Option<u64> {
    let (number, rest) = name.split_once('.')?;
    (rest == extension && number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| number.parse().ok())?
}

/// The numbers of the segments in a directory, in order.
pub(super) fn sequences(files: &dyn Files, directory: &Path, extension: &str) -> io::Result<Vec<u64>> {
    let names = files.list(directory)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| sequence(name, extension)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn random_salt() -> io::Result<u64> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(random).max(1))
}
