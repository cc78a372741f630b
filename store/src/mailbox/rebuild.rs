//! For operators: the index made anew from the files, and what there is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tracing::warn;

use super::Mailbox;
use super::core::log_repair;
use super::stage::fresh_id;
use super::writer::Writer;
use crate::error::At as _;
use crate::file_name::{Base, FileName, front};
use crate::fs::{FileKind, FileMeta};
use crate::items::Place;
use crate::keywords::Keywords;
use crate::state::State;
use crate::{StoreError, cache, journal, snapshot};

/// How often others may change flags while a rebuild waits for its turn.
const SETTLE_TRIES: usize = 20;

/// Figures of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxStats {
    /// Number of messages.
    pub messages: u64,
    /// Octets of all messages on the wire.
    pub size: u64,
    /// Octets of the index, the journal and the cache.
    pub index_size: u64,
    /// Messages whose file does not show their flags yet, and files of expunged messages.
    pub pending: u64,
    /// Messages without a summary in the cache.
    pub unparsed: u64,
}

impl Mailbox {
    /// Throws index, journal and cache away and makes them anew from the files: same UIDs, same UIDVALIDITY.
    ///
    /// # Errors
    /// When files can't be read or written; the old index may be gone then and is made anew at the next access.
    pub fn rebuild(&self) -> Result<(), StoreError> {
        let mark = {
            let mut writer = self.settled_writer()?;
            writer.part_twins()?;
            let fs = self.shared.fs.clone();
            let keywords = Keywords::load(&*fs, &self.path)?;
            let first_recent = writer.core.state.first_recent;
            let (uid_next, mod_seq) = (writer.core.state.uid_next, writer.core.state.mod_seq);
            writer.core.state = State::new(writer.core.state.uid_validity, keywords);
            writer.core.state.raise(uid_next, mod_seq);
            writer.core.state.first_recent = first_recent;
            writer.core.cache = None;
            writer.core.damage = Some("asked");
            let path = self.path.join(cache::FILE);
            match fs.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).at("remove", &path);
                }
                _ => {}
            }
            writer.synchronise(1)?;
            writer.write_snapshot()?;
            writer.core.damage = None;
            log_repair(self, "asked");
            writer.mark()
        };
        self.commit(mark)
    }

    /// The lock, with nothing left that only the journal says, whichever process wrote it there.
    fn settled_writer(&self) -> Result<Writer<'_>, StoreError> {
        for _ in 0..SETTLE_TRIES {
            self.settle_all()?;
            let writer = self.writer()?;
            // Somebody may have changed flags in between.
            if writer.core.state.owed.is_empty() {
                return Ok(writer);
            }
        }
        Err(StoreError::LockTimeout)
    }

    /// Figures of the mailbox.
    ///
    /// # Errors
    /// When the mailbox can't be read.
    pub fn stats(&self) -> Result<MailboxStats, StoreError> {
        let view = self.refresh()?;
        let core = super::locked(&self.core);
        let size = |name| self.shared.fs.meta(&self.path.join(name)).map_or(0, |meta| meta.size);
        Ok(MailboxStats {
            messages: view.len() as u64,
            size: view.iter().map(|entry| entry.size).sum(),
            index_size: size(snapshot::FILE) + size(journal::FILE) + size(cache::FILE),
            pending: (core.state.owed.len() + core.state.removals.len()) as u64,
            unparsed: view.items.iter().filter(|item| item.cached.is_none()).count() as u64,
        })
    }
}

/// A file of a mailbox.
type Named = (Place, OsString);

impl Writer<'_> {
    /// Of several files that say they are the same message, the one that the index knows stays it. The others become
    /// messages of their own; a second name of the same file goes.
    fn part_twins(&mut self) -> Result<(), StoreError> {
        let mut claims: BTreeMap<Vec<u8>, Vec<Named>> = BTreeMap::new();
        // In this order, as listings take of two the one in `new/`.
        for place in [Place::New, Place::Cur] {
            let directory = self.mailbox.path.join(place.directory());
            for item in self.mailbox.shared.fs.list(&directory).at("list", &directory)? {
                let has_uid = FileName::parse(item.name.as_bytes()).is_some_and(|name| name.uid.is_some());
                if item.kind == FileKind::File && has_uid {
                    let front = front(item.name.as_bytes()).to_vec();
                    claims.entry(front).or_default().push((place, item.name));
                }
            }
        }
        for mut files in claims.into_values().filter(|files| files.len() > 1) {
            let first = files.iter().position(|file| self.is_known(file)).unwrap_or(0);
            let first = files.swap_remove(first);
            for twin in files {
                self.part(&first, &twin)?;
            }
        }
        Ok(())
    }

    fn is_known(&self, (place, name): &Named) -> bool {
        let uid = FileName::parse(name.as_bytes()).and_then(|name| name.uid);
        let item = uid.and_then(|uid| self.core.state.items.by_uid(uid));
        item.is_some_and(|(_, item)| item.place == *place && name.as_os_str() == item.file_name().as_str())
    }

    /// A program that renames a file while we list shows it under two names as well, so no name is removed before the
    /// file has another that only we know, and the first is seen to stand.
    fn part(&mut self, first: &Named, twin: &Named) -> Result<(), StoreError> {
        let fs = &*self.mailbox.shared.fs;
        let path = |(place, name): &Named| self.mailbox.path.join(place.directory()).join(name);
        let (first, old) = (path(first), path(twin));
        let look = |path: &Path| match fs.meta(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).at("look at", path),
        };
        let Some(meta) = look(&old)? else { return Ok(()) };
        let seconds = u64::try_from(meta.modified / 1_000_000_000).unwrap_or(0);
        let flags = FileName::parse(twin.1.as_bytes()).and_then(|name| name.flags);
        let base = Base::Own { seconds, id: fresh_id()? };
        let name = FileName { base, uid: None, disk_size: None, wire_size: None, flags };
        let own = path(&(twin.0, name.to_string().into()));
        self.core.unsynced = (true, true);
        let is_it = |found: Option<FileMeta>| found.map(|found| found.identity == meta.identity);
        let renamed = fs.rename(&old, &own);
        if renamed.is_err() && is_it(look(&own)?) != Some(true) {
            return if look(&old)?.is_some() { renamed.at("rename to", &own) } else { Ok(()) };
        }
        match is_it(look(&first)?) {
            None => return fs.rename(&own, &old).at("rename to", &old),
            Some(true) => {
                warn!(path = %old.display(), "second name of a message removed");
                return fs.remove_file(&own).at("remove", &own);
            }
            Some(false) => {}
        }
        warn!(path = %old.display(), now = %own.display(), "another file with the same UID becomes a message of its own");
        Ok(())
    }
}
