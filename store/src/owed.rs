//! Mailboxes whose names and files follow a large change later, for the upkeep of any node: whoever made the change may have
//! died, and nobody else may open the mailbox for a long time.
//!
//! ```text
//! <root>/sluice.placing/<16 hex digits>.owed    volume, account's directory below it, mailbox's directory; a line each
//! ```
//! A note is a hint: without it the mailbox is brought up to date by whoever opens it next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use crate::fs;
use crate::mailbox::age;
use crate::placement::LOCKS;
use crate::store::Shared;
use crate::{Account, Mailbox, MailboxName, Store, StoreError};

const NOTE: &str = ".owed";
/// Upkeep of the node that made the change comes first.
const OTHERS_WAIT: Duration = Duration::from_secs(60);

impl Shared {
    /// Leaves the note. What fails here is told by the mailbox itself when it is opened.
    pub(crate) fn note_owed(&self, account: &Path, mailbox: &Path) {
        let volume = self.volumes.of(account);
        let below = |path: &Path, root: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
        let text =
            format!("{}\n{}\n{}\n", volume.name, below(account, &volume.root), below(mailbox, account));
        let directory = self.config.root.join(LOCKS);
        let made = crate::account::make_directory(&*self.fs, &directory);
        let path = self.owed_note(mailbox);
        let _ = made.is_ok()
            && self.fs.open_write(&path).is_ok_and(|file| file.write_all_at(text.as_bytes(), 0).is_ok());
    }

    /// Takes the note away.
    pub(crate) fn forget_owed(&self, mailbox: &Path) {
        let _ = self.fs.remove_file(&self.owed_note(mailbox));
    }

    fn owed_note(&self, mailbox: &Path) -> PathBuf {
        let volume = self.volumes.of(mailbox);
        let below = mailbox.strip_prefix(&volume.root).unwrap_or(mailbox);
        let digest = Sha256::digest(format!("{}\0{}", volume.name, below.display()).as_bytes());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.config.root.join(LOCKS).join(format!("{name}{NOTE}"))
    }
}

impl Store {
    /// Upkeep: does what other nodes that died have left to do.
    pub(crate) fn settle_owed(&self) {
        let fs = &*self.shared().fs;
        let directory = self.shared().config.root.join(LOCKS);
        let Ok(items) = fs.list(&directory) else { return };
        for item in items.iter().filter(|item| item.name.as_encoded_bytes().ends_with(NOTE.as_bytes())) {
            let path = directory.join(&item.name);
            if fs.meta(&path).is_ok_and(|meta| age(meta.modified) < OTHERS_WAIT) {
                continue;
            }
            // What can't be read or understood here stays for a node that can.
            let Ok(Some(text)) = fs::read_optional(fs, &path) else { continue };
            match self.settle_noted(&String::from_utf8_lossy(&text)) {
                Ok(None) => {}
                Ok(Some(mailbox)) => {
                    info!(?mailbox, "names and files of a mailbox follow what another node left");
                    let _ = fs.remove_file(&path);
                }
                Err(StoreError::Gone | StoreError::NoSuchMailbox) => drop(fs.remove_file(&path)),
                Err(error) => warn!(%error, note = %path.display(), "left for the next turn"),
            }
        }
    }

    /// `None` when the note names a volume that is not known here.
    fn settle_noted(&self, text: &str) -> Result<Option<Arc<Mailbox>>, StoreError> {
        let shared = self.shared();
        let mut lines = text.lines();
        let mut next = || lines.next().unwrap_or_default();
        let (volume, account, directory) = (next(), next(), next());
        let Some(volume) = shared.volumes.named(volume) else { return Ok(None) };
        let path = volume.root.join(account);
        let Some(account) = Account::existing(shared.clone(), path)? else { return Err(StoreError::Gone) };
        let name = MailboxName::from_directory(directory).unwrap_or_else(MailboxName::inbox);
        let mailbox = account.mailbox(&name)?;
        mailbox.refresh()?;
        mailbox.settle_pending()?;
        Ok(Some(mailbox))
    }
}
