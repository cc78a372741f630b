//! Reads segments from front to back, also while another process writes them.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use envelope::{AccountId, MessageId, Priority, ReversePath, Timestamp};
use memchr::memmem;
use serde::Deserialize;

use super::record::{Found, Header, Kind, padded, parse};
use super::segment::{START, SegmentHeader, segment_name, sequences};
use crate::files::{FileHandle, Files};
use crate::flow::Flow;

/// How much is read at once behind the first look.
const CHUNK: usize = 1 << 20;
/// The first look at a position: mostly there is nothing new.
const PEEK: usize = 4096;

/// An open segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) handle: Arc<dyn FileHandle>,
    pub(super) header: Arc<SegmentHeader>,
}

impl Segment {
    pub(super) fn open(files: &dyn Files, log: &Path, seq: u64, extension: &str) -> io::Result<Self> {
        let path = log.join(segment_name(seq, extension));
        let handle = files.open(&path)?;
        if let Some(header) = SegmentHeader::read(&*handle)? {
            return Ok(Self { handle, header: Arc::new(header) });
        }
        // Both copies are damaged: the first record carries the salt as well.
        tracing::error!(path = %path.display(), "the header of a queue segment is damaged");
        let mut salt = [0; 8];
        handle.read_at(&mut salt, START)?;
        let header = SegmentHeader { salt: u64::from_le_bytes(salt), seq, cuts: Vec::new(), void_from: None };
        Ok(Self { handle, header: Arc::new(header) })
    }
}

/// Every segment of a log that nobody writes any more, or that is looked at as if: its number, and how
/// much of it counts.
pub(super) fn open_all(files: &dyn Files, log: &Path) -> io::Result<Vec<(u64, Segment, Option<u64>)>> {
    let mut segments = Vec::new();
    for seq in sequences(files, log, "seg")? {
        match Segment::open(files, log, seq, "seg") {
            // All its messages have left in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            segment => segments.push((seq, segment?, None)),
        }
    }
    let headers: Vec<Arc<SegmentHeader>> =
        segments.iter().map(|(_, segment, _)| Arc::clone(&segment.header)).collect();
    for (number, _, cut) in &mut segments {
        *cut = headers.iter().filter_map(|header| header.cut_of(*number)).min();
    }
    Ok(segments)
}

/// A walk over the records of a segment.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    handle: &'a dyn FileHandle,
    salt: u64,
    /// Where the next record begins.
    offset: u64,
    buffer: Vec<u8>,
    /// What of the file the buffer begins with.
    base: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(segment: &'a Segment, offset: u64) -> Self {
        Self { handle: &*segment.handle, salt: segment.header.salt, offset, buffer: Vec::new(), base: offset }
    }

    /// Looks at the next record; stays on whatever is none.
    pub(super) fn next(&mut self) -> io::Result<(Found, &[u8])> {
        let mut need = super::record::HEADER;
        loop {
            let found = parse(self.ahead(), self.salt);
            match found {
                Found::Short(size) if size > need || self.ahead().len() < need => {
                    need = need.max(size);
                    if !self.fill(need)? {
                        return Ok((found, self.ahead()));
                    }
                }
                Found::Record(header) => {
                    let start = usize::try_from(self.offset - self.base).unwrap_or(usize::MAX);
                    self.offset += padded(header.size);
                    let octets = self.buffer.get(start..start + header.size as usize).unwrap_or_default();
                    return Ok((found, octets));
                }
                _ => return Ok((found, self.ahead())),
            }
        }
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on to the next whole record behind what cannot be read; stays when there is none.
    pub(super) fn resync(&mut self) -> io::Result<bool> {
        // No segment has this number: what is looked at was never written, and each octet of it would look like a record.
        if self.salt == 0 {
            return Ok(false);
        }
        let salt = self.salt.to_le_bytes();
        let (here, mut from) = (self.offset, self.offset + 1);
        loop {
            self.seek(from);
            self.fill(CHUNK)?;
            let window = self.ahead();
            if window.len() < salt.len() {
                self.seek(here);
                return Ok(false);
            }
            let Some(at) = memmem::find(window, &salt) else {
                from += (window.len() - salt.len() + 1) as u64;
                continue;
            };
            let candidate = from + at as u64;
            from = candidate + 1;
            if candidate.is_multiple_of(8) {
                self.seek(candidate);
                if let (Found::Record(_), _) = self.next()? {
                    self.seek(candidate);
                    return Ok(true);
                }
            }
        }
    }

    /// As `resync`, in a log that is being written: what is followed by something whole has been written to
    /// its end, so that another look decides. Stays when it was whole after all, or when nothing follows.
    fn skip_damage(&mut self) -> io::Result<bool> {
        let here = self.offset;
        if !self.resync()? {
            return Ok(false);
        }
        self.buffer.clear();
        (self.offset, self.base) = (here, here);
        if let (Found::Record(_), _) = self.next()? {
            self.seek(here);
            return Ok(true);
        }
        self.resync()
    }

    /// Whether anything but zeros is behind the position.
    fn has_rest(&mut self) -> io::Result<bool> {
        let (here, mut from) = (self.offset, self.offset);
        let rest = loop {
            self.seek(from);
            self.fill(CHUNK)?;
            let window = self.ahead();
            if window.is_empty() {
                break false;
            }
            if window.iter().any(|octet| *octet != 0) {
                break true;
            }
            from += window.len() as u64;
        };
        self.seek(here);
        Ok(rest)
    }

    fn ahead(&self) -> &[u8] {
        let start = usize::try_from(self.offset - self.base).unwrap_or(usize::MAX);
        self.buffer.get(start..).unwrap_or_default()
    }

    fn seek(&mut self, offset: u64) {
        let inside = offset >= self.base && offset <= self.base + self.buffer.len() as u64;
        self.offset = offset;
        if !inside {
            self.buffer.clear();
            self.base = offset;
        }
    }

    /// Reads on until `need` octets are ahead; says no when the file ends before.
    fn fill(&mut self, need: usize) -> io::Result<bool> {
        let have = self.ahead().len();
        if have >= need {
            return Ok(true);
        }
        let start = usize::try_from(self.offset - self.base).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.drain(..start);
        self.base = self.offset;
        let want = if have == 0 && need <= PEEK { PEEK } else { need.max(CHUNK) };
        self.buffer.resize(want.max(have), 0);
        let count = self
            .buffer
            .get_mut(have..)
            .map_or(Ok(0), |rest| self.handle.read_at(rest, self.base + have as u64))?;
        self.buffer.truncate(have + count);
        Ok(self.buffer.len() >= need)
    }
}

