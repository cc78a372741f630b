//! What is put between a process and its system: `shim.c`, built once a round, and the file by which it is told what to do.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

const SOURCE: &str = include_str!("shim.c");
/// Set for a process whose syncs do nothing.
pub(super) const OFF: &str = "SLUICE_SHIM_OFF";
/// Set for a process that ends when it writes the poisoned message.
pub(super) const POISON: &str = "SLUICE_SHIM_POISON";
/// Octets of the file; the fields are those of `struct control`.
const SIZE: u64 = 16;

/// The library that is loaded in front of the C library.
#[derive(Debug, Clone)]
pub(super) struct Library(PathBuf);

impl Library {
    pub(super) fn build(folder: &Path) -> anyhow::Result<Self> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, SOURCE)?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .context("failed to start cc")?;
        ensure!(built.success(), "the shim was not built");
        Ok(Self(library))
    }

    /// The shim of one machine.
    pub(super) fn shim(&self, folder: &Path, name: &str) -> anyhow::Result<Shim> {
        let path = folder.join(format!("{name}.shim"));
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        file.set_len(SIZE)?;
        // The broker runs as a user of its own.
        file.set_permissions(std::fs::Permissions::from_mode(0o666))?;
        Ok(Shim { library: self.0.clone(), path, file })
    }
}

/// What the processes of one machine are told.
#[derive(Debug)]
pub(super) struct Shim {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Shim {
    /// Of a process that listens to this.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("LD_PRELOAD".to_owned(), self.library.display().to_string()),
            ("SLUICE_SHIM".to_owned(), self.path.display().to_string()),
        ]
    }

    /// The wall clock is off by so many seconds.
    pub(super) fn clock(&self, seconds: i64) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }

    /// Each sync takes longer by so much.
    pub(super) fn delay(&self, milliseconds: u32) -> anyhow::Result<()> {
        self.set(8, milliseconds)
    }

    /// The next syncs fail.
    pub(super) fn fail(&self, syncs: u32) -> anyhow::Result<()> {
        self.set(12, syncs)
    }

    fn set(&self, offset: u64, value: u32) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&value.to_ne_bytes(), offset)?)
    }
}
