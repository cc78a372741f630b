//! Connections that read, on blocking threads; and the look at the file for changes by others.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::lookup::LookupError;
use crate::{Config, Unavailable, schema};

/// Which file a path names: SQLite would go on reading a file that was removed or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// A connection and the file that it reads.
struct Reader {
    connection: Connection,
    identity: Identity,
}

impl Reader {
    fn open(config: &Config) -> Result<Self, rusqlite::Error> {
        let before = Identity::of(&config.path);
        let connection = schema::open_reader(config)?;
        match before {
            Some(identity) if Identity::of(&config.path) == before => Ok(Self { connection, identity }),
            _ => Err(rusqlite::Error::InvalidPath(config.path.clone())),
        }
    }

    fn is_current(&self, config: &Config) -> bool {
        Identity::of(&config.path) == Some(self.identity)
    }
}

/// What the file looked like: differs after any change by another connection, and after a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    identity: Identity,
    data_version: i64,
    opening: u64,
}

/// The one connection whose `data_version` is compared.
struct Watcher {
    reader: Option<Reader>,
    openings: u64,
}

struct Shared {
    config: Arc<Config>,
    idle: Mutex<Vec<Reader>>,
    watcher: Mutex<Watcher>,
}

pub(super) struct Pool {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new(config: Arc<Config>) -> Self {
        let slots = Arc::new(Semaphore::new(config.connections.max(1)));
        let watcher = Mutex::new(Watcher { reader: None, openings: 0 });
        Self { shared: Arc::new(Shared { config, idle: Mutex::new(Vec::new()), watcher }), slots }
    }

    /// Looks at the file on this thread.
    pub(super) fn open_now(&self) -> Result<Seen, rusqlite::Error> {
        self.shared.look()
    }

    /// Looks whether the file has changed.
    pub(super) async fn look(&self) -> Result<Seen, Unavailable> {
        self.run(|shared| shared.look().map_err(LookupError::from)).await
    }

    /// Asks on one of the connections.
    pub(super) async fn query<T, F>(&self, ask: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LookupError> + Send + 'static,
    {
        self.run(move |shared| shared.query(ask)).await
    }

    /// Runs `work` on a blocking thread when a slot is free. Work that outlives the deadline keeps its slot until it ends,
    /// so that a disk that hangs takes no more threads than there are slots.
    async fn run<T, F>(&self, work: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Shared) -> Result<T, LookupError> + Send + 'static,
    {
        let (shared, slots) = (Arc::clone(&self.shared), Arc::clone(&self.slots));
        let whole = async move {
            let slot = slots.acquire_owned().await.map_err(|_| Unavailable("closed".to_owned()))?;
            let task = tokio::task::spawn_blocking(move || {
                let answer = work(&shared);
                drop(slot);
                answer
            });
            match task.await {
                Ok(answer) => answer.map_err(|error| Unavailable(error.to_string())),
                Err(_) => Err(Unavailable("a question failed unexpectedly".to_owned())),
            }
        };
        let deadline = self.shared.config.query_timeout.as_duration();
        let late = |_| Unavailable("no answer within the deadline".to_owned());
        tokio::time::timeout(deadline, whole).await.map_err(late)?
    }
}

impl Shared {
    fn query<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, LookupError>) -> Result<T, LookupError> {
        let idle = lock(&self.idle).pop().filter(|reader| reader.is_current(&self.config));
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.config)?,
        };
        // A connection on which anything failed is not used again.
        let answer = ask(&reader.connection)?;
        lock(&self.idle).push(reader);
        Ok(answer)
    }

    fn look(&self) -> Result<Seen, rusqlite::Error> {
        let mut watcher = lock(&self.watcher);
        let kept = watcher.reader.take().filter(|reader| reader.is_current(&self.config));
        let reader = match kept {
            Some(reader) => reader,
            None => {
                watcher.openings += 1;
                Reader::open(&self.config)?
            }
        };
        let data_version = reader.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        let seen = Seen { identity: reader.identity, data_version, opening: watcher.openings };
        watcher.reader = Some(reader);
        Ok(seen)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
