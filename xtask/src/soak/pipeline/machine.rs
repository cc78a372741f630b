//! The machines of a round: what each has of its own, as far as this machine lets us give it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::Disk;
use super::shim::{Library, Shim};
use super::wires::{self, Wires};

/// MiB of a gateway's disk; of the storage that all share; of a broker's, whose log grows while one of its nodes is away.
pub(super) const OWN_DISK: u32 = 1024;
pub(super) const SHARED_DISK: u32 = 8192;
pub(super) const BROKER_DISK: u32 = 6144;

/// What can be had here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Means {
    /// A network namespace for each machine.
    pub(super) spaces: bool,
    /// A file system for each machine.
    pub(super) disks: bool,
}

impl Means {
    pub(super) fn find(folder: &Path) -> Self {
        let prefix = format!("sluice-{}", std::process::id());
        Self { spaces: Wires::possible(&prefix), disks: Disk::possible(folder) }
    }

    /// What can't be tried.
    pub(super) fn missing(self) -> Option<&'static str> {
        match (self.spaces, self.disks) {
            (true, true) => None,
            (false, true) => Some("no network namespaces: no wire is cut"),
            (true, false) => Some("no file systems of our own: no power is cut, no disk is full"),
            (false, false) => Some("no network namespaces and no file systems of our own: processes only"),
        }
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) space: Option<String>,
    pub(super) folder: PathBuf,
    pub(super) disk: Option<Disk>,
    pub(super) shim: Shim,
}

/// What machines are made of.
pub(super) struct Workshop {
    pub(super) folder: PathBuf,
    pub(super) means: Means,
    pub(super) wires: Option<Wires>,
    pub(super) library: Library,
}

impl Workshop {
    pub(super) fn open(folder: &Path, means: Means) -> anyhow::Result<Self> {
        let prefix = format!("sluice-{}", std::process::id());
        let wires = means.spaces.then(|| Wires::lay(&prefix)).transpose()?;
        let library = Library::build(folder)?;
        Ok(Self { folder: folder.to_owned(), means, wires, library })
    }

    /// A machine with a disk of so many MiB, or with a part of this machine's.
    pub(super) fn machine(&mut self, name: &str, disk: Option<u32>) -> anyhow::Result<Machine> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let disk = disk.filter(|_| self.means.disks).map(|size| Disk::make(&folder, size)).transpose()?;
        let plugged = self.wires.as_mut().map(|wires| wires.plug(name)).transpose()?;
        let (space, address) = match plugged {
            Some((space, address)) => (Some(space), address),
            None => (None, "127.0.0.1".to_owned()),
        };
        let shim = self.library.shim(&self.folder, name)?;
        Ok(Machine { name: name.to_owned(), address, space, folder, disk, shim })
    }
}

impl Machine {
    /// A program on this machine, without the shim.
    pub(super) fn command(&self, program: &Path) -> Command {
        let Some(space) = &self.space else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{space}")).arg(program);
        command
    }

    /// Nothing comes from `other` any more, and, when it is cut both ways, nothing goes there.
    pub(super) fn cut(&self, other: &str, both: bool) -> anyhow::Result<()> {
        self.space.as_ref().map_or(Ok(()), |space| wires::cut(space, other, both))
    }

    /// What was cut here is whole.
    pub(super) fn heal(&self) -> anyhow::Result<()> {
        self.space.as_ref().map_or(Ok(()), |space| wires::heal(space))
    }
}
