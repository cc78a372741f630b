//! `<data>/run/<process>.json`: what a running process listens on, for scripts and for the other roles.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Written when every listener is bound and ready, removed at the end. A process that was killed leaves it behind:
/// `pid` tells.
#[derive(Serialize, Deserialize)]
pub(crate) struct Announcement {
    /// The process.
    pub(crate) pid: u32,
    /// Service to address.
    pub(crate) addresses: BTreeMap<String, SocketAddr>,
}

/// The file while the process runs.
pub(crate) struct Announced {
    path: PathBuf,
}

impl Announcement {
    /// Writes the file whole, by rename.
    pub(crate) fn publish(&self, folder: &Path, process: &str) -> anyhow::Result<Announced> {
        let path = folder.join(format!("{process}.json"));
        let draft = folder.join(format!(".{process}.json.{}", self.pid));
        let text = serde_json::to_string_pretty(self).context("failed to write the announcement")?;
        std::fs::write(&draft, text).with_context(|| format!("failed to write `{}`", draft.display()))?;
        std::fs::rename(&draft, &path).with_context(|| format!("failed to write `{}`", path.display()))?;
        Ok(Announced { path })
    }

    /// What the named process announced, if it has.
    pub(crate) fn read(folder: &Path, process: &str) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(format!("{process}.json"))).ok()?;
        serde_json::from_str(&text).ok()
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
