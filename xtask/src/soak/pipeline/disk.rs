//! The disk of one machine: a file system of its own in a file, whose power can be cut and which can be full.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Ends a file system as a power cut does: what it has not written by now is never written (ext4's shutdown without a flush of its log).
const SHUTDOWN: &str = "import fcntl, os, struct, sys\nfcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))\n";
const FILLER: &str = "filler";

/// A folder with a file system of its own.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// Makes one of so many MiB and mounts it on the folder.
    pub(super) fn make(folder: &Path, size: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let disk = Self { folder: folder.to_owned(), image: folder.with_extension("img") };
        std::fs::File::create(&disk.image)?.set_len(u64::from(size) << 20)?;
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&disk.image))?;
        disk.mount()?;
        Ok(disk)
    }

    /// Whether this machine lets us.
    pub(super) fn possible(folder: &Path) -> bool {
        let place = folder.join("try");
        let made = Self::make(&place, 16).and_then(|disk| disk.cut_power());
        made.is_ok()
    }

    fn mount(&self) -> anyhow::Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.folder]))
    }

    /// What is not on the disk by now is gone. No process may have a file open here.
    pub(super) fn cut_power(&self) -> anyhow::Result<()> {
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&self.folder))?;
        run(Command::new("umount").arg(&self.folder))?;
        self.mount()
    }

    /// Leaves no room.
    pub(super) fn fill(&self) -> anyhow::Result<()> {
        let output =
            Command::new("df").args(["--output=avail", "--block-size=1"]).arg(&self.folder).output()?;
        let text = String::from_utf8(output.stdout)?;
        let free: u64 = text.lines().last().and_then(|line| line.trim().parse().ok()).context("df")?;
        // Others write meanwhile: what is left after an attempt that took too much is tried again in smaller pieces.
        let filler = self.folder.join(FILLER);
        for size in [free, free.saturating_sub(free / 16)] {
            let filled = Command::new("fallocate").arg("-l").arg(size.to_string()).arg(&filler).output()?;
            if filled.status.success() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub(super) fn free(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.folder.join(FILLER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            // A power cut must not bring it back.
            _ => Ok(std::fs::File::open(&self.folder)?.sync_all()?),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
        let _ = std::fs::remove_file(&self.image);
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
