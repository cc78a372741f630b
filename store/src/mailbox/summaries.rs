//! Summaries: from the cache, parsed only when it has none.

use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;

use super::{Mailbox, locked};
use crate::cache;
use crate::error::At as _;
use crate::fs::is_stale;
use crate::items::Position;
use crate::record::Op;
use crate::summary::{self, Fields, Summary};
use crate::{StoreError, Uid};

/// Where a summary is.
enum Known<'a> {
    /// In the cache, as octets.
    Record(&'a [u8]),
    /// In memory: it had to be parsed.
    Parsed(&'a Arc<Summary>),
}

impl Mailbox {
    /// The summary of one message.
    ///
    /// # Errors
    /// `NoSuchMessage` when it is gone.
    pub fn summary(&self, uid: Uid) -> Result<Arc<Summary>, StoreError> {
        let found = self.summaries(&[uid])?.pop();
        found.map(|(_, summary)| summary).ok_or(StoreError::NoSuchMessage)
    }

    /// Summaries for many messages in one pass over the cache: what FETCH BODYSTRUCTURE and message lists use.
    /// In the order of `uids`; messages that are gone are left out.
    ///
    /// # Errors
    /// When files can't be read.
    pub fn summaries(&self, uids: &[Uid]) -> Result<Vec<(Uid, Arc<Summary>)>, StoreError> {
        let mut found: Vec<Option<Arc<Summary>>> = vec![None; uids.len()];
        self.each(uids, |index, known| {
            let summary = match known {
                Known::Record(record) => {
                    summary::codec::decode(&Bytes::copy_from_slice(record)).map(Arc::new)
                }
                Known::Parsed(summary) => Some(Arc::clone(summary)),
            };
            let is_read = summary.is_some();
            if let Some(slot) = found.get_mut(index) {
                *slot = summary;
            }
            is_read
        })?;
        let answer = uids.iter().zip(found).filter_map(|(uid, summary)| Some((*uid, summary?)));
        Ok(answer.collect())
    }

    /// Shows the header's fields of many messages, each with its place in `uids`: less work than [`Self::summaries`], for nothing is taken
    /// out of what was read. In no order; messages that are gone are left out.
    ///
    /// # Errors
    /// When files can't be read.
    pub fn fields(
        &self,
        uids: &[Uid],
        mut visit: impl FnMut(usize, &Fields<&[u8]>),
    ) -> Result<(), StoreError> {
        self.each(uids, |index, known| {
            match known {
                Known::Record(record) => match summary::codec::decode_fields(record) {
                    Some(fields) => visit(index, &fields),
                    None => return false,
                },
                Known::Parsed(summary) => visit(index, &summary.fields.borrowed()),
            }
            true
        })
    }

    /// Shows what is known of each message: its record, or when it has none that `take` can read, its summary, parsed and then remembered.
    fn each(&self, uids: &[Uid], mut take: impl FnMut(usize, Known<'_>) -> bool) -> Result<(), StoreError> {
        let view = self.view()?;
        let mut taken = vec![false; uids.len()];
        let (file, wanted) = {
            let mut core = locked(&self.core);
            let position = |uid: &Uid| core.state.items.by_uid(uid.0).and_then(|(_, item)| item.cached);
            let wanted = uids.iter().enumerate();
            let wanted = wanted.filter_map(|(index, uid)| Some((index, uid.0, position(uid)?)));
            let wanted: Vec<(usize, u32, Position)> = wanted.collect();
            (core.cache_file(self)?.reader(), wanted)
        };
        if self.shared.network {
            // What other nodes appended since shows after asking.
            let _ = file.meta();
        }
        let mut hits = 0;
        let read = cache::read(&*file, wanted, |index, record| {
            if let Some(slot) = taken.get_mut(index) {
                *slot = take(index, Known::Record(record));
                hits += u64::from(*slot);
            }
        });
        match read {
            // Another node made the cache anew: what it can't give is parsed.
            Err(error) if is_stale(&error) => locked(&self.core).cache = None,
            other => other.at("read", &self.path.join(cache::FILE))?,
        }
        let metrics = &self.shared.metrics.summaries;
        metrics.with_label_values(&["hit"]).inc_by(hits);
        let mut parsed = Vec::new();
        for (index, uid) in uids.iter().enumerate() {
            if taken.get(index) == Some(&true) || view.item(*uid).is_none() {
                continue;
            }
            match self.content(*uid) {
                Ok(content) => {
                    let summary = Arc::new(summary::parse(&content));
                    take(index, Known::Parsed(&summary));
                    parsed.push((uid.0, summary));
                }
                Err(StoreError::NoSuchMessage) => {}
                Err(error) => return Err(error),
            }
        }
        if !parsed.is_empty() {
            metrics.with_label_values(&["parsed"]).inc_by(parsed.len() as u64);
            if let Err(error) = self.remember_summaries(&parsed) {
                warn!(mailbox = %self.path.display(), %error, "summaries not cached");
            }
        }
        Ok(())
    }

    fn remember_summaries(&self, parsed: &[(u32, Arc<Summary>)]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let present: Vec<(u32, &Summary)> = parsed
            .iter()
            .filter(|(uid, _)| writer.core.state.items.by_uid(*uid).is_some())
            .map(|(uid, summary)| (*uid, &**summary))
            .collect();
        let positions = writer.cache(&present);
        writer.record(&[Op::Cached { positions }])?;
        writer.mark();
        Ok(())
    }
}
