//! STORE (RFC 3501 §6.4.6, RFC 7162 §3.1.3), written ahead: one synced record for any number of messages; the files'
//! names follow.

use super::Mailbox;
use crate::flags::FlagBits;
use crate::record::Op;
use crate::{FlagChange, Flags, ModSeq, StoreError, Stored, Uid};

impl Mailbox {
    /// Changes flags of those of `uids` that are there.
    ///
    /// # Errors
    /// Nothing is known to have changed then.
    pub fn store(
        &self,
        uids: &[Uid],
        change: FlagChange,
        flags: &Flags,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, StoreError> {
        let mut stored = Stored { changed: Vec::new(), modified: Vec::new() };
        let mark = {
            let mut writer = self.writer()?;
            let bits = match change {
                FlagChange::Remove => writer.core.state.keywords.known_bits(flags),
                FlagChange::Add | FlagChange::Replace => writer.bits_of(flags)?,
            };
            let (add, remove) = match change {
                FlagChange::Add => (bits, FlagBits::default()),
                FlagChange::Remove => (FlagBits::default(), bits),
                FlagChange::Replace => (bits, FlagBits::VISIBLE.without(bits)),
            };
            let mut wanted = Vec::new();
            for uid in sorted(uids) {
                let Some((_, item)) = writer.core.state.items.by_uid(uid) else { continue };
                if unchanged_since.is_some_and(|since| item.entry.mod_seq > since) {
                    stored.modified.push(Uid(uid));
                } else if item.bits.without(remove).with(add) != item.bits {
                    wanted.push(uid);
                }
            }
            if !wanted.is_empty() {
                let mod_seq = writer.next_mod_seq()?;
                writer.record(&[Op::Flags { mod_seq, add, remove, uids: wanted.clone() }])?;
            }
            let entry = |uid| writer.core.state.items.by_uid(uid).map(|(_, item)| item.entry.clone());
            stored.changed = wanted.into_iter().filter_map(entry).collect();
            writer.mark()
        };
        self.commit(mark)?;
        self.let_names_follow(stored.changed.len());
        Ok(stored)
    }
}

/// Ascending, each once: what records hold.
pub(super) fn sorted(uids: &[Uid]) -> Vec<u32> {
    let mut uids: Vec<u32> = uids.iter().map(|uid| uid.0).collect();
    uids.sort_unstable();
    uids.dedup();
    uids
}
