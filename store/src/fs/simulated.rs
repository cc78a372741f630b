//! A disk in memory that fails, or loses power, at the n-th call.
//!
//! Power cuts lose what was not synced: contents go back to the last sync of the file (nothing, for a new one), names
//! to the last sync of the directory. [`Loss`] says which of the two a disk loses.

mod handle;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use self::handle::Handle;
use super::{DirectoryItem, FileKind, FileMeta, Free, Fs, FsFile};

/// What happens at the n-th call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails and does nothing.
    FailBefore,
    /// The call works and says that it failed.
    FailAfter,
    /// Power goes before the call; every later call fails until [`SimulatedFs::power_on`].
    Cut,
}

/// What a power cut loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    Nothing,
    Contents,
    Names,
    Both,
}

#[derive(Debug, Default)]
struct Node {
    directory: bool,
    data: Vec<u8>,
    synced_data: Vec<u8>,
    entries: BTreeMap<OsString, u64>,
    synced_entries: BTreeMap<OsString, u64>,
    modified: i128,
    synced_modified: i128,
    /// After a failed sync later ones say yes and do nothing.
    condemned: bool,
    locked_by: Option<u64>,
}

#[derive(Debug)]
struct Disk {
    nodes: HashMap<u64, Node>,
    next: u64,
    clock: i128,
    clock_stands: bool,
    /// Reads until one is stale, when that is planned.
    stale_read: u64,
    stale_planned: bool,
    calls: u64,
    plan: Option<(u64, Fault)>,
    off: bool,
    /// Handles of before a power cut are dead.
    epoch: u64,
    network: bool,
    links_refused: bool,
    /// By directory; others have room enough.
    free: HashMap<PathBuf, u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct SimulatedFs(Arc<Mutex<Disk>>);

const ROOT: u64 = 1;

fn broken() -> io::Error {
    io::Error::other("injected fault")
}

impl Node {
    /// A sync failed: what was not on disk then never will be.
    fn condemn(&mut self) {
        self.condemned |= !self.directory && self.data != self.synced_data;
    }
}

impl SimulatedFs {
    pub(crate) fn new() -> Self {
        let root = Node { directory: true, ..Node::default() };
        let nodes = [(ROOT, root)].into();
        Self(Arc::new(Mutex::new(Disk {
            nodes,
            next: 2,
            clock: 1,
            clock_stands: false,
            stale_read: 0,
            stale_planned: false,
            calls: 0,
            plan: None,
            off: false,
            epoch: 0,
            network: false,
            links_refused: false,
            free: HashMap::new(),
        })))
    }

    /// From now on other machines see the files: whoever gives a lock back must have synced its journal.
    pub(crate) fn share(&self) {
        self.disk().network = true;
    }

    /// From now on there are no second names.
    pub(crate) fn refuse_links(&self) {
        self.disk().links_refused = true;
    }

    /// The n-th read (from 1) of an open file says that another node removed or replaced the file.
    pub(crate) fn plan_stale_read(&self, read: u64) {
        let mut disk = self.disk();
        (disk.stale_read, disk.stale_planned) = (read, true);
    }

    /// Whether the planned read never came.
    pub(crate) fn clear_stale_read(&self) -> bool {
        std::mem::take(&mut self.disk().stale_planned)
    }

    /// From now on everything happens in one step of the clock, which is ahead of the machine's.
    pub(crate) fn stop_clock(&self) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let mut disk = self.disk();
        disk.clock = (since.as_nanos() + 3_600_000_000_000).cast_signed();
        disk.clock_stands = true;
    }

    /// From now on there is so much room on the file system of `path`.
    pub(crate) fn set_free(&self, path: &Path, octets: u64) {
        self.disk().free.insert(path.to_owned(), octets);
    }

    /// From now on, the n-th call (from 1) is the fault.
    pub(crate) fn plan(&self, call: u64, fault: Fault) {
        let mut disk = self.disk();
        disk.plan = Some((disk.calls + call, fault));
    }

    /// Whether the planned fault came.
    pub(crate) fn clear_plan(&self) -> bool {
        let mut disk = self.disk();
        let calls = disk.calls;
        disk.plan.take().is_some_and(|(at, _)| calls >= at)
    }

