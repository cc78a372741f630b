//! A disk in memory that loses what was not synced, and processes on it whose operations fail or that
//! are killed at the n-th.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{FileHandle, Files, LockGuard};

/// Writes are torn at multiples of this.
const SECTOR: usize = 64;

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Size(u64),
}

#[derive(Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
    Unlink(PathBuf),
}

#[derive(Debug, Default)]
struct DiskState {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<NameChange>,
    directories: BTreeSet<PathBuf>,
    locks: BTreeMap<PathBuf, u64>,
    processes: u64,
    free_space: u64,
    random: u64,
}

/// The disk; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Arc<Mutex<DiskState>>);

/// What goes wrong in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Nothing,
    /// The n-th operation that changes something fails, and may have worked all the same.
    FailAt(u64),
    /// From the n-th on, that many fail.
    FailFrom(u64, u64),
    /// The n-th is done by half, and nothing after it.
    DieAt(u64),
    /// Every sync of a file says that all is well and does nothing.
    NeverSync,
}

#[derive(Debug)]
struct Process {
    number: u64,
    plan: Plan,
    count: u64,
    dead: bool,
}

/// The file operations of one process.
#[derive(Debug, Clone)]
pub(crate) struct SimFiles {
    disk: Disk,
    process: Arc<Mutex<Process>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    /// Fails without effect, or with half of it.
    Fails,
    /// Works and says that it failed.
    Lies,
    /// Half, and the process is gone.
    Dies,
}

fn failure() -> io::Error {
    io::Error::other("simulated failure")
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(data);
        }
        Change::Size(size) => content.resize(*size as usize, 0),
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
    match change {
        NameChange::Link(path, inode) => drop(names.insert(path.clone(), *inode)),
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
        NameChange::Unlink(path) => drop(names.remove(path)),
    }
}

