//! The local lists: networks that an operator blocks or allows for a time (`sluice reputation set`).
//!
//! With a shared state between nodes they are there, for all nodes, and each node reads them again now and then; else in one file of this
//! process, so that they outlive it. A connection is looked up in memory: the longest prefix counts.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use shared_state::{CounterKey, Held, KeyPrefix, SharedState, Unavailable, Value};
use units::Network;

use super::metrics::Metrics;
use super::whom::{ROOM, key, network_word, printable};

/// Values of the local lists, by network.
pub(super) const LOCAL: &str = "local";
/// Letters of a reason.
const REASON_MAX: usize = 200;
/// Octets that an entry can take in the file.
const ENTRY_MAX: usize = 1024;

/// What it means to be on a local list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalKind {
    /// Nothing else is asked about the peer.
    Allow,
    /// The peer is refused.
    Block,
}

/// A network on a local list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalEntry {
    /// Which.
    pub network: Network,
    /// Which list.
    pub kind: LocalKind,
    /// Why, for people; a blocked peer is not told.
    pub reason: String,
    /// When it ends, in seconds since 1970.
    pub until: u64,
}

/// Why the local lists can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// `local_entries_max` are there.
    #[error("{0} networks are on the local lists already, which is filters.reputation.local_entries_max")]
    Full(usize),
    /// The end is not in the future.
    #[error("the entry would have ended already")]
    Ended,
    /// The reason is too long or not printable.
    #[error("a reason is 1 to 200 printable letters of ASCII")]
    Reason,
    /// The file can't be read or written.
    #[error("the local lists in `{path}` can't be {what}")]
    File {
        /// Which file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The shared state is away.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Where the entries are kept.
#[derive(Debug, Clone)]
enum Keeping {
    File(PathBuf),
    State(Arc<dyn SharedState>),
}

#[derive(Debug, Clone, Default)]
struct Entries {
    by_network: HashMap<Network, LocalEntry>,
    /// Lengths of prefixes that occur, longest first to look up.
    bits: BTreeSet<u8>,
}

/// The lists, as this process knows them.
pub(super) struct Local {
    keeping: Keeping,
    entries: RwLock<Arc<Entries>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    entries_max: usize,
    metrics: Metrics,
}

impl Entries {
    fn new(entries: impl IntoIterator<Item = LocalEntry>, now: u64) -> Self {
        let living = entries.into_iter().filter(|entry| entry.until > now);
        let by_network: HashMap<Network, LocalEntry> = living.map(|entry| (entry.network, entry)).collect();
        Self { bits: by_network.keys().map(|network| network.prefix()).collect(), by_network }
    }
}

impl Local {
    /// Reads the file, when there is one; one that can't be read is no empty list.
    pub(super) fn open(
        file: Option<&Path>,
        state: Arc<dyn SharedState>,
        entries_max: usize,
        metrics: Metrics,
    ) -> Result<Self, LocalError> {
        let (keeping, entries) = match file {
            Some(path) => (Keeping::File(path.to_owned()), read(path, entries_max)?),
            None => (Keeping::State(state), Vec::new()),
        };
        let local = Self {
            keeping,
            entries: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
            entries_max,
            metrics,
        };
        local.put(Entries::new(entries, now()));
        Ok(local)
    }

    /// The entry for an address with the longest prefix.
    pub(super) fn find(&self, address: IpAddr) -> Option<LocalEntry> {
        let (entries, now) = (self.entries(), now());
        let address = address.to_canonical();
        let networks = entries.bits.iter().rev().map(|bits| Network::new(address, *bits));
        let mut found = networks.filter_map(|network| entries.by_network.get(&network));
        found.find(|entry| entry.until > now).cloned()
    }

    /// All, by network.
    pub(super) fn all(&self) -> Vec<LocalEntry> {
        let now = now();
        let entries = self.entries();
        let mut all: Vec<LocalEntry> =
            entries.by_network.values().filter(|entry| entry.until > now).cloned().collect();
        all.sort_by_key(|entry| entry.network);
        all
    }

    /// Puts a network on a list, in place of another entry for it.
    pub(super) async fn set(&self, entry: LocalEntry) -> Result<(), LocalError> {
        if printable(entry.reason.as_bytes(), REASON_MAX) != entry.reason || entry.reason.is_empty() {
            return Err(LocalError::Reason);
        }
        let left = entry.until.checked_sub(now()).filter(|left| *left > 0).ok_or(LocalError::Ended)?;
        let _one = self.changing.lock().await;
        let mut all = self.all();
        all.retain(|other| other.network != entry.network);
        if all.len() >= self.entries_max {
            return Err(LocalError::Full(self.entries_max));
        }
        match &self.keeping {
            Keeping::File(_) => {
                all.push(entry);
                self.write(all).await
            }
            Keeping::State(state) => {
                let text = serde_json::to_string(&entry).unwrap_or_default();
                let value = Value::new(text).map_err(|error| Unavailable(error.to_string()))?;
                state.keep(&name(entry.network)?, &value, Duration::from_secs(left)).await?;
                all.push(entry);
                self.put(Entries::new(all, now()));
                Ok(())
            }
        }
    }

    /// Takes a network off; whether it was on a list.
    pub(super) async fn clear(&self, network: Network) -> Result<bool, LocalError> {
        let _one = self.changing.lock().await;
        let mut all = self.all();
        let before = all.len();
        all.retain(|other| other.network != network);
        let was_there = all.len() < before;
        match &self.keeping {
            Keeping::File(_) if was_there => self.write(all).await.map(|()| true),
            Keeping::File(_) => Ok(false),
            Keeping::State(state) => {
                let was_kept = state.forget(&name(network)?).await?;
                self.put(Entries::new(all, now()));
                Ok(was_there || was_kept)
            }
        }
    }

    /// Reads again what other nodes may have changed. While that can't be read, what was known stays.
    pub(super) async fn refresh(&self) -> Result<(), Unavailable> {
        let Keeping::State(state) = &self.keeping else {
            self.put(Entries::new(self.all(), now()));
            return Ok(());
        };
        let _one = self.changing.lock().await;
        let prefix = KeyPrefix::new(ROOM, LOCAL, "").map_err(|error| Unavailable(error.to_string()))?;
        let listing = state.list(&prefix, self.entries_max).await?;
        let found = listing.entries.into_iter().filter_map(|entry| match entry.held {
            Held::Value(value) => serde_json::from_str::<LocalEntry>(value.as_str()).ok(),
            Held::Count(_) => None,
        });
        let mut entries: Vec<LocalEntry> = found.collect();
        if !listing.whole {
            // What the time did not suffice for is asked for by its name: it may still be there.
            for entry in
                missed(&entries, self.all()).into_iter().take(self.entries_max.saturating_sub(entries.len()))
            {
                if state.kept(&name(entry.network)?).await?.is_some() {
                    entries.push(entry);
                }
            }
        }
        self.put(Entries::new(entries, now()));
        Ok(())
    }

    async fn write(&self, all: Vec<LocalEntry>) -> Result<(), LocalError> {
        let Keeping::File(path) = self.keeping.clone() else { return Ok(()) };
        let failed = |source| LocalError::File { path: path.clone(), what: "written", source };
        let text = serde_json::to_string_pretty(&all).map_err(|error| failed(error.into()))?;
        let place = path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&place, &text)).await;
        written.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)?;
        self.put(Entries::new(all, now()));
        Ok(())
    }

    fn entries(&self) -> Arc<Entries> {
        Arc::clone(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, entries: Entries) {
        self.metrics.local_entries.set(i64::try_from(entries.by_network.len()).unwrap_or(i64::MAX));
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(entries);
    }
}