    pub(crate) fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// Power is back; what was not synced may be gone.
    pub(crate) fn power_on(&self, loss: Loss) {
        let mut disk = self.disk();
        disk.off = false;
        disk.epoch += 1;
        for node in disk.nodes.values_mut() {
            node.locked_by = None;
            if matches!(loss, Loss::Contents | Loss::Both) {
                node.data = node.synced_data.clone();
            }
            // What is left is on disk.
            node.synced_data = node.data.clone();
            if matches!(loss, Loss::Names | Loss::Both) {
                node.entries = node.synced_entries.clone();
                node.modified = node.synced_modified;
            }
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    fn call<T>(&self, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        self.call_or(|_| {}, work)
    }

    fn call_or<T>(
        &self,
        failed: impl FnOnce(&mut Disk),
        work: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut disk = self.disk();
        if disk.off {
            return Err(broken());
        }
        disk.calls += 1;
        match disk.plan {
            Some((at, fault)) if at == disk.calls => match fault {
                Fault::FailBefore => {
                    failed(&mut disk);
                    Err(broken())
                }
                Fault::FailAfter => {
                    let done = work(&mut disk);
                    // What it gave may be a file, whose end takes the disk again.
                    drop(disk);
                    done.and_then(|_| Err(broken()))
                }
                Fault::Cut => {
                    disk.off = true;
                    Err(broken())
                }
            },
            _ => work(&mut disk),
        }
    }
}

impl Disk {
    fn walk(&self, path: &Path) -> io::Result<u64> {
        let mut node = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let entries = &self.nodes[&node].entries;
                node = *entries.get(name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    fn parent(&self, path: &Path) -> io::Result<(u64, OsString)> {
        let parent = self.walk(path.parent().unwrap())?;
        Ok((parent, path.file_name().unwrap().to_owned()))
    }

    /// Whether a journal has data that is not synced, other than by a failure.
    fn has_hidden_journal(&self) -> bool {
        self.hides_journal(ROOT)
    }

    /// Below `directory`, but not in an account that is nobody's yet.
    fn hides_journal(&self, directory: u64) -> bool {
        let Node { entries, .. } = &self.nodes[&directory];
        entries.iter().any(|(name, node)| {
            let found = &self.nodes[node];
            let is_mail = !name.to_string_lossy().starts_with("sluice.moving.");
            let is_hidden = !found.condemned && found.data != found.synced_data;
            (found.directory && is_mail && self.hides_journal(*node))
                || (name == "sluice.journal" && is_hidden)
        })
    }

    fn now(&mut self) -> i128 {
        if !self.clock_stands {
            self.clock += 1_000_000;
        }
        self.clock
    }

    fn node(&mut self, node: u64) -> &mut Node {
        self.nodes.get_mut(&node).unwrap()
    }

    fn put(&mut self, path: &Path, node: u64) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let now = self.now();
        let parent = self.node(parent);
        parent.entries.insert(name, node);
        parent.modified = now;
        Ok(())
    }

    fn take(&mut self, path: &Path) -> io::Result<u64> {
        let (parent, name) = self.parent(path)?;
        let now = self.now();
        let parent = self.node(parent);
        let node = parent.entries.remove(&name).ok_or(io::ErrorKind::NotFound)?;
        parent.modified = now;
        Ok(node)
    }

    fn make(&mut self, path: &Path, directory: bool) -> io::Result<u64> {
        if self.walk(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = self.next;
        self.next += 1;
        let modified = self.now();
        self.nodes.insert(node, Node { directory, modified, synced_modified: modified, ..Node::default() });
        self.put(path, node)?;
        Ok(node)
    }

    fn meta(&self, node: u64) -> FileMeta {
        let found = &self.nodes[&node];
        let kind = if found.directory { FileKind::Directory } else { FileKind::File };
        FileMeta {
            kind,
            identity: (1, node),
            size: found.data.len() as u64,
            modified: found.modified,
            changed: i128::MAX,
        }
    }
}

impl SimulatedFs {
    fn handle(&self, disk: &mut Disk, node: u64) -> Box<dyn FsFile> {
        disk.next += 1;
        Box::new(Handle { disk: self.clone(), node, id: disk.next, epoch: disk.epoch })
    }
}

impl Fs for SimulatedFs {
    fn is_network(&self, _: &Path) -> io::Result<bool> {
        Ok(self.disk().network)
    }

    fn syncs_whole(&self, _: &Path) -> io::Result<bool> {
        Ok(true)
    }

    fn free(&self, path: &Path) -> io::Result<Free> {
        self.call(|disk| {
            Ok(Free { octets: disk.free.get(path).copied().unwrap_or(u64::MAX >> 1), files: None })
        })
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.call(|disk| {
            let node = disk.make(path, false)?;
            Ok(self.handle(disk, node))
        })
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.call(|disk| {
            let node = disk.walk(path)?;
            Ok(self.handle(disk, node))
        })
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.call(|disk| {
            let node = disk.walk(path).or_else(|_| disk.make(path, false))?;
            Ok(self.handle(disk, node))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|disk| {
            disk.parent(to)?;
            let node = disk.take(from)?;
            disk.put(to, node)
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|disk| {
            let node = disk.walk(from)?;
            if disk.links_refused {
                return Err(io::ErrorKind::CrossesDevices.into());
            }
            if disk.walk(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.put(to, node)
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.take(path).map(drop))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.make(path, true).map(drop))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| {
            let node = disk.walk(path)?;
            if !disk.node(node).entries.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            disk.take(path).map(drop)
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryItem>> {
        self.call(|disk| {
            let node = disk.walk(path)?;
            let entries = disk.node(node).entries.clone().into_iter();
            Ok(entries.map(|(name, node)| DirectoryItem { name, kind: disk.meta(node).kind }).collect())
        })
    }

    fn meta(&self, path: &Path) -> io::Result<FileMeta> {
        self.call(|disk| disk.walk(path).map(|node| disk.meta(node)))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| {
            let node = disk.walk(path)?;
            let node = disk.node(node);
            node.synced_entries = node.entries.clone();
            node.synced_modified = node.modified;
            Ok(())
        })
    }
}
