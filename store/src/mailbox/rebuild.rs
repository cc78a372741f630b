//! For operators: the index made anew from the files, and what there is.

use super::Mailbox;
use super::core::log_repair;
use crate::error::At as _;
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
