//! Message bodies on their way into the queue.

use std::path::PathBuf;

use bytes::Bytes;

/// The octets of a message, header and text, CRLF line ends.
#[derive(Debug)]
pub enum Body {
    /// In memory: up to the threshold of the body writer.
    Memory(Bytes),
    /// In a spool file that the queue made and takes over at publish; removed when this is dropped unpublished.
    Spooled(SpooledBody),
}

/// A large body in a file beside the queue.
#[derive(Debug)]
pub struct SpooledBody {
    /// Where the octets are.
    pub(crate) path: PathBuf,
    /// How many there are.
    pub(crate) size: u64,
}

impl Body {
    /// Octets in the body.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spooled(spooled) => spooled.size,
        }
    }
}

impl Drop for SpooledBody {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
