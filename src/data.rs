//! The data folder: where everything of one installation lies unless the configuration says otherwise.
//!
//! ```text
//! sluice-data/
//!   directory.sqlite      domains, accounts, aliases
//!   filters/              which set of rules was good last, and which were taken back; in `reports/` counts for aggregate reports
//!   installation          how far the first start came
//!   mail/                 Maildirs
//!   policy/               rules of the security team, unless the configuration names another folder
//!   queue/                accepted messages on their way
//!   reputation.json       networks that an operator blocks or allows, unless they are in Redis
//!   run/                  what running processes listen on; locks; sockets of `sluice reputation`
//!   tls/                  the self-signed certificate; in `acme/` the one from an authority, and the account there
//!   trail/                what became of every message
//! ```

use std::fs::{DirBuilder, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Says how far the first start came.
const INSTALLATION: &str = "installation";
const BEGUN: &str = "begun\n";
const COMPLETE: &str = "complete\n";

/// An existing data folder.
pub(crate) struct DataFolder {
    root: PathBuf,
}

/// Held while a process plays its role over the folder.
pub(crate) struct ProcessLock {
    _file: File,
}

impl DataFolder {
    /// The folder at `root`, made with its parts if it is not there.
    pub(crate) fn create(root: &Path) -> anyhow::Result<Self> {
        let folder = Self { root: std::path::absolute(root).context("failed to find the data folder")? };
        for part in [folder.root.clone(), folder.run(), folder.trail()] {
            // Mail is nobody else's business.
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&part)
                .with_context(|| format!("failed to make the folder `{}`", part.display()))?;
        }
        Ok(folder)
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

    /// Whether nothing was installed here, or a first start did not come to its end. A folder whose first start is done, or
    /// that holds anything, is never new: what is missing there is away, and must not be made anew.
    pub(crate) fn is_new(&self) -> bool {
        match std::fs::read_to_string(self.root.join(INSTALLATION)).as_deref() {
            Ok(BEGUN) => true,
            Ok(_) => false,
            Err(_) => {
                ["directory.sqlite", "mail", "queue"].iter().all(|part| is_empty(&self.root.join(part)))
            }
        }
    }

    /// A first start begins: whatever ends it, the next start takes it up.
    pub(crate) fn begin_installation(&self) -> anyhow::Result<()> {
        self.note(BEGUN)
    }

    /// Everything that a first start makes is there.
    pub(crate) fn complete_installation(&self) -> anyhow::Result<()> {
        self.note(COMPLETE)
    }

    /// Says how far the first start came, whole or not at all, and on disk.
    fn note(&self, word: &str) -> anyhow::Result<()> {
        let (path, draft) = (self.root.join(INSTALLATION), self.root.join(".installation.new"));
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(word.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            File::open(&self.root)?.sync_all()
        };
        write().with_context(|| format!("failed to write `{}`", path.display()))
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

    /// What the checks must know after a restart.
    pub(crate) fn filters(&self) -> PathBuf {
        self.root.join("filters")
    }

    /// Counts for aggregate reports.
    pub(crate) fn reports(&self) -> PathBuf {
        self.filters().join("reports")
    }

    /// The rules of the security team, where the configuration names no folder.
    pub(crate) fn policy(&self) -> PathBuf {
        self.root.join("policy")
    }

    /// The local lists of the gateway.
    pub(crate) fn local_lists(&self) -> PathBuf {
        self.root.join("reputation.json")
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

/// Whether nothing is at `path`, or a folder with nothing in it but what a fresh file system has.
fn is_empty(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "lost+found")),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_is_taken_up_until_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        let data = DataFolder::create(&root).unwrap();
        assert!(data.is_new());
        // What another role, or a start that was killed at once, leaves.
        let lock = data.lock("gateway").unwrap();
        assert!(DataFolder::create(&root).unwrap().is_new());
        // A fresh file system mounted for the mail.
        std::fs::create_dir_all(root.join("mail/lost+found")).unwrap();
        assert!(data.is_new());
        data.begin_installation().unwrap();
        std::fs::write(root.join("directory.sqlite"), "x").unwrap();
        assert!(data.is_new());
        data.complete_installation().unwrap();
        assert!(!data.is_new());
        // Away is not new.
        std::fs::remove_file(root.join("directory.sqlite")).unwrap();
        assert!(!data.is_new());
        drop(lock);
    }

    #[test]
    fn a_folder_that_holds_anything_is_not_new() {
        for (part, is_folder) in [("directory.sqlite", false), ("mail/x", true), ("queue/log", true)] {
            let folder = tempfile::tempdir().unwrap();
            let data = DataFolder::create(folder.path()).unwrap();
            let path = folder.path().join(part);
            if is_folder {
                std::fs::create_dir_all(path).unwrap();
            } else {
                std::fs::write(path, "x").unwrap();
            }
            assert!(!data.is_new(), "{part}");
        }
    }
}
