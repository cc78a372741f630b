//! Streams a message into memory, and beyond a threshold into a spool file.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Body, SpooledBody, blocking};
use crate::files::{FileHandle, Files};

/// How much is gathered before it is written to the spool file.
const CHUNK: usize = 256 << 10;
/// The same when memory is short.
const SPILL_CHUNK: usize = 16 << 10;

/// Where large bodies are spooled.
#[derive(Debug, Clone)]
pub(crate) struct SpoolPlace {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) directory: PathBuf,
    /// Below this much free space no spool file is begun.
    pub(crate) free_space_min: u64,
}

/// Takes the octets of one message as they arrive. Dropping it, or the [`Body`] that it makes,
/// unpublished leaves nothing behind.
#[derive(Debug)]
pub struct BodyWriter {
    buffer: Vec<u8>,
    size: u64,
    inline_max: usize,
    /// How much is gathered before it goes to the spool file.
    chunk: usize,
    place: Option<SpoolPlace>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Everything is in the buffer.
    Memory,
    /// All but the buffer is in the file.
    Spool(Spool),
    /// A write failed or was abandoned half-way; nothing more can be said about the file.
    Broken,
}

#[derive(Debug)]
struct Spool {
    handle: Arc<dyn FileHandle>,
    /// Removes the file when this is dropped.
    body: SpooledBody,
}

impl BodyWriter {
    /// A writer that keeps everything in memory.
    pub const fn in_memory() -> Self {
        Self {
            buffer: Vec::new(),
            size: 0,
            inline_max: usize::MAX,
            chunk: CHUNK,
            place: None,
            state: State::Memory,
        }
    }

    /// A writer that spools what exceeds `inline_max`.
    pub(crate) const fn spooling(inline_max: usize, place: SpoolPlace) -> Self {
        Self {
            buffer: Vec::new(),
            size: 0,
            inline_max,
            chunk: CHUNK,
            place: Some(place),
            state: State::Memory,
        }
    }

    /// Octets taken so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Octets that are in memory now.
    pub const fn buffered(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Takes more octets. An error (a full disk is of kind `StorageFull`) ends the message: drop the
    /// writer and refuse for now. So does a write that was dropped before it was done.
    pub async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if matches!(self.state, State::Broken) {
            return Err(broken());
        }
        let limit = if matches!(self.state, State::Memory) { self.inline_max } else { self.chunk };
        let fits = self.buffer.len().saturating_add(data.len()) <= limit;
        self.buffer.extend_from_slice(data);
        self.size += data.len() as u64;
        if fits { Ok(()) } else { self.flush(false).await }
    }

    /// Puts what is in memory onto the disk and keeps little from here on: for when memory is short. An error as of
    /// [`Self::write`]; of kind `Unsupported` when there is no disk, and then nothing is lost.
    pub async fn spill(&mut self) -> io::Result<()> {
        if self.place.is_none() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.chunk = SPILL_CHUNK;
        self.flush(false).await?;
        self.buffer = Vec::new();
        Ok(())
    }

    /// Ends the message. A spooled one is on disk when this returns.
    pub async fn finish(mut self) -> io::Result<Body> {
        match self.state {
            State::Memory => return Ok(Body::Memory(self.buffer.into())),
            State::Spool(_) => self.flush(true).await?,
            State::Broken => return Err(broken()),
        }
        match self.state {
            State::Spool(spool) => Ok(Body::Spooled(spool.body)),
            State::Memory | State::Broken => Err(broken()),
        }
    }

    async fn flush(&mut self, sync: bool) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let state = std::mem::replace(&mut self.state, State::Broken);
        let place = self.place.clone();
        let (buffer, spool) = blocking(move || {
            let mut spool = match state {
                State::Spool(spool) => spool,
                State::Memory | State::Broken => Spool::create(place.ok_or_else(broken)?)?,
            };
            spool.handle.write_at(&buffer, spool.body.size)?;
            spool.body.size += buffer.len() as u64;
            spool.body.crc = crc32c::crc32c_append(spool.body.crc, &buffer);
            if sync {
                spool.handle.sync()?;
            }
            Ok((buffer, spool))
        })
        .await?;
        self.buffer = buffer;
        self.buffer.clear();
        self.state = State::Spool(spool);
        Ok(())
    }
}

impl Spool {
    fn create(place: SpoolPlace) -> io::Result<Self> {
        if place.files.free_space(&place.directory)? < place.free_space_min {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = u128::from_be_bytes(random);
        let path = place.directory.join(format!("{name:032x}.tmp"));
        let handle = place.files.create(&path)?;
        Ok(Self { handle, body: SpooledBody::new(place.files, path, name) })
    }
}

fn broken() -> io::Error {
    io::Error::other("an earlier write of this body failed or was abandoned")
}
