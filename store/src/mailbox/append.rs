//! APPEND (RFC 3501 §6.3.11).

use envelope::Timestamp;

use super::Mailbox;
use super::deliver::{Arrival, Arrived};
use super::stage::fresh_id;
use crate::file_name::Base;
use crate::items::Place;
use crate::{Flags, StoreError, Uid, summary};

impl Mailbox {
    /// Adds a message with an id of its own; returns after the sync.
    ///
    /// # Errors
    /// Nothing was added then.
    pub fn append(&self, content: &[u8], flags: &Flags, internal_date: Timestamp) -> Result<Uid, StoreError> {
        self.check_room()?;
        let id = fresh_id()?;
        let mut staged = self.stage(content, internal_date)?;
        let summary = summary::parse(content);
        let Arrived { uids, mark, failure } = {
            let mut writer = self.writer()?;
            let untouched = writer.seek_strays()?;
            let size = content.len() as u64;
            let arrival = Arrival {
                staged: &mut staged,
                base: Base::Own { seconds: internal_date.unix_seconds(), id },
                internal_date,
                size,
                disk_size: size,
                bits: writer.bits_of(flags)?,
                summary: Some(&summary),
            };
            writer.arrive(&mut [arrival], Place::Cur, untouched)?
        };
        let uid = uids.first().copied().ok_or_else(|| failure.unwrap_or(StoreError::Busy))?;
        self.settle(&[(uid, Some(id))], mark)?;
        Ok(Uid(uid))
    }
}
