//! The data folder: where everything of one installation lies unless the configuration says otherwise.
//!
//! ```text
//! sluice-data/
//!   directory.sqlite      domains, accounts, aliases
//!   mail/                 Maildirs
//!   queue/                accepted messages on their way
//!   run/                  what running processes listen on; locks
//!   tls/                  the self-signed certificate
//!   trail/                what became of every message
//! ```

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// An existing data folder.
pub(crate) struct DataFolder {
    root: PathBuf,
}

/// Held while a process plays its role over the folder.
pub(crate) struct ProcessLock {
    _file: File,
}

impl DataFolder {
    /// The folder at `root`, made with its parts if it is not there. Gives whether it is new.
    pub(crate) fn create(root: &Path) -> anyhow::Result<(Self, bool)> {
        let new = !root.join("run").is_dir();
        let folder = Self { root: std::path::absolute(root).context("failed to find the data folder")? };
        for part in [folder.root.clone(), folder.run(), folder.trail()] {
            // Mail is nobody else's business.
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&part)
                .with_context(|| format!("failed to make the folder `{}`", part.display()))?;
        }
        Ok((folder, new))
    }

    /// The folder at `root`; refused when nothing was started there yet.
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        if !root.join("run").is_dir() {
            bail!(
                "`{}` is no data folder: start `sluice up --data {}` once, or give the right --data",
                root.display(),
                root.display()
            );
        }
        Ok(Self { root: std::path::absolute(root).context("failed to find the data folder")? })
    }

    /// Whether `path` lies in this folder.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    /// Where running processes say what they listen on.
    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Where the trail is.
    pub(crate) fn trail(&self) -> PathBuf {
        self.root.join("trail")
    }

    /// Where the self-signed certificate is.
    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// Makes sure that one process plays the role `process` over this folder.
    pub(crate) fn lock(&self, process: &str) -> anyhow::Result<ProcessLock> {
        let path = self.run().join(format!("{process}.lock"));
        let file = File::create(&path).with_context(|| format!("failed to make `{}`", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(ProcessLock { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "another process runs `sluice {process}` over `{}`: stop it first, or give another --data",
                self.root.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("failed to lock `{}`", path.display()))
            }
        }
    }
}
