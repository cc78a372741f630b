//! The directory that gateways and workers share, for bodies that are too large for the broker.
//!
//! ```text
//!  <spool_dir>/<n>.tmp            on its way; removed at a start when it is older than a day and a half
//!             /<id>-<n>.body      a message in the broker refers to it; removed by whoever acknowledges the last recipient
//! ```
//! A gateway that dies between the file's name and the broker's confirmation leaves a file that nothing refers to. It stays: only the broker knows which files its messages
//! name, and those that are held or dead may be of any age.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use envelope::MessageId;

use super::wire::Spooled;
use crate::body::{Body, SpoolPlace, SpooledBody, blocking, read_whole};
use crate::files::Files;
use crate::{BodyWriter, Config};

/// As old as what a crash left behind must be (Maildir's custom for `tmp`).
const DRAFT_AGE: Duration = Duration::from_secs(36 * 3600);

/// The shared directory.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    files: Arc<dyn Files>,
    directory: PathBuf,
    inline_max: usize,
    free_space_min: u64,
}

/// A body that is where a message may refer to it, until the broker has the message.
pub(crate) enum Kept {
    Inline(Bytes),
    File(SpooledBody, Spooled),
}

impl Spool {
    /// Opens the directory, making it if need be. Blocks.
    pub(super) fn open(files: Arc<dyn Files>, config: &Config) -> io::Result<Self> {
        let directory = config.rabbitmq.spool_dir.clone();
        files.create_directory(&directory)?;
        remove_drafts(&directory)?;
        let (inline_max, free_space_min) = (config.inline_max.as_usize(), config.free_space_min.as_u64());
        Ok(Self { files, directory, inline_max, free_space_min })
    }

    pub(super) fn writer(&self) -> BodyWriter {
        let place = SpoolPlace {
            files: Arc::clone(&self.files),
            directory: self.directory.clone(),
            free_space_min: self.free_space_min,
        };
        BodyWriter::spooling(self.inline_max, place)
    }

    /// Gives the body the name that a message will refer to.
    pub(super) async fn keep(&self, id: MessageId, body: Body) -> io::Result<Kept> {
        let mut spooled = match body {
            Body::Memory(bytes) if bytes.len() <= self.inline_max => return Ok(Kept::Inline(bytes)),
            Body::Memory(bytes) => {
                let mut writer = self.writer();
                writer.write(&bytes).await?;
                match writer.finish().await? {
                    Body::Spooled(spooled) => spooled,
                    Body::Memory(bytes) => return Ok(Kept::Inline(bytes)),
                }
            }
            Body::Spooled(spooled) => spooled,
        };
        let name = format!("{id}-{:032x}.body", spooled.name());
        let reference = Spooled { name: name.clone(), size: spooled.size(), crc: spooled.crc() };
        let path = self.directory.join(name);
        let spooled = blocking(move || spooled.rename(path).map(|()| spooled)).await?;
        Ok(Kept::File(spooled, reference))
    }

    pub(super) async fn read(&self, spooled: &Spooled) -> io::Result<Bytes> {
        let (files, path, crc, size) =
            (Arc::clone(&self.files), self.path(spooled)?, spooled.crc, spooled.size);
        let bytes = blocking(move || read_whole(&*files, &path, size)).await?;
        if crc32c::crc32c(&bytes) == crc {
            Ok(bytes)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of the spooled body is another"))
        }
    }

    /// The message has left.
    pub(super) async fn remove(&self, spooled: &Spooled) {
        let Ok(path) = self.path(spooled) else { return };
        let files = Arc::clone(&self.files);
        let removed = blocking({
            let path = path.clone();
            move || files.remove(&path)
        });
        match removed.await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "failed to remove a spooled body");
            }
            _ => {}
        }
    }

    /// What comes from the broker names a file here and nowhere else.
    fn path(&self, spooled: &Spooled) -> io::Result<PathBuf> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let stem =
            spooled.name.strip_suffix(".body").filter(|stem| !stem.is_empty() && stem.bytes().all(plain));
        match stem {
            Some(_) => Ok(self.directory.join(&spooled.name)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "this is no name of a spooled body")),
        }
    }
}

fn remove_drafts(directory: &Path) -> io::Result<()> {
    let Some(before) = SystemTime::now().checked_sub(DRAFT_AGE) else { return Ok(()) };
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_draft = path.extension().is_some_and(|extension| extension == "tmp");
        let modified = path.metadata().and_then(|metadata| metadata.modified());
        if is_draft && modified.is_ok_and(|modified| modified < before) {
            // Another node may be at it too.
            let _ = std::fs::remove_file(&path);
        }
    }
    Ok(())
}
