//! The system's files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FileType, OFlags, Statx, StatxFlags, statfs, statvfs, statx};

use super::{DirectoryItem, FileKind, FileMeta, Free, Fs, FsFile};

/// Files are for the owner alone.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// [`Fs`] over `std::fs`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

#[derive(Debug)]
struct RealFile(File);

fn kind(kind: fs::FileType) -> FileKind {
    if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else {
        FileKind::Other
    }
}

/// A network file system asks its server, whatever age its cache claims; a local one does nothing more than for stat.
const ASK: AtFlags = AtFlags::STATX_FORCE_SYNC;

fn meta(found: &Statx) -> FileMeta {
    let kind = match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        _ => FileKind::Other,
    };
    let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
    FileMeta {
        kind,
        identity: (device, found.stx_ino),
        size: found.stx_size,
        modified: i128::from(found.stx_mtime.tv_sec) * 1_000_000_000 + i128::from(found.stx_mtime.tv_nsec),
        changed: i128::from(found.stx_ctime.tv_sec) * 1_000_000_000 + i128::from(found.stx_ctime.tv_nsec),
    }
}

/// File systems whose files no other machine changes: ext2 to ext4, XFS, Btrfs, tmpfs, ZFS, F2FS, overlayfs, and
/// the ones of virtual machines' own disks. Whatever is not here is taken for a network's.
const LOCAL: [u32; 9] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x0102_1994,
    0x2FC1_2FC1,
    0xF2F5_2010,
    0x794C_7630,
    0x3153_464A,
    0x5265_4973,
];

/// Those of them whose `syncfs` tells every failure: ext2 to ext4, XFS, Btrfs, F2FS, and memory. An overlay does not pass on what
/// the file system below says.
const SYNCED_WHOLE: [u32; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x0102_1994];
/// Before, `syncfs` told nothing.
const SYNCFS_TELLS: (u32, u32) = (5, 8);

/// Major and minor number of the running kernel; (0, 0) when it does not say.
fn kernel() -> (u32, u32) {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

const fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

impl Fs for RealFs {
    fn is_network(&self, path: &Path) -> io::Result<bool> {
        let kind = u32::try_from(statfs(path)?.f_type).unwrap_or(0);
        Ok(!LOCAL.contains(&kind))
    }

    fn syncs_whole(&self, path: &Path) -> io::Result<bool> {
        let kind = u32::try_from(statfs(path)?.f_type).unwrap_or(0);
        Ok(SYNCED_WHOLE.contains(&kind) && kernel() >= SYNCFS_TELLS)
    }

    fn free(&self, path: &Path) -> io::Result<Free> {
        let status = statvfs(path)?;
        // Some file systems make room for names as they need it, and count none.
        let files = (status.f_files > 0).then_some(status.f_favail);
        Ok(Free { octets: status.f_bavail.saturating_mul(status.f_frsize), files })
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let no_surprise = flags(OFlags::NOFOLLOW.union(OFlags::NONBLOCK));
        let file = OpenOptions::new().read(true).custom_flags(no_surprise).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(flags(OFlags::NOFOLLOW))
            .open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryItem>> {
        let mut items = Vec::new();
        for item in fs::read_dir(path)? {
            let item = item?;
            let kind = match item.file_type() {
                Ok(file_type) => kind(file_type),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            items.push(DirectoryItem { name: item.file_name(), kind });
        }
        Ok(items)
    }

    fn meta(&self, path: &Path) -> io::Result<FileMeta> {
        let found = statx(CWD, path, ASK.union(AtFlags::SYMLINK_NOFOLLOW), StatxFlags::BASIC_STATS)?;
        Ok(meta(&found))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl FsFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.0.set_modified(time)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_volume(&self) -> io::Result<()> {
        rustix::fs::syncfs(&self.0)?;
        // ext4 without a journal writes directories and inodes after its last flush of the disk's own cache; the sync of any file
        // flushes it.
        self.0.sync_data()
    }

    fn meta(&self) -> io::Result<FileMeta> {
        let found = statx(&self.0, "", ASK.union(AtFlags::EMPTY_PATH), StatxFlags::BASIC_STATS)?;
        Ok(meta(&found))
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }
}
