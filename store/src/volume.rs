//! The directories that hold mail: the root and the volumes beside it, each best a file system of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use envelope::{AccountId, Usage};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use crate::config::{Config, MAIN};
use crate::error::At as _;
use crate::fs::{Free, Fs, FsFile, RealFs};
use crate::metrics::Metrics;
use crate::{StoreError, layout, mount};

const MARKER: &str = "sluice.volume";
const MARKER_TEXT: &[u8] = b"This directory holds mail. Sluice refuses a mail root without this file.\n";

/// Marks a directory as a place for mail, making it when missing.
pub(crate) fn init(root: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(root).at("create", root)?;
    let marker = root.join(MARKER);
    if RealFs.meta(&marker).is_ok() {
        return Ok(());
    }
    crate::fs::replace(&RealFs, root, MARKER, MARKER_TEXT).at("create", &marker)
}

/// A volume as it is now, for operators.
#[derive(Debug)]
pub struct VolumeState {
    /// As in the configuration.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// How many new accounts it gets in proportion to the others.
    pub weight: u32,
    /// What is left on its file system.
    pub free: Result<Free, StoreError>,
    /// Why not, where it takes no more mail.
    pub takes_mail: Result<(), StoreError>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    /// How many new accounts it gets in proportion to the others.
    pub(crate) weight: u32,
    /// Whether the file system can be synced as a whole, and says so when that fails.
    pub(crate) syncs_whole: bool,
    /// Whether there was room, and when that was asked.
    room: Mutex<Option<(Instant, bool)>>,
}

impl Volume {
    fn open(fs: &dyn Fs, name: &str, root: &Path, weight: u32) -> Result<Self, StoreError> {
        check_mounted(fs, root)?;
        for (verdict, problem) in mount::of(root).iter().flat_map(mount::Mount::problems) {
            warn!(root = %root.display(), verdict = verdict.name(), problem, "unsuitable mount options");
        }
        let syncs_whole = fs.syncs_whole(root).at("look at the file system of", root)?;
        Ok(Self { name: name.to_owned(), root: root.to_owned(), weight, syncs_whole, room: Mutex::default() })
    }

    pub(crate) fn check_mounted(&self, fs: &dyn Fs) -> Result<(), StoreError> {
        check_mounted(fs, &self.root)
    }

    /// To be called before the writes that are to be made durable together.
    pub(crate) fn begin(&self, fs: &dyn Fs) -> Result<Writes<'_>, StoreError> {
        let marker = self.root.join(MARKER);
        let file = fs.open_read(&marker).at("open", &marker)?;
        let device = file.meta().at("look at", &marker)?.identity.0;
        Ok(Writes { volume: self, device, file })
    }

    pub(crate) fn directory(&self, account: &AccountId) -> PathBuf {
        layout::account_directory(&self.root, account)
    }

    /// Higher is better; in the long run each volume is first for accounts in proportion to its weight, and another
    /// volume beside it changes the first place of no more accounts than it gets itself.
    fn score(&self, account: &AccountId) -> f64 {
        let digest = Sha256::digest(format!("{account}\0{}", self.name).as_bytes());
        let number = digest.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        #[expect(clippy::cast_precision_loss, reason = "48 bits fit")]
        let part = (number as f64 + 0.5) / (1_u64 << 48) as f64;
        f64::from(self.weight) / -part.ln()
    }
}

/// What somebody writes on a volume, from a moment on.
#[derive(Debug)]
pub(crate) struct Writes<'a> {
    pub(crate) volume: &'a Volume,
    /// The file system that is synced.
    pub(crate) device: u64,
    /// Any file there, opened before the first write: the kernel tells a failure of the file system once to each open file, for
    /// whatever was written since it was opened, whoever's sync came upon it.
    file: Box<dyn FsFile>,
}

impl Writes<'_> {
    /// All of it is on disk when this returns: the file system's own commit instead of a sync for each file and directory. It
    /// writes whatever else is dirty there too, so that it pays only for many files. For local file systems, where a node
    /// is alone.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_volume().at("sync", &self.volume.root)
    }
}

fn check_mounted(fs: &dyn Fs, root: &Path) -> Result<(), StoreError> {
    let marker = root.join(MARKER);
    match fs.meta(&marker) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::NotMounted(root.display().to_string()))
        }
        Err(error) => Err(error).at("look at", &marker),
    }
}

/// All of them; the root is the first.
#[derive(Debug)]
pub(crate) struct Volumes {
    all: Vec<Volume>,
    fs: Arc<dyn Fs>,
    free_space_min: u64,
    free_files_min: u64,
    interval: Duration,
    metrics: Metrics,
}

