//! Message bodies on their way into the queue.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::files::Files;

mod writer;

pub use writer::BodyWriter;
pub(crate) use writer::SpoolPlace;

/// The octets of a message, header and text, CRLF line ends. Made by a [`BodyWriter`], or from
/// octets at hand.
#[derive(Debug)]
pub enum Body {
    /// In memory: up to the threshold of the body writer.
    Memory(Bytes),
    /// In a spool file that the queue made and takes over at publish; removed when this is dropped unpublished.
    Spooled(SpooledBody),
}

/// A large body in a file beside the queue, already synced.
pub struct SpooledBody {
    files: Arc<dyn Files>,
    /// Where the octets are; empty when the file belongs to the queue.
    path: PathBuf,
    size: u64,
    crc: u32,
    /// Random: tells two publications of one message apart.
    name: u128,
}

impl Body {
    /// Octets in the body.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spooled(spooled) => spooled.size,
        }
    }

    /// The octets, read from the spool file when they are there.
    pub async fn read(&self) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::Spooled(spooled) => {
                let (files, path, size) = (Arc::clone(&spooled.files), spooled.path.clone(), spooled.size);
                blocking(move || read_whole(&*files, &path, size)).await
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Memory(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(bytes.into())
    }
}

impl SpooledBody {
    pub(crate) const fn new(files: Arc<dyn Files>, path: PathBuf, name: u128) -> Self {
        Self { files, path, size: 0, crc: 0, name }
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The random part of the file's name.
    pub(crate) const fn name(&self) -> u128 {
        self.name
    }

    /// CRC32C of the octets.
    pub(crate) const fn crc(&self) -> u32 {
        self.crc
    }

    /// Moves the file to the name that a record will refer to, durably. Blocks.
    pub(crate) fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        self.files.rename(&self.path, &to)?;
        self.path = to;
        self.path.parent().map_or(Ok(()), |parent| self.files.sync_directory(parent))
    }

    /// The record that refers to the file is durable: the queue removes it when the message is settled.
    pub(crate) fn hand_over(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for SpooledBody {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed now is an orphan that the next open removes.
            let _ = self.files.remove(&self.path);
        }
    }
}

impl fmt::Debug for SpooledBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpooledBody").field("path", &self.path).field("size", &self.size).finish()
    }
}

/// Reads a file that must hold exactly `size` octets.
pub(crate) fn read_whole(files: &dyn Files, path: &Path, size: u64) -> io::Result<Bytes> {
    let found = files.size(path)?;
    if found != size {
        let text = format!("{found} octets where {size} were written");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut buffer = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    if files.open(path)?.read_at(&mut buffer, 0)? != buffer.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(buffer.into())
}

/// Runs a blocking step on tokio's pool; a panic in it is an error.
pub(crate) async fn blocking<T: Send + 'static>(
    step: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(step).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
