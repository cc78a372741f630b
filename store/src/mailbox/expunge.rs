//! EXPUNGE (RFC 3501 §6.4.3, RFC 4315 §2.1), written ahead: the files go later.

use super::Mailbox;
use super::flags::sorted;
use super::writer::now;
use crate::record::Op;
use crate::{StoreError, Uid};

impl Mailbox {
    /// Removes those of `uids` that are there, whatever their flags; gives the ones removed.
    ///
    /// # Errors
    /// Nothing is known to have been removed then.
    pub fn expunge(&self, uids: &[Uid]) -> Result<Vec<Uid>, StoreError> {
        let mut present = sorted(uids);
        let mark = {
            let mut writer = self.writer()?;
            present.retain(|uid| writer.core.state.items.by_uid(*uid).is_some());
            if !present.is_empty() {
                let mod_seq = writer.next_mod_seq()?;
                writer.record(&[Op::Expunged { mod_seq, at: now(), uids: present.clone() }])?;
            }
            writer.mark()
        };
        self.commit(mark)?;
        self.settle_if_small(present.len());
        Ok(present.into_iter().map(Uid).collect())
    }
}