impl Volumes {
    pub(crate) fn open(config: &Config, fs: &Arc<dyn Fs>, metrics: &Metrics) -> Result<Self, StoreError> {
        let mut all = vec![Volume::open(&**fs, MAIN, &config.root, config.root_weight)?];
        for (name, volume) in &config.volumes {
            all.push(Volume::open(&**fs, name, &volume.path, volume.weight)?);
        }
        Ok(Self {
            all,
            fs: fs.clone(),
            free_space_min: config.free_space_min.as_u64(),
            free_files_min: config.free_files_min,
            interval: config.free_check_interval.as_duration(),
            metrics: metrics.clone(),
        })
    }

    pub(crate) fn all(&self) -> &[Volume] {
        &self.all
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Volume> {
        self.all.iter().find(|volume| volume.name == name)
    }

    /// Which one a path is on: they do not lie in each other, but for those inside the root.
    pub(crate) fn of(&self, path: &Path) -> &Volume {
        let holds = |volume: &&Volume| path.starts_with(&volume.root);
        let (root, others) = self.all.split_first().unwrap_or_else(|| unreachable!("the root is one"));
        others.iter().find(holds).unwrap_or(root)
    }

    /// In the order in which an account is looked for and placed.
    pub(crate) fn ranked(&self, account: &AccountId) -> Vec<&Volume> {
        let mut ranked: Vec<_> = self.all.iter().map(|volume| (volume.score(account), volume)).collect();
        ranked.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        ranked.into_iter().map(|(_, volume)| volume).collect()
    }

    /// Whether the volume may take more mail: `VolumeFull` below `free_space_min` or `free_files_min`. Asked every
    /// `free_check_interval`.
    pub(crate) fn check_room(&self, volume: &Volume) -> Result<(), StoreError> {
        let known = *volume.room.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = match known {
            Some((at, has_room)) if at.elapsed() < self.interval => has_room,
            _ => self.measure(volume, known.map(|(_, has_room)| has_room))?,
        };
        if has_room { Ok(()) } else { Err(StoreError::VolumeFull(volume.name.clone())) }
    }

    /// Whether there is room still when so much more is there.
    pub(crate) fn check_room_for(&self, volume: &Volume, more: Usage) -> Result<(), StoreError> {
        let Free { octets, files } = self.free(volume)?;
        let fits = octets.saturating_sub(more.octets) >= self.free_space_min
            && files.is_none_or(|files| files.saturating_sub(more.messages) >= self.free_files_min);
        if fits { Ok(()) } else { Err(StoreError::VolumeFull(volume.name.clone())) }
    }

    pub(crate) fn free(&self, volume: &Volume) -> Result<Free, StoreError> {
        volume.check_mounted(&*self.fs)?;
        self.fs.free(&volume.root).at("look for room on", &volume.root)
    }

    fn measure(&self, volume: &Volume, before: Option<bool>) -> Result<bool, StoreError> {
        let Free { octets, files } = self.free(volume)?;
        let labels = [volume.name.as_str()];
        self.metrics.volume_free.with_label_values(&labels).set(octets.cast_signed());
        let has_room =
            octets >= self.free_space_min && files.is_none_or(|files| files >= self.free_files_min);
        *volume.room.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), has_room));
        match (before, has_room) {
            (None | Some(true), false) => {
                warn!(
                    volume = volume.name,
                    free = octets,
                    files,
                    "the volume takes no more mail until there is room again"
                );
            }
            (Some(false), true) => info!(volume = volume.name, free = octets, "the volume takes mail again"),
            _ => {}
        }
        Ok(has_room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, weight: u32) -> Volume {
        Volume { name: name.to_owned(), root: name.into(), weight, syncs_whole: true, room: Mutex::default() }
    }

    fn first(volumes: &[Volume], number: u32) -> &str {
        let account: AccountId = format!("user{number}@example.test").parse().unwrap();
        let best =
            volumes.iter().max_by(|left, right| left.score(&account).total_cmp(&right.score(&account)));
        &best.unwrap().name
    }

    #[test]
    fn accounts_spread_by_weight_and_stay_when_a_volume_comes() {
        let three = [volume("a", 1), volume("b", 2), volume("off", 0)];
        let four = [volume("a", 1), volume("b", 2), volume("off", 0), volume("c", 3)];
        let (mut on_a, mut on_c, mut elsewhere) = (0, 0, 0);
        for number in 0..6000 {
            let (before, after) = (first(&three, number), first(&four, number));
            on_a += u32::from(before == "a");
            assert_ne!(before, "off");
            match after {
                "c" => on_c += 1,
                after => elsewhere += u32::from(after != before),
            }
        }
        assert!((1850..2150).contains(&on_a), "{on_a} of 6000 for a third of the weight");
        assert!((2850..3150).contains(&on_c), "{on_c} of 6000 for half of the weight");
        assert_eq!(elsewhere, 0, "accounts went to another volume than the new one");
    }
}
