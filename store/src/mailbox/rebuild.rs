//! For operators: the index made anew from the files, and what there is.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;

use tracing::warn;

use super::Mailbox;
use super::core::log_repair;
use super::stage::fresh_id;
use super::writer::Writer;
use crate::error::At as _;
use crate::file_name::{Base, FileName};
use crate::fs::{FileKind, FileMeta};
use crate::items::Place;
use crate::keywords::Keywords;
use crate::state::State;
use crate::{StoreError, cache, journal, snapshot};

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
        self.settle_pending()?;
        let mark = {
            let mut writer = self.writer()?;
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
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
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

impl Writer<'_> {
    /// Of several files that say they are the same message, one stays it. The others become messages of their own; a
    /// second name of the same file goes.
    fn part_twins(&mut self) -> Result<(), StoreError> {
        let mailbox = self.mailbox;
        let fs = &*mailbox.shared.fs;
        let mut firsts: HashMap<Vec<u8>, FileMeta> = HashMap::new();
        for place in [Place::Cur, Place::New] {
            let directory = mailbox.path.join(place.directory());
            for item in fs.list(&directory).at("list", &directory)? {
                let bytes = item.name.as_bytes();
                let claims = FileName::parse(bytes).is_some_and(|name| name.uid.is_some());
                if item.kind != FileKind::File || bytes.starts_with(b".") || !claims {
                    continue;
                }
                let path = directory.join(&item.name);
                // Gone: another program renamed it, and it is no twin of its other name.
                let Ok(meta) = fs.meta(&path) else { continue };
                let front = bytes.split(|byte| *byte == b':').next().unwrap_or_default().to_vec();
                let Some(first) = firsts.get(&front).copied() else {
                    firsts.insert(front, meta);
                    continue;
                };
                self.core.unsynced = (true, true);
                if first.identity == meta.identity {
                    warn!(path = %path.display(), "second name of a message removed");
                    fs.remove_file(&path).at("remove", &path)?;
                    continue;
                }
                let seconds = u64::try_from(meta.modified / 1_000_000_000).unwrap_or(0);
                let base = Base::Own { seconds, id: fresh_id()? };
                let name = FileName { base, uid: None, disk_size: None, wire_size: None, flags: None };
                let target = mailbox.path.join(Place::New.directory()).join(name.to_string());
                warn!(path = %path.display(), to = %target.display(), "another file with the same UID becomes a message of its own");
                fs.rename(&path, &target).at("rename to", &target)?;
            }
        }
        Ok(())
    }
}
