//! COPY and MOVE (RFC 3501 §6.4.7, RFC 6851): hard links into the target, one record for all of them.
//!
//! The two mailboxes' locks are never held together: first all files are linked into the target's `tmp/`, then the
//! target takes them in one step, then, for MOVE, the source expunges. A crash between the last two leaves a MOVE as
//! a COPY.

use super::Mailbox;
use super::deliver::Arrival;
use super::flags::sorted;
use super::stage::{Staged, fresh_id};
use crate::file_name::Base;
use crate::items::{Item, Place};
use crate::record::Op;
use crate::{Copied, StoreError, Uid, UidValidity};

impl Mailbox {
    /// Copies those of `uids` that are there: all or none.
    ///
    /// # Errors
    /// Nothing was copied then.
    pub fn copy(&self, uids: &[Uid], target: &Self) -> Result<Copied, StoreError> {
        let mut staged = Vec::new();
        for uid in sorted(uids) {
            match self.stage_copy(Uid(uid), target) {
                Ok(copy) => staged.push(copy),
                Err(StoreError::NoSuchMessage) => {}
                Err(error) => return Err(error),
            }
        }
        target.take_in(staged)
    }

    /// Moves those of `uids` that are there.
    ///
    /// # Errors
    /// Nothing was moved then, or the messages are in both mailboxes.
    pub fn move_to(&self, uids: &[Uid], target: &Self) -> Result<Copied, StoreError> {
        let copied = self.copy(uids, target)?;
        let sources: Vec<Uid> = copied.uids.iter().map(|(source, _)| *source).collect();
        self.expunge(&sources)?;
        Ok(copied)
    }

    fn stage_copy(&self, uid: Uid, target: &Self) -> Result<(Staged, Item), StoreError> {
        // Opening finds the file wherever it is now; then its name is known.
        let (_, item) = self.open_message(uid)?;
        let linked = target.stage_link(&self.file_path(&item), item.entry.internal_date);
        match linked {
            Err(error) if error.is_not_found() => {
                let (content, item) = self.read_message(uid)?;
                Ok((target.stage(&content, item.entry.internal_date)?, item))
            }
            other => Ok((other?, item)),
        }
    }

    fn take_in(&self, mut staged: Vec<(Staged, Item)>) -> Result<Copied, StoreError> {
        let mut pairs = Vec::new();
        let mut arrived = Vec::new();
        let (uid_validity, mark) = {
            let mut writer = self.writer()?;
            let count = u32::try_from(staged.len()).map_err(|_| StoreError::Limit("messages in one copy"))?;
            let untouched = writer.seek_strays()?;
            let first = writer.allocate(count)?;
            writer.announce(count)?;
            let mut operations = Vec::new();
            let mut failure = None;
            for (uid, (file, item)) in (first..).zip(&mut staged) {
                let result = fresh_id().and_then(|id| {
                    let arrival = Arrival {
                        staged: file,
                        base: Base::Own { seconds: item.entry.internal_date.unix_seconds(), id },
                        internal_date: item.entry.internal_date,
                        size: item.entry.size,
                        disk_size: item.disk_size,
                        bits: writer.bits_of(&item.entry.flags)?,
                        place: Place::Cur,
                        summary: None,
                    };
                    writer.arrive_as(uid, arrival)
                });
                match result {
                    Ok(added) => {
                        pairs.push((item.entry.uid, Uid(uid)));
                        arrived.push((uid, added.base.message_id()));
                        operations.push(Op::Added(added));
                    }
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
            if !operations.is_empty() {
                operations.extend(writer.touched(None, Some(untouched)));
                writer.record(&operations)?;
            }
            if let Some(error) = failure {
                if !arrived.is_empty() {
                    writer.take_back(&arrived)?;
                }
                return Err(error);
            }
            (UidValidity(writer.core.state.uid_validity), writer.mark())
        };
        self.settle(&arrived, mark)?;
        Ok(Copied { uid_validity, uids: pairs })
    }
}
