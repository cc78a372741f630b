//! COPY and MOVE (RFC 3501 §6.4.7, RFC 6851): hard links into the target, one record for all of them.
//!
//! First all files are linked into the target's `tmp/`, then the target takes them in one step. MOVE holds the source's
//! lock meanwhile, so that of two sessions that move a message one finds it gone; it never waits for the target's lock
//! with the source's in its hand, but lets go and tries again. The source expunges when the copies are durable: a crash
//! in between leaves a MOVE as a COPY.

use std::thread;
use std::time::Instant;

use envelope::MessageId;

use super::Mailbox;
use super::deliver::{Arrival, Arrived};
use super::flags::sorted;
use super::stage::{Staged, fresh_id};
use super::writer::{Writer, now};
use crate::file_name::Base;
use crate::items::{Item, Place};
use crate::lock::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::record::Op;
use crate::{Copied, StoreError, Uid, UidValidity};

impl Mailbox {
    /// Copies those of `uids` that are there: all or none.
    ///
    /// # Errors
    /// Nothing was copied then.
    pub fn copy(&self, uids: &[Uid], target: &Self) -> Result<Copied, StoreError> {
        let mut staged = self.stage_copies(uids, target)?;
        let (taken, uid_validity, mark) = {
            let mut writer = target.writer()?;
            let taken = writer.take_in(&mut staged)?;
            (taken, UidValidity(writer.core.state.uid_validity), writer.mark())
        };
        target.settle(&taken.arrived, mark)?;
        Ok(Copied { uid_validity, uids: taken.pairs })
    }

    /// Moves those of `uids` that are there. Whatever other sessions do meanwhile, each is moved once.
    ///
    /// # Errors
    /// Nothing was moved then, or messages are in both mailboxes.
    pub fn move_to(&self, uids: &[Uid], target: &Self) -> Result<Copied, StoreError> {
        if self.path == target.path {
            let copied = self.copy(uids, target)?;
            let sources: Vec<Uid> = copied.uids.iter().map(|(source, _)| *source).collect();
            self.expunge(&sources)?;
            return Ok(copied);
        }
        let mut staged = self.stage_copies(uids, target)?;
        let deadline = self.deadline();
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(copied) = self.try_move(&mut staged, target)? {
                return Ok(copied);
            }
            if Instant::now() >= deadline {
                return Err(StoreError::LockTimeout);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Holds the source while the target takes the files in; `None` when the target is busy.
    fn try_move(
        &self,
        staged: &mut Vec<(Staged, Item)>,
        target: &Self,
    ) -> Result<Option<Copied>, StoreError> {
        let mut source = self.writer()?;
        staged.retain_mut(|(_, item)| {
            let now = source.core.state.items.by_uid(item.uid()).map(|(_, now)| now.clone());
            now.map(|now| *item = now).is_some()
        });
        let Some(mut writer) = target.writer_at_once()? else { return Ok(None) };
        let taken = writer.take_in(staged)?;
        let mark = writer.mark();
        let uid_validity = UidValidity(writer.core.state.uid_validity);
        drop(writer);
        if let Err(error) = target.commit(mark) {
            // No lock is waited for while another is held.
            drop(source);
            target.take_back(&taken.arrived);
            return Err(error);
        }
        let sources: Vec<u32> = taken.pairs.iter().map(|(source, _)| source.0).collect();
        if !sources.is_empty() {
            let mod_seq = source.next_mod_seq()?;
            source.record(&[Op::Expunged { mod_seq, at: now(), uids: sources }])?;
        }
        let mark = source.mark();
        drop(source);
        self.commit(mark)?;
        self.settle_if_small(taken.pairs.len());
        Ok(Some(Copied { uid_validity, uids: taken.pairs }))
    }

    fn stage_copies(&self, uids: &[Uid], target: &Self) -> Result<Vec<(Staged, Item)>, StoreError> {
        let mut staged = Vec::new();
        for uid in sorted(uids) {
            match self.stage_copy(Uid(uid), target) {
                Ok(copy) => staged.push(copy),
                Err(StoreError::NoSuchMessage) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(staged)
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
}

/// What the target of a copy took.
pub(super) struct Taken {
    /// (source, target).
    pairs: Vec<(Uid, Uid)>,
    arrived: Vec<(u32, Option<MessageId>)>,
}

impl Writer<'_> {
    /// Gives staged files their names and writes one record for all of them. All or none.
    fn take_in(&mut self, staged: &mut [(Staged, Item)]) -> Result<Taken, StoreError> {
        let mut taken = Taken { pairs: Vec::new(), arrived: Vec::new() };
        let untouched = self.seek_strays()?;
        let mut arrivals = Vec::with_capacity(staged.len());
        for (staged, item) in &mut *staged {
            arrivals.push(Arrival {
                staged,
                base: Base::Own { seconds: item.entry.internal_date.unix_seconds(), id: fresh_id()? },
                internal_date: item.entry.internal_date,
                size: item.entry.size,
                disk_size: item.disk_size,
                bits: self.bits_of(&item.entry.flags)?,
                summary: None,
            });
        }
        let Arrived { uids, failure, .. } = self.arrive(&mut arrivals, Place::Cur, untouched)?;
        let ids: Vec<_> = arrivals.iter().map(|arrival| arrival.base.message_id()).collect();
        for ((uid, (_, item)), id) in uids.into_iter().zip(&*staged).zip(ids) {
            taken.pairs.push((item.entry.uid, Uid(uid)));
            taken.arrived.push((uid, id));
        }
        let Some(error) = failure else { return Ok(taken) };
        if !taken.arrived.is_empty() {
            self.take_back(&taken.arrived)?;
        }
        Err(error)
    }
}
