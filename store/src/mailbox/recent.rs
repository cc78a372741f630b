//! `\Recent` (RFC 3501 §2.3.2): a watermark in the journal. Messages are delivered to `new/`, where other tools expect
//! them, and move to `cur/` when a session takes them.

use std::sync::atomic::Ordering;

use tracing::warn;

use super::Mailbox;
use super::writer::Writer;
use crate::flags::FlagBits;
use crate::items::{Item, Place};
use crate::record::Op;
use crate::{StoreError, Uid};

impl Mailbox {
    /// Gives the UIDs that are recent to the asking session and, if `take`, to no later one.
    ///
    /// # Errors
    /// When the mailbox can't be read. When its lock is out of reach the messages stay recent.
    pub fn recent(&self, take: bool) -> Result<Vec<Uid>, StoreError> {
        let view = self.view()?;
        let recent: Vec<Uid> =
            view.range(view.lower_bound(view.first_recent)..).map(|entry| entry.uid).collect();
        let Some(last) = recent.last().filter(|_| take) else { return Ok(recent) };
        let taken = self.writer().and_then(|mut writer| {
            writer.take_recent(last.0)?;
            Ok(writer.mark())
        });
        if let Err(error) = taken.and_then(|mark| self.commit(mark)) {
            warn!(mailbox = %self.path.display(), %error, "messages stay recent");
        }
        Ok(recent)
    }
}

impl Writer<'_> {
    fn take_recent(&mut self, last: u32) -> Result<(), StoreError> {
        let fs = &*self.mailbox.shared.fs;
        let untouched = (self.is_untouched(Place::New), self.is_untouched(Place::Cur));
        let mut moved = Vec::new();
        let in_new =
            self.core.state.items.iter().filter(|item| item.place == Place::New && item.uid() <= last);
        for item in in_new {
            self.mailbox.cur_behind.store(true, Ordering::Release);
            let from = self.mailbox.path.join("new").join(item.file_name());
            let to = self.mailbox.path.join("cur").join(item.name_with(FlagBits::default(), Place::Cur));
            if fs.rename(&from, &to).is_ok() || fs.meta(&to).is_ok() {
                moved.push(Item::uid(item));
            }
        }
        let mut operations = vec![Op::Recent { below: last.saturating_add(1) }];
        if !moved.is_empty() {
            operations.push(Op::Named { place: Place::Cur, bits: FlagBits::default(), uids: moved });
            operations.extend(self.touched(Some(untouched.0), Some(untouched.1)));
        }
        self.record(&operations)
    }
}
