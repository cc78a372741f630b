//! The issuer's keys: from a file or from where the issuer publishes them, looked at now and then.
//!
//! ```text
//! asked ── looked at lately ──────────────────────────────▶ what is known
//!    └──── not lately ── look ── good ──▶ kept ───────────▶ the new ones
//!                          └─── bad ── known before? ─ yes ▶ the old ones, and a look again after refresh_min
//!                                                    └ no ─▶ "can't say"
//! ```

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::time::Instant;

use super::OAuthConfig;
use super::token::KeySet;
use crate::Unavailable;

/// Fetches the JWK set from where the issuer publishes it. The process gives one, for only the runtime speaks HTTPS.
#[async_trait]
pub trait KeySource: Send + Sync + 'static {
    /// The document, or why there is none. The caller bounds the time, and refuses what is too large.
    async fn fetch(&self) -> Result<Vec<u8>, String>;
}

/// Which state of the file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
}

#[derive(Default)]
struct Known {
    set: Option<Arc<KeySet>>,
    file: Option<FileState>,
    looked_at: Option<Instant>,
    /// The last look failed.
    failed: bool,
}

/// The keys as they are known.
pub(crate) struct Keys {
    config: OAuthConfig,
    source: Option<Arc<dyn KeySource>>,
    known: Mutex<Known>,
    /// Held by the one look there is.
    looking: Arc<tokio::sync::Mutex<()>>,
}

enum Found {
    Unchanged,
    Set(KeySet, Option<FileState>),
}

impl Keys {
    pub(crate) fn new(config: OAuthConfig, source: Option<Arc<dyn KeySource>>) -> Self {
        Self { config, source, known: Mutex::default(), looking: Arc::default() }
    }

    /// The keys. `for_unknown` says that a token names one that is not among them: the issuer may have changed them since.
    pub(crate) async fn current(self: &Arc<Self>, for_unknown: bool) -> Result<Arc<KeySet>, Unavailable> {
        if !self.is_due(for_unknown) {
            return self.known();
        }
        let looking = Arc::clone(&self.looking);
        let looking = if self.lock().set.is_some() && !for_unknown {
            // One looks; the others don't wait for new keys while there are old ones.
            looking.try_lock_owned().ok()
        } else {
            Some(looking.lock_owned().await)
        };
        if let Some(looking) = looking.filter(|_| self.is_due(for_unknown)) {
            let this = Arc::clone(self);
            // A task of its own: what it finds is kept though the login has given up.
            let look = tokio::spawn(async move {
                let wait = this.config.fetch_timeout;
                let found = tokio::time::timeout(wait.as_duration(), this.look()).await;
                this.keep(found.unwrap_or_else(|_| Err(format!("no answer within {wait}"))));
                drop(looking);
            });
            // A panic is counted and logged where it happened.
            let _ = look.await;
        }
        self.known()
    }

    fn is_due(&self, for_unknown: bool) -> bool {
        let known = self.lock();
        let Some(looked_at) = known.looked_at else { return true };
        let soon = known.failed || for_unknown || self.config.jwks_url.is_empty();
        let wait = if soon { self.config.refresh_min } else { self.config.refresh_interval };
        looked_at.elapsed() >= wait.as_duration()
    }

    fn known(&self) -> Result<Arc<KeySet>, Unavailable> {
        self.lock().set.clone().ok_or_else(|| Unavailable("the issuer's keys are not there".to_owned()))
    }

    fn keep(&self, found: Result<Found, String>) {
        let mut known = self.lock();
        known.looked_at = Some(Instant::now());
        known.failed = found.is_err();
        match found {
            Ok(Found::Unchanged) => {}
            Ok(Found::Set(set, file)) => {
                known.set = Some(Arc::new(set));
                known.file = file;
            }
            Err(why) => {
                let kept = known.set.is_some();
                drop(known);
                tracing::warn!(why, kept, "the keys for bearer tokens can't be read");
            }
        }
    }

    async fn look(&self) -> Result<Found, String> {
        let size_max = self.config.keys_size_max.as_usize();
        let (octets, file) = match &self.source {
            Some(source) => (source.fetch().await?, None),
            None => {
                let (path, before) = (self.config.jwks_file.clone(), self.lock().file);
                let read = tokio::task::spawn_blocking(move || read(&path, before, size_max)).await;
                match read
                    .map_err(|_| "the file was not read".to_owned())?
                    .map_err(|error| error.to_string())?
                {
                    Some((octets, file)) => (octets, Some(file)),
                    None => return Ok(Found::Unchanged),
                }
            }
        };
        if octets.len() > size_max {
            return Err(format!("there are more than {} of keys", self.config.keys_size_max));
        }
        let set = KeySet::parse(&octets).ok_or("what was read is no JWK set with a usable key")?;
        Ok(Found::Set(set, file))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file, unless it is as it was `before`; up to one octet more than `size_max`.
fn read(
    path: &Path,
    before: Option<FileState>,
    size_max: usize,
) -> std::io::Result<Option<(Vec<u8>, FileState)>> {
    let metadata = fs::metadata(path)?;
    let state = FileState { inode: metadata.ino(), size: metadata.len(), modified: metadata.modified().ok() };
    if before == Some(state) {
        return Ok(None);
    }
    let mut octets = Vec::new();
    File::open(path)?.take(size_max as u64 + 1).read_to_end(&mut octets)?;
    Ok(Some((octets, state)))
}

#[cfg(test)]
mod tests;