impl DiskState {
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Self {
        let state = DiskState { free_space: 1 << 40, random: seed | 1, ..DiskState::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn process(&self, plan: Plan) -> SimFiles {
        let mut disk = self.lock();
        disk.processes += 1;
        let process = Process { number: disk.processes, plan, count: 0, dead: false };
        SimFiles { disk: self.clone(), process: Arc::new(Mutex::new(process)) }
    }

    pub(crate) fn set_free_space(&self, octets: u64) {
        self.lock().free_space = octets;
    }

    /// The power goes: of what was not synced some is there, some is not, some is torn.
    pub(crate) fn cut_power(&self) {
        let mut guard = self.lock();
        let disk = &mut *guard;
        for index in 0..disk.inodes.len() {
            let pending = std::mem::take(&mut disk.inodes[index].pending);
            let mut durable = std::mem::take(&mut disk.inodes[index].durable);
            for change in pending {
                match (disk.random(3), change) {
                    (0, _) => {}
                    (1, Change::Write(offset, data)) => {
                        let sectors = data.len().div_ceil(SECTOR) as u64 + 1;
                        let keep = (disk.random(sectors) as usize * SECTOR).min(data.len());
                        apply(&mut durable, &Change::Write(offset, data[..keep].to_vec()));
                        // What was not written reads as zeros when the file had grown.
                        let end = offset as usize + data.len();
                        if durable.len() < end && disk.random(2) == 0 {
                            durable.resize(end, 0);
                        }
                    }
                    (_, change) => apply(&mut durable, &change),
                }
            }
            disk.inodes[index].content = durable.clone();
            disk.inodes[index].durable = durable;
        }
        for change in std::mem::take(&mut disk.pending_names) {
            if disk.random(2) == 0 {
                apply_name(&mut disk.durable_names, &change);
            }
        }
        disk.names = disk.durable_names.clone();
        disk.locks.clear();
    }

    /// Changes the octets of a file behind everybody's back.
    pub(crate) fn corrupt(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.lock();
        let inode = disk.names[path];
        change(&mut disk.inodes[inode].content);
        disk.inodes[inode].durable = disk.inodes[inode].content.clone();
    }

    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let disk = self.lock();
        disk.inodes[disk.names[path]].content.clone()
    }

    /// Every file whose path contains the text.
    pub(crate) fn files(&self, part: &str) -> Vec<PathBuf> {
        let disk = self.lock();
        disk.names.keys().filter(|path| path.to_string_lossy().contains(part)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().unwrap()
    }
}

impl SimFiles {
    /// The process is gone at once; its locks are free.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.dead = true;
        let number = process.number;
        self.disk.lock().locks.retain(|_, holder| *holder != number);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.process.lock().unwrap().dead
    }

    /// Whether the plan has come to pass.
    pub(crate) fn has_struck(&self) -> bool {
        let process = self.process.lock().unwrap();
        match process.plan {
            Plan::Nothing | Plan::NeverSync => false,
            Plan::FailAt(at) | Plan::FailFrom(at, _) | Plan::DieAt(at) => process.count >= at,
        }
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, DiskState>> {
        if self.is_dead() { Err(failure()) } else { Ok(self.disk.lock()) }
    }

    fn fate(&self) -> io::Result<Fate> {
        let mut process = self.process.lock().unwrap();
        if process.dead {
            return Err(failure());
        }
        process.count += 1;
        let (count, plan) = (process.count, process.plan);
        let fails = match plan {
            Plan::Nothing | Plan::NeverSync => false,
            Plan::FailAt(at) => count == at,
            Plan::FailFrom(at, many) => count >= at && count < at + many,
            Plan::DieAt(at) => {
                if count == at {
                    drop(process);
                    self.kill();
                    return Ok(Fate::Dies);
                }
                false
            }
        };
        drop(process);
        Ok(match fails {
            false => Fate::Works,
            true if self.disk.lock().random(2) == 0 => Fate::Lies,
            true => Fate::Fails,
        })
    }

    fn named(&self, change: impl FnOnce(&mut DiskState) -> io::Result<NameChange>) -> io::Result<()> {
        let fate = self.fate()?;
        let mut disk = self.disk.lock();
        let change = change(&mut disk)?;
        let works = match fate {
            Fate::Works | Fate::Lies => true,
            Fate::Fails => false,
            Fate::Dies => disk.random(2) == 0,
        };
        if works {
            apply_name(&mut disk.names, &change);
            disk.pending_names.push(change);
        }
        if fate == Fate::Works { Ok(()) } else { Err(failure()) }
    }
}

impl Files for SimFiles {
    /// At once, so that its operations have their numbers too.
    fn in_background(&self, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        work();
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let mut inode = 0;
        self.named(|disk| {
            if disk.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if !path.parent().is_some_and(|parent| disk.directories.contains(parent)) {
                return Err(io::ErrorKind::NotFound.into());
            }
            inode = disk.inodes.len();
            disk.inodes.push(Inode::default());
            Ok(NameChange::Link(path.to_owned(), inode))
        })?;
        Ok(Arc::new(SimHandle { files: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let inode = *self.alive()?.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimHandle { files: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.named(|disk| {
            let inode = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange::Rename(from.to_owned(), to.to_owned(), inode))
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.named(|disk| {
            disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange::Unlink(path.to_owned()))
        })
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.alive()?;
        if disk.names.keys().any(|name| name.starts_with(path)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if disk.directories.remove(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.alive()?.directories.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let fate = self.fate()?;
        let mut disk = self.disk.lock();
        if matches!(fate, Fate::Works | Fate::Lies) {
            let (here, elsewhere) = std::mem::take(&mut disk.pending_names).into_iter().partition(|change| {
                let (NameChange::Link(name, _) | NameChange::Rename(_, name, _) | NameChange::Unlink(name)) =
                    change;
                name.parent() == Some(path)
            });
            let here: Vec<NameChange> = here;
            disk.pending_names = elsewhere;
            here.iter().for_each(|change| apply_name(&mut disk.durable_names, change));
        }
        if fate == Fate::Works { Ok(()) } else { Err(failure()) }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let disk = self.alive()?;
        let locks = disk.locks.keys();
        let all = disk.names.keys().chain(&disk.directories).chain(locks);
        let here = all.filter(|name| name.parent() == Some(path));
        let names: BTreeSet<String> =
            here.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect();
        Ok(names.into_iter().filter(|name| name != "lock").collect())
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let disk = self.alive()?;
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(disk.inodes[inode].content.len() as u64)
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(self.alive()?.free_space)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<LockGuard>> {
        let number = self.process.lock().unwrap().number;
        let mut disk = self.alive()?;
        if disk.locks.contains_key(path) {
            return Ok(None);
        }
        disk.locks.insert(path.to_owned(), number);
        Ok(Some(Box::new(SimLock { disk: self.disk.clone(), path: path.to_owned(), number })))
    }
}

struct SimLock {
    disk: Disk,
    path: PathBuf,
    number: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.locks.get(&self.path) == Some(&self.number) {
            disk.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimHandle {
    files: SimFiles,
    inode: usize,
}

impl SimHandle {
    fn change(&self, change: Change) -> io::Result<()> {
        let fate = self.files.fate()?;
        let mut disk = self.files.disk.lock();
        let change = match (fate, change) {
            (Fate::Works | Fate::Lies, change) => change,
            (_, Change::Write(offset, data)) => {
                let keep = disk.random(data.len() as u64 + 1) as usize;
                Change::Write(offset, data[..keep].to_vec())
            }
            (_, Change::Size(_)) => return Err(failure()),
        };
        let inode = &mut disk.inodes[self.inode];
        apply(&mut inode.content, &change);
        inode.pending.push(change);
        if fate == Fate::Works { Ok(()) } else { Err(failure()) }
    }
}

impl FileHandle for SimHandle {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write(offset, data.to_vec()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.files.alive()?;
        let content = &disk.inodes[self.inode].content;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        let fate = self.files.fate()?;
        if self.files.process.lock().unwrap().plan == Plan::NeverSync {
            return Ok(());
        }
        let mut disk = self.files.disk.lock();
        let inode = &mut disk.inodes[self.inode];
        match fate {
            Fate::Works | Fate::Lies => {
                for change in std::mem::take(&mut inode.pending) {
                    apply(&mut inode.durable, &change);
                }
            }
            // As on a full disk: the data is dropped, and the next sync would say that all is well.
            Fate::Fails => inode.pending.clear(),
            Fate::Dies => {}
        }
        if fate == Fate::Works { Ok(()) } else { Err(failure()) }
    }

    fn preallocate(&self, size: u64) -> io::Result<()> {
        self.change(Change::Size(size))
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.change(Change::Size(size))
    }
}
