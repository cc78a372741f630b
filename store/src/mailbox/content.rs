//! Reading messages: by the name that the index knows, else by looking.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::Mailbox;
use crate::error::At as _;
use crate::fs::{self, FileKind, FsFile};
use crate::items::Item;
use crate::{StoreError, Uid};

const OPEN_TRIES: u32 = 3;

impl Mailbox {
    /// The whole message, CRLF line ends.
    ///
    /// # Errors
    /// `NoSuchMessage` when it is gone.
    pub fn content(&self, uid: Uid) -> Result<Bytes, StoreError> {
        let (bytes, item) = self.read_message(uid)?;
        Ok(if item.disk_size == item.entry.size { bytes } else { with_crlf(&bytes) }.into())
    }

    /// A range of the message, for BODY[…]<…>; short at the end.
    ///
    /// # Errors
    /// `NoSuchMessage` when it is gone.
    pub fn content_range(&self, uid: Uid, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let item = self.known(uid)?;
        if item.disk_size == item.entry.size {
            let length = length.min(item.disk_size.saturating_sub(offset));
            return Ok(self.read(uid, |file| fs::read_range(file, offset, length))?.0.into());
        }
        // Line ends are made while reading: positions on disk and on the wire differ.
        let whole = Bytes::from(with_crlf(&self.read_message(uid)?.0));
        let end = whole.len() as u64;
        let from = offset.min(end);
        let to = offset.saturating_add(length).min(end);
        let index = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
        Ok(whole.slice(index(from)..index(to)))
    }

    /// The file's octets as they are on disk.
    pub(super) fn read_message(&self, uid: Uid) -> Result<(Vec<u8>, Item), StoreError> {
        self.read(uid, |file| fs::read_from(file, 0))
    }

    /// Opens and reads. A file that goes stale is looked for once more: another node may have renamed it, or removed it.
    fn read(
        &self,
        uid: Uid,
        read: impl Fn(&dyn FsFile) -> io::Result<Vec<u8>>,
    ) -> Result<(Vec<u8>, Item), StoreError> {
        let (file, item) = self.open_message(uid)?;
        match read(&*file) {
            Err(error) if fs::is_stale(&error) => {}
            other => return Ok((other.at("read", &self.file_path(&item))?, item)),
        }
        self.refresh()?;
        let (file, item) = self.open_message(uid)?;
        match read(&*file) {
            Err(error) if fs::is_stale(&error) => Err(StoreError::NoSuchMessage),
            other => Ok((other.at("read", &self.file_path(&item))?, item)),
        }
    }

    pub(super) fn file_path(&self, item: &Item) -> PathBuf {
        self.path.join(item.place.directory()).join(item.file_name())
    }

    /// Opens the file of a message that the picture or the memory knows.
    pub(super) fn open_message(&self, uid: Uid) -> Result<(Box<dyn FsFile>, Item), StoreError> {
        for attempt in 0..OPEN_TRIES {
            let item = self.known(uid)?;
            if let Some(file) = self.try_open(&item)? {
                return Ok((file, item));
            }
            match attempt {
                0 => drop(self.refresh()?),
                _ => self.look_again()?,
            }
        }
        Err(StoreError::NoSuchMessage)
    }

    fn known(&self, uid: Uid) -> Result<Item, StoreError> {
        let item = super::locked(&self.core).state.items.by_uid(uid.0).map(|(_, item)| item.clone());
        match item {
            Some(item) => Ok(item),
            // Expunged for new sessions, but this one may still show it; its file may still be there.
            None => self.view()?.item(uid).cloned().ok_or(StoreError::NoSuchMessage),
        }
    }

    fn try_open(&self, item: &Item) -> Result<Option<Box<dyn FsFile>>, StoreError> {
        let shown = item.name_with(item.bits, item.place);
        let candidates = [
            (item.place, item.file_name()),
            (item.place.other(), item.name_with(item.name_bits, item.place.other())),
            (item.place, shown),
            (item.place.other(), item.name_with(item.bits, item.place.other())),
        ];
        for (place, name) in candidates {
            let path = self.path.join(place.directory()).join(name);
            match self.shared.fs.open_read(&path) {
                Ok(file) if file.meta().at("look at", &path)?.kind == FileKind::File => {
                    return Ok(Some(file));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).at("open", &path),
            }
        }
        Ok(None)
    }

    /// Lists the directories under the lock.
    fn look_again(&self) -> Result<(), StoreError> {
        let mark = {
            let mut writer = self.writer()?;
            writer.synchronise(writer.core.state.uid_next)?;
            writer.mark()
        };
        self.commit(mark)
    }
}

/// Octets of the message once every line ends with CRLF.
pub(super) fn wire_size(bytes: &[u8], before: &mut u8) -> u64 {
    let mut size = bytes.len() as u64;
    for byte in bytes {
        size += u64::from(*byte == b'\n' && *before != b'\r');
        *before = *byte;
    }
    size
}

/// Gives lone LF a CR.
pub(super) fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    let mut before = 0;
    for byte in bytes {
        if *byte == b'\n' && before != b'\r' {
            wire.push(b'\r');
        }
        wire.push(*byte);
        before = *byte;
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_of_other_tools_become_crlf() {
        for (disk, wire) in
            [("", ""), ("a\nb\n", "a\r\nb\r\n"), ("a\r\nb\n", "a\r\nb\r\n"), ("\n\n", "\r\n\r\n")]
        {
            assert_eq!(with_crlf(disk.as_bytes()), wire.as_bytes());
            assert_eq!(wire_size(disk.as_bytes(), &mut 0), wire.len() as u64);
        }
    }
}