/// What the schedule needs to know of a message.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    pub(super) header: Header,
    pub(super) offset: u64,
    pub(super) received_at: Timestamp,
    pub(super) flow: Flow,
    pub(super) priority: Priority,
    /// Names the body's file.
    pub(super) spool: Option<u128>,
}

/// How far a segment may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Up to the last commit marker: its writer lives. With `patient` no more, what is unreadable is
    /// taken for damage when something whole and committed follows it.
    Live {
        /// Whether something unreadable may still be in the middle of being written.
        patient: bool,
    },
    /// To the end, or to the cut.
    Sealed(Option<u64>),
}

/// What one pass over a segment brought.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) messages: Vec<Sighting>,
    /// Where to go on.
    pub(super) offset: u64,
    /// Gaps that could not be read.
    pub(super) damaged: u64,
    /// A sealed segment is read to its end.
    pub(super) ended: bool,
    /// A live segment has something unreadable at its end.
    pub(super) stuck: bool,
}

#[derive(Deserialize)]
struct Brief {
    received_at: Timestamp,
    reverse_path: ReversePath,
    origin: BriefOrigin,
    #[serde(default)]
    priority: Priority,
}

#[derive(Deserialize)]
struct BriefOrigin {
    peer: Option<IpAddr>,
    #[serde(default)]
    authenticated: Option<AccountId>,
}

/// Reads messages from `from` on, about `limit` of them.
pub(super) fn pass(segment: &Segment, from: u64, extent: Extent, limit: usize) -> io::Result<Pass> {
    let mut scan = Scan::new(segment, from.max(START));
    let mut pass = Pass { offset: scan.offset(), ..Pass::default() };
    let (mut pending, mut pending_damage) = (Vec::new(), 0);
    let sealed = matches!(extent, Extent::Sealed(_));
    loop {
        if let Extent::Sealed(Some(cut)) = extent
            && scan.offset() >= cut
        {
            pass.ended = true;
            return Ok(pass);
        }
        if pass.messages.len() >= limit {
            return Ok(pass);
        }
        let offset = scan.offset();
        match scan.next()? {
            (Found::Record(header), octets) => {
                match header.kind {
                    Kind::Inline | Kind::Spooled => match sighting(header, octets, offset) {
                        Some(sighting) => pending.push(sighting),
                        None => pending_damage += 1,
                    },
                    Kind::Commit | Kind::Done | Kind::Waiting => {}
                }
                if sealed || header.kind == Kind::Commit {
                    pass.messages.append(&mut pending);
                    pass.damaged += std::mem::take(&mut pending_damage);
                    pass.offset = scan.offset();
                }
            }
            (found, _) => match extent {
                Extent::Live { patient: false } if found != Found::Blank && scan.skip_damage()? => {
                    pending_damage += u64::from(scan.offset() != offset);
                }
                Extent::Live { .. } => {
                    pass.stuck = found != Found::Blank;
                    return Ok(pass);
                }
                Extent::Sealed(_) if scan.resync()? => pass.damaged += 1,
                Extent::Sealed(_) => {
                    pass.damaged += u64::from(scan.has_rest()?);
                    pass.ended = true;
                    return Ok(pass);
                }
            },
        }
    }
}

fn sighting(header: Header, octets: &[u8], offset: u64) -> Option<Sighting> {
    let brief: Brief = serde_json::from_slice(octets.get(header.envelope_range())?).ok()?;
    let spool = header.reference(octets).map(|(_, name)| name);
    let flow = Flow::from_parts(brief.origin.authenticated.as_ref(), &brief.reverse_path, brief.origin.peer);
    let Brief { received_at, priority, .. } = brief;
    Some(Sighting { header, offset, received_at, flow, priority, spool })
}

/// Shows every record of the consumer's log to `visit`. Returns how many gaps there were, not counting
/// an end that is being written or that a crash left half-written.
pub(super) fn each_record(
    segment: &Segment,
    mut visit: impl FnMut(Kind, MessageId, &[u8], &[u8]),
) -> io::Result<u64> {
    let mut scan = Scan::new(segment, START);
    let mut damaged = 0;
    loop {
        let offset = scan.offset();
        match scan.next()? {
            (Found::Record(header), octets) => {
                let envelope = octets.get(header.envelope_range()).unwrap_or_default();
                visit(header.kind, header.id, envelope, octets.get(header.body_range()).unwrap_or_default());
            }
            // The log may be at work.
            (_, _) if scan.skip_damage()? => damaged += u64::from(scan.offset() != offset),
            (_, _) => return Ok(damaged),
        }
    }
}
