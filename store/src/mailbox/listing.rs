//! What is in `new/` and `cur/`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use tracing::warn;

use super::Mailbox;
use crate::StoreError;
use crate::error::At as _;
use crate::file_name::{FileName, front};
use crate::fs::FileKind;
use crate::items::Place;

/// One message file.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) name: OsString,
    /// None when the name can't be kept.
    pub(super) parsed: Option<FileName>,
}

/// Files by the [`front`] of their names, which stays when flags change while we list.
pub(super) type Listing = HashMap<Vec<u8>, Found>;

impl Mailbox {
    /// Lists both directories. A file that is renamed meanwhile may be missing or be there twice; of two names with the
    /// same front the one that still exists counts.
    pub(super) fn listing(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::new();
        for place in [Place::New, Place::Cur] {
            let directory = self.path.join(place.directory());
            let names = self.shared.fs.list(&directory).at("list", &directory);
            for item in names.map_err(|error| self.explain(error))? {
                let bytes = item.name.as_bytes();
                if bytes.starts_with(b".") {
                    continue;
                }
                if item.kind != FileKind::File {
                    self.shared.metrics.foreign_changes.with_label_values(&["ignored"]).inc();
                    warn!(path = %directory.join(&item.name).display(), "not a regular file, ignored");
                    continue;
                }
                let front = front(bytes).to_vec();
                let parsed = FileName::parse(bytes);
                let found = Found { place, name: item.name, parsed };
                if let Some(other) = listing.get(&front)
                    && self.exists(other)
                    && (!self.exists(&found) || other.place == Place::New)
                {
                    continue;
                }
                listing.insert(front, found);
            }
        }
        Ok(listing)
    }

    fn exists(&self, found: &Found) -> bool {
        self.shared.fs.meta(&self.path.join(found.place.directory()).join(&found.name)).is_ok()
    }
}
