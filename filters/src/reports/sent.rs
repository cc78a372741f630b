//! Which reports of a day went out: a file that only grows, a line each.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Day, ReportKind};

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SentError {
    /// The disk.
    #[error("failed to {step} `{path}`")]
    Io {
        /// What was tried.
        step: &'static str,
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another command sends reports of the day.
    #[error("reports of this day are being sent already (`{0}` is locked)")]
    InUse(String),
}

/// A report that was handed to the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentEntry {
    /// About which domain.
    pub domain: String,
    /// To whom.
    pub address: String,
    /// The report's name.
    pub report_id: String,
    /// The mail's id.
    pub id: String,
}

/// The file, locked as long as it is open for sending.
#[derive(Debug)]
pub struct Sent {
    path: PathBuf,
    entries: Vec<SentEntry>,
    file: Option<File>,
}

impl Sent {
    /// What it says. Blocks.
    pub fn read(kind: ReportKind, folder: &Path, day: Day) -> Result<Self, SentError> {
        let path = kind.sent_path(folder, day);
        let entries = entries(&path)?;
        Ok(Self { path, entries, file: None })
    }

    /// Opens it to go on; nobody else can meanwhile. Blocks.
    pub fn open(kind: ReportKind, folder: &Path, day: Day) -> Result<Self, SentError> {
        let path = kind.sent_path(folder, day);
        let failed = |step| {
            let path = path.display().to_string();
            move |source| SentError::Io { step, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make the folder of"))?;
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let file = opened.map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(SentError::InUse(path.display().to_string()));
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        // Names are on disk before the first mail goes.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of"))?;
        let entries = entries(&path)?;
        Ok(Self { path, entries, file: Some(file) })
    }

    /// Everything that went out.
    pub fn entries(&self) -> &[SentEntry] {
        &self.entries
    }

    /// How often a domain's report went to an address.
    pub fn times(&self, domain: &str, address: &str) -> usize {
        self.entries.iter().filter(|entry| entry.domain == domain && entry.address == address).count()
    }

    /// Notes one more, synced. Blocks.
    pub fn note(&mut self, entry: SentEntry) -> Result<(), SentError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let failed = |source| SentError::Io { step: "write", path: self.path.display().to_string(), source };
        let text = serde_json::to_string(&entry).map_err(|error| failed(error.into()))?;
        // A line end in front ends what a crash may have torn.
        file.write_all(format!("\n{text}\n").as_bytes()).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        self.entries.push(entry);
        Ok(())
    }
}

/// What makes no sense was torn: that mail may go again, under the same name.
fn entries(path: &Path) -> Result<Vec<SentEntry>, SentError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(SentError::Io { step: "read", path: path.display().to_string(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_known_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let day = Day::of(0);
        let entry = |domain: &str| SentEntry {
            domain: domain.to_owned(),
            address: "d@a.test".to_owned(),
            report_id: "1".to_owned(),
            id: "2".to_owned(),
        };
        let mut sent = Sent::open(ReportKind::Dmarc, folder.path(), day).unwrap();
        sent.note(entry("a.test")).unwrap();
        assert!(matches!(Sent::open(ReportKind::Dmarc, folder.path(), day), Err(SentError::InUse(_))));
        drop(sent);
        let path = ReportKind::Dmarc.sent_path(folder.path(), day);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"domain\":\"b.test\",\"addr");
        std::fs::write(&path, text).unwrap();
        let mut sent = Sent::open(ReportKind::Dmarc, folder.path(), day).unwrap();
        assert_eq!((sent.times("a.test", "d@a.test"), sent.times("b.test", "d@a.test")), (1, 0));
        sent.note(entry("b.test")).unwrap();
        let sent = Sent::read(ReportKind::Dmarc, folder.path(), day).unwrap();
        assert_eq!(sent.entries(), [entry("a.test"), entry("b.test")]);
        assert_eq!(Sent::read(ReportKind::Tls, folder.path(), day).unwrap().entries(), []);
    }
}
