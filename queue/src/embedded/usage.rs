//! How much room the queue has.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::spare;
use crate::files::Files;

/// How long a measurement of the directory is believed; what this process adds is counted at once.
const BELIEVED: Duration = Duration::from_secs(1);

/// Watches the size of the queue's directory and the free space of its disk.
#[derive(Debug)]
pub(super) struct Usage {
    files: Arc<dyn Files>,
    directory: PathBuf,
    free_space_min: u64,
    bytes_max: u64,
    bytes: u64,
    measured: Option<Instant>,
}

impl Usage {
    pub(super) const fn new(
        files: Arc<dyn Files>,
        directory: PathBuf,
        free_space_min: u64,
        bytes_max: u64,
    ) -> Self {
        Self { files, directory, free_space_min, bytes_max, bytes: 0, measured: None }
    }

    /// Says why there is no room for `size` more octets.
    pub(super) fn refusal(&mut self, size: u64) -> io::Result<Option<String>> {
        let free = self.files.free_space(&self.directory)?;
        if free < self.free_space_min.saturating_add(size) {
            return Ok(Some(format!("{free} octets are free, {} must stay free", self.free_space_min)));
        }
        if self.measured.is_none_or(|measured| measured.elapsed() > BELIEVED)
            || self.bytes.saturating_add(size) > self.bytes_max
        {
            self.bytes = directory_size(&*self.files, &self.directory)?;
            self.measured = Some(Instant::now());
        }
        if self.bytes.saturating_add(size) > self.bytes_max {
            return Ok(Some(format!("the queue's directory holds {} of {}", self.bytes, self.bytes_max)));
        }
        self.bytes += size;
        Ok(None)
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Octets in the logs and body files of all writers, and in the consumer's log; not what is only made ready for a log.
fn directory_size(files: &dyn Files, directory: &Path) -> io::Result<u64> {
    let mut total = flat_size(files, &directory.join("consumer"))?;
    for part in ["log", "spool"] {
        let part = directory.join(part);
        for writer in files.list(&part)? {
            total += flat_size(files, &part.join(writer))?;
        }
    }
    Ok(total)
}

fn flat_size(files: &dyn Files, directory: &Path) -> io::Result<u64> {
    let mut total = 0;
    for name in files.list(directory)?.iter().filter(|name| *name != spare::NAME) {
        match files.size(&directory.join(name)) {
            Ok(size) => total += size,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