/// What was known before and was not read now.
fn missed(read: &[LocalEntry], before: Vec<LocalEntry>) -> Vec<LocalEntry> {
    let known: HashSet<Network> = read.iter().map(|entry| entry.network).collect();
    before.into_iter().filter(|entry| !known.contains(&entry.network)).collect()
}

fn name(network: Network) -> Result<CounterKey, Unavailable> {
    key(LOCAL, &network_word(network))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn read(path: &Path, entries_max: usize) -> Result<Vec<LocalEntry>, LocalError> {
    let failed = |source| LocalError::File { path: path.to_owned(), what: "read", source };
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.map_err(failed)?,
    };
    let mut text = String::new();
    let most = u64::try_from(entries_max.saturating_mul(ENTRY_MAX)).unwrap_or(u64::MAX);
    file.take(most).read_to_string(&mut text).map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| failed(error.into()))
}

/// Whole or not at all, and on disk.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use shared_state::memory::MemoryState;
    use shared_state::{Change, Counted, Event, Kept, Listing};
    use tokio::sync::mpsc;

    use super::*;

    fn entry(network: &str, kind: LocalKind) -> LocalEntry {
        let (network, reason) = (network.parse().unwrap(), "why not".to_owned());
        LocalEntry { network, kind, reason, until: now() + 3600 }
    }

    fn local(file: Option<&Path>, state: &MemoryState) -> Local {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        Local::open(file, Arc::new(state.clone()), 3, metrics).unwrap()
    }

    fn found(local: &Local, address: &str) -> Option<LocalKind> {
        local.find(address.parse().unwrap()).map(|entry| entry.kind)
    }

    #[tokio::test]
    async fn the_longest_prefix_counts_and_the_file_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lists.json");
        let state = MemoryState::new(&shared_state::Config::default());
        let first = local(Some(&path), &state);
        first.set(entry("192.0.2.0/24", LocalKind::Block)).await.unwrap();
        first.set(entry("192.0.2.7", LocalKind::Allow)).await.unwrap();
        first.set(entry("2001:db8::/32", LocalKind::Block)).await.unwrap();
        for local in [&first, &local(Some(&path), &state)] {
            assert_eq!(found(local, "192.0.2.1"), Some(LocalKind::Block));
            assert_eq!(found(local, "::ffff:192.0.2.7"), Some(LocalKind::Allow));
            assert_eq!(found(local, "2001:db8::1"), Some(LocalKind::Block));
            assert_eq!(found(local, "198.51.100.1"), None);
        }
        let full = first.set(entry("198.51.100.1", LocalKind::Block)).await;
        assert!(matches!(full, Err(LocalError::Full(3))), "{full:?}");
        first.set(entry("192.0.2.7", LocalKind::Block)).await.unwrap();
        assert!(first.clear("192.0.2.0/24".parse().unwrap()).await.unwrap());
        assert!(!first.clear("192.0.2.0/24".parse().unwrap()).await.unwrap());
        let second = local(Some(&path), &state);
        assert_eq!(
            (found(&second, "192.0.2.1"), found(&second, "192.0.2.7")),
            (None, Some(LocalKind::Block))
        );
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_damaged_file_is_no_empty_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lists.json");
        let state: Arc<MemoryState> = Arc::new(MemoryState::new(&shared_state::Config::default()));
        for text in ["", "[", "{}", "[{\"network\":\"x\"}]"] {
            std::fs::write(&path, text).unwrap();
            let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
            assert!(Local::open(Some(&path), Arc::clone(&state) as _, 3, metrics).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn nodes_with_one_state_have_one_list() {
        let state = MemoryState::new(&shared_state::Config::default());
        let (first, second) = (local(None, &state), local(None, &state));
        first.set(entry("192.0.2.0/24", LocalKind::Block)).await.unwrap();
        assert_eq!(found(&first, "192.0.2.1"), Some(LocalKind::Block));
        second.refresh().await.unwrap();
        assert_eq!(found(&second, "192.0.2.1"), Some(LocalKind::Block));
        assert!(second.clear("192.0.2.0/24".parse().unwrap()).await.unwrap());
        first.refresh().await.unwrap();
        assert_eq!(found(&first, "192.0.2.1"), None);
    }

    /// Has no time to list anything.
    #[derive(Debug)]
    struct Slow(MemoryState);

    #[async_trait]
    impl SharedState for Slow {
        fn signal(&self, change: Change) {
            self.0.signal(change);
        }
        fn subscribe(&self) -> mpsc::Receiver<Event> {
            self.0.subscribe()
        }
        async fn count(&self, key: &CounterKey, window: Duration, amount: u64) -> Result<u64, Unavailable> {
            self.0.count(key, window, amount).await
        }
        async fn counted(&self, key: &CounterKey) -> Result<Option<Counted>, Unavailable> {
            self.0.counted(key).await
        }
        async fn keep(&self, key: &CounterKey, value: &Value, age: Duration) -> Result<(), Unavailable> {
            self.0.keep(key, value, age).await
        }
        async fn kept(&self, key: &CounterKey) -> Result<Option<Kept>, Unavailable> {
            self.0.kept(key).await
        }
        async fn forget(&self, key: &CounterKey) -> Result<bool, Unavailable> {
            self.0.forget(key).await
        }
        async fn list(&self, _: &KeyPrefix, _: usize) -> Result<Listing, Unavailable> {
            Ok(Listing { entries: Vec::new(), whole: false })
        }
        async fn close(&self) {}
    }

    #[tokio::test]
    async fn what_a_reading_did_not_reach_stays_until_it_is_gone() {
        let state = MemoryState::new(&shared_state::Config::default());
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let slow = Local::open(None, Arc::new(Slow(state.clone())), 3, metrics).unwrap();
        let other = local(None, &state);
        slow.set(entry("192.0.2.0/24", LocalKind::Block)).await.unwrap();
        slow.set(entry("198.51.100.0/24", LocalKind::Block)).await.unwrap();
        slow.refresh().await.unwrap();
        assert_eq!(slow.all().len(), 2, "nothing was read, and both are still there");
        other.refresh().await.unwrap();
        assert!(other.clear("192.0.2.0/24".parse().unwrap()).await.unwrap());
        slow.refresh().await.unwrap();
        assert_eq!(found(&slow, "192.0.2.1"), None, "another node took it off");
        assert_eq!(found(&slow, "198.51.100.1"), Some(LocalKind::Block));
    }

    #[tokio::test]
    async fn entries_end_and_wrong_ones_are_refused() {
        let local = local(None, &MemoryState::new(&shared_state::Config::default()));
        let with = |until, reason: &str| LocalEntry {
            until,
            reason: reason.to_owned(),
            ..entry("192.0.2.1", LocalKind::Block)
        };
        for (until, reason) in
            [(now(), "x"), (0, "x"), (now() + 60, ""), (now() + 60, "a\r\nb"), (now() + 60, &"x".repeat(201))]
        {
            assert!(local.set(with(until, reason)).await.is_err(), "{until} {reason}");
        }
        local.set(with(now() + 1, &"\"".repeat(200))).await.unwrap();
        let over = async {
            while found(&local, "192.0.2.1").is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), over).await.unwrap();
        assert_eq!(local.all(), []);
    }
}
