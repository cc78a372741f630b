//! Every file of a mailbox, for another place.

use std::path::Path;

use super::Mailbox;
use crate::items::Place;
use crate::{StoreError, UidValidity};

/// What a mailbox was when its files were handed out.
pub(crate) struct Exported {
    pub(crate) uid_validity: UidValidity,
    /// UIDs from here on were never given.
    pub(crate) uid_next: u32,
    /// Ascending, with the part of the file's name that does not change.
    pub(crate) uids: Vec<(u32, String)>,
    /// As in `sluice.keywords`.
    pub(crate) keywords: String,
}

impl Mailbox {
    /// Gives every message's file to `take`, with its place and name, under the lock and with all flags in the names.
    pub(crate) fn export_files(
        &self,
        take: &mut dyn FnMut(Place, &str, &Path) -> Result<(), StoreError>,
    ) -> Result<Exported, StoreError> {
        self.refresh()?;
        self.settle_pending()?;
        let mut writer = self.writer()?;
        writer.notice_foreign_changes()?;
        let state = &writer.core.state;
        let mut uids = Vec::with_capacity(state.items.len());
        for item in state.items.iter() {
            // Flags that changed a moment ago are in no file's name yet: the name is made from what holds.
            let place = if item.rename_is_owed() { Place::Cur } else { item.place };
            let name = item.name_with(item.bits, place);
            let from = self.path.join(item.place.directory()).join(item.file_name());
            take(place, &name, &from)?;
            uids.push((item.uid(), name.split(':').next().unwrap_or_default().to_owned()));
        }
        Ok(Exported {
            uid_validity: UidValidity(state.uid_validity),
            uid_next: state.uid_next,
            uids,
            keywords: state.keywords.print(),
        })
    }
}
