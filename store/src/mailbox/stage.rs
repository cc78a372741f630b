//! A message's file before it is a message: complete and synced in `tmp/`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use envelope::{MessageId, Timestamp};
use tracing::info;

use super::Mailbox;
use crate::StoreError;
use crate::error::{At as _, LINK};
use crate::fs::{FileKind, Fs, FsFile};
use crate::items::Place;
use crate::shared_body::SharedBody;
use crate::store::Shared;

/// A file in `tmp/`; removed when dropped before it is published.
#[derive(Debug)]
pub(crate) struct Staged {
    fs: Arc<dyn Fs>,
    pub(super) path: PathBuf,
    /// The file as long as it is not synced.
    unsynced: Option<Box<dyn FsFile>>,
    identity: (u64, u64),
    /// The file is for others too: it gets a second name instead of another one.
    shared: bool,
    published: bool,
}

/// A new id of our own, for names that no queue gave.
pub(crate) fn fresh_id() -> Result<MessageId, StoreError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .map_err(io::Error::other)
        .at("get random numbers from", Path::new("the system"))?;
    Ok(MessageId::new(Timestamp::from(SystemTime::now()).unix_milliseconds(), random))
}

/// Removes files that writers which died left in a directory for temporary files. Their age is that of their latest
/// change; what fails is tried again another time.
pub(crate) fn sweep(shared: &Shared, directory: &Path) {
    let Ok(items) = shared.fs.list(directory) else { return };
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos().cast_signed());
    let age_max = shared.config.tmp_age_max.as_duration().as_nanos().cast_signed();
    for item in items.into_iter().filter(|item| item.kind == FileKind::File) {
        let path = directory.join(&item.name);
        // The modification time is the message's date of arrival; when it was written says the change time.
        if shared.fs.meta(&path).is_ok_and(|meta| now.saturating_sub(meta.changed) > age_max) {
            let removed = shared.fs.remove_file(&path);
            info!(path = %path.display(), done = removed.is_ok(), "file of a writer that died removed");
        }
    }
}

impl Mailbox {
    /// Writes and syncs `content`. A failed sync condemns the file.
    pub(crate) fn stage(&self, content: &[u8], date: Timestamp) -> Result<Staged, StoreError> {
        let mut staged = self.stage_unsynced(content, date)?;
        staged.sync()?;
        Ok(staged)
    }

    /// Writes `content`; it must be synced before it is published.
    pub(crate) fn stage_unsynced(&self, content: &[u8], date: Timestamp) -> Result<Staged, StoreError> {
        let path = self.path.join("tmp").join(fresh_id()?.to_string());
        let fs = &self.shared.fs;
        let file = fs.create_new(&path).at("create", &path).map_err(|error| self.explain(error))?;
        let mut staged = Staged {
            fs: fs.clone(),
            path,
            unsynced: None,
            identity: (0, 0),
            shared: false,
            published: false,
        };
        file.write_all_at(content, 0).at("write", &staged.path)?;
        // Other tools take the modification time for the date of arrival.
        file.set_modified(date.into()).at("set the time of", &staged.path)?;
        staged.identity = file.meta().at("look at", &staged.path)?.identity;
        staged.unsynced = Some(file);
        Ok(staged)
    }

    /// A body that lies outside of the mailbox, complete and synced.
    pub(crate) fn stage_shared(&self, body: &SharedBody) -> Staged {
        Staged {
            fs: self.shared.fs.clone(),
            path: body.path.clone(),
            unsynced: None,
            identity: body.identity,
            shared: true,
            published: false,
        }
    }

    /// A second name for a message's file in the target's `tmp/`, or a copy where the file system has no links.
    pub(super) fn stage_link(&self, source: &Path, date: Timestamp) -> Result<Staged, StoreError> {
        let fs = &self.shared.fs;
        let found = fs.meta(source).at("look at", source)?;
        if found.kind != FileKind::File {
            return Err(StoreError::NoSuchMessage);
        }
        let path = self.path.join("tmp").join(fresh_id()?.to_string());
        let linked = fs.link(source, &path);
        let is_there = || fs.meta(&path).is_ok_and(|meta| meta.identity == found.identity);
        if linked.is_ok() || is_there() {
            return Ok(Staged {
                fs: fs.clone(),
                path,
                unsynced: None,
                identity: found.identity,
                shared: false,
                published: false,
            });
        }
        let file = fs.open_read(source).at("open", source)?;
        let content = crate::fs::read_from(&*file, 0).at("read", source)?;
        self.stage(&content, date)
    }
}

impl Staged {
    /// Returns when the content is on disk. A failure condemns the file.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        match self.unsynced.take() {
            Some(file) => file.sync().at("sync", &self.path),
            None => Ok(()),
        }
    }

    /// Which file system it is on.
    pub(crate) const fn device(&self) -> u64 {
        self.identity.0
    }

    pub(crate) const fn is_unsynced(&self) -> bool {
        self.unsynced.is_some()
    }

    /// The whole volume was synced after the content was written.
    pub(crate) fn note_synced(&mut self) {
        self.unsynced = None;
    }

    /// Gives the file its name in the Maildir. An error of rename may be a lie: what counts is what is there.
    pub(super) fn publish(&mut self, directory: &Path, place: Place, name: &str) -> Result<(), StoreError> {
        assert!(self.unsynced.is_none(), "a message gets its name when its content is on disk");
        let target = directory.join(place.directory()).join(name);
        let renamed = if self.shared {
            self.fs.link(&self.path, &target).at(LINK, &target)
        } else {
            self.fs.rename(&self.path, &target).at("rename to", &target)
        };
        if renamed.is_err() && !self.fs.meta(&target).is_ok_and(|meta| meta.identity == self.identity) {
            return renamed;
        }
        self.published = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published && !self.shared {
            let _ = self.fs.remove_file(&self.path);
        }
    }
}
