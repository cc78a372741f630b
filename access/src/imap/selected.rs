//! The selected mailbox as the client knows it.
//!
//! `told` is the view that the client's sequence numbers mean. A newer view of the store is told as the difference,
//! and takes its place. Where EXPUNGE must not be said (RFC 3501 §7.4.1: during FETCH, STORE and SEARCH) and messages are gone, `told`
//! stays, only flags are told, and `told_flags` keeps which, until the next moment where all can be said.
//!
//! **Invariant:** after every tagged answer the client's list of messages is exactly `told`, in length and order.

mod messages;
mod tell;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use imap_proto::{MessageSet, Numbering};
use store::{Entry, Flags, Mailbox, Uid, View};

pub(crate) use messages::Messages;
pub(crate) use tell::{Moment, untagged};

use super::reply::Reply;

/// A mailbox that is selected.
pub(crate) struct Selected {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) read_only: bool,
    /// When the disk was last looked at.
    pub(crate) refreshed: Instant,
    told: Arc<View>,
    /// Flags the client knows that are newer than those in `told`.
    told_flags: HashMap<Uid, Arc<Flags>>,
    /// Ranges of UIDs that are `\Recent` in this session, ascending.
    recent: Vec<(u32, u32)>,
    /// Whether UIDs from here on are `\Recent` was not asked yet.
    recent_until: Uid,
    /// The keywords the client knows, by their lower case.
    keywords: BTreeSet<String>,
    /// `$` (RFC 5182), as ranges of UIDs.
    saved: Vec<(u32, u32)>,
}

impl Selected {
    /// Begins with `view` as what the client will be told by SELECT.
    pub(crate) fn new(mailbox: Arc<Mailbox>, view: Arc<View>, read_only: bool, recent: &[Uid]) -> Self {
        let mut selected = Self {
            mailbox,
            read_only,
            refreshed: Instant::now(),
            recent_until: view.uid_next,
            told: view,
            told_flags: HashMap::new(),
            recent: Vec::new(),
            keywords: BTreeSet::new(),
            saved: Vec::new(),
        };
        selected.add_recent(recent);
        selected.keywords = selected.told.keywords().iter().map(|name| name.to_ascii_lowercase()).collect();
        selected
    }

    /// What the client knows.
    pub(crate) const fn told(&self) -> &Arc<View> {
        &self.told
    }

    /// How many messages the client knows.
    pub(crate) fn len(&self) -> usize {
        self.told.len()
    }

    /// The entry at an index.
    pub(crate) fn entry(&self, index: usize) -> Option<&Entry> {
        self.told.get(index)
    }

    /// The flags of a message as the client knows them.
    pub(crate) fn flags<'a>(&'a self, entry: &'a Entry) -> &'a Arc<Flags> {
        self.told_flags.get(&entry.uid).unwrap_or(&entry.flags)
    }

    /// Notes that the client knows, or takes for granted, these flags.
    pub(crate) fn note_flags(&mut self, uid: Uid, flags: Arc<Flags>) {
        self.told_flags.insert(uid, flags);
    }

    /// Whether a message is `\Recent` in this session.
    pub(crate) fn is_recent(&self, uid: Uid) -> bool {
        in_ranges(&self.recent, uid.0)
    }

    /// How many messages are `\Recent` in this session.
    pub(crate) fn recent_count(&self) -> usize {
        let lower = |uid: u32| self.told.lower_bound(Uid(uid));
        self.recent
            .iter()
            .map(|(start, end)| end.checked_add(1).map_or(self.len(), lower) - lower(*start))
            .sum()
    }

    /// Whether somebody must be asked which messages of `view` are recent: there are new ones that no session took.
    pub(crate) fn wants_recent(&self, view: &View) -> bool {
        view.uid_next > self.recent_until && view.lower_bound(view.first_recent) < view.len()
    }

    /// Takes what is recent up to the end of `view`.
    pub(crate) fn take_recent(&mut self, view: &View, uids: &[Uid]) {
        self.recent_until = self.recent_until.max(view.uid_next);
        self.add_recent(uids);
    }

    fn add_recent(&mut self, uids: &[Uid]) {
        for uid in uids {
            if !in_ranges(&self.recent, uid.0) {
                push_uid(&mut self.recent, uid.0);
            }
        }
        if !self.recent.is_sorted() {
            self.recent.sort_unstable();
        }
    }

    /// Keeps the result of a search as `$`.
    pub(crate) fn save(&mut self, uids: impl Iterator<Item = Uid>) {
        self.saved.clear();
        for uid in uids {
            push_uid(&mut self.saved, uid.0);
        }
    }

    /// Ranges of UIDs in `$`.
    pub(crate) fn saved(&self) -> &[(u32, u32)] {
        &self.saved
    }

    /// The largest UID that the client knows, 0 for none.
    pub(crate) fn largest_uid(&self) -> u32 {
        self.len().checked_sub(1).and_then(|last| self.entry(last)).map_or(0, |entry| entry.uid.0)
    }

    /// The messages a command names. A sequence number that does not exist is the client's mistake; a UID that does not
    /// exist is nothing (RFC 3501 §6.4.8).
    pub(crate) fn resolve(&self, numbering: Numbering, set: &MessageSet) -> Result<Messages, Reply> {
        let mut messages = Messages::default();
        match (numbering, set) {
            (_, MessageSet::Saved) => {
                for (start, end) in &self.saved {
                    messages.push(self.indices(*start, *end));
                }
            }
            (Numbering::Uid, MessageSet::Numbers(set)) => {
                for range in set.ranges(self.largest_uid()) {
                    messages.push(self.indices(*range.start(), *range.end()));
                }
            }
            (Numbering::Sequence, MessageSet::Numbers(set)) => {
                let count = u32::try_from(self.len()).unwrap_or(u32::MAX);
                if set.largest_number().is_some_and(|largest| largest > count) {
                    return Err(Reply::bad("There is no message with such a number"));
                }
                for range in set.ranges(count) {
                    messages.push(*range.start() as usize - 1..*range.end() as usize);
                }
            }
        }
        Ok(messages)
    }

    /// The UIDs of messages.
    pub(crate) fn uids(&self, messages: &Messages) -> Vec<Uid> {
        messages.indices().filter_map(|index| self.entry(index)).map(|entry| entry.uid).collect()
    }

    /// The indices of a range of UIDs.
    fn indices(&self, start: u32, end: u32) -> std::ops::Range<usize> {
        let to = end.checked_add(1).map_or(self.len(), |end| self.told.lower_bound(Uid(end)));
        self.told.lower_bound(Uid(start))..to
    }
}

/// Whether ascending, disjoint ranges hold a number.
pub(crate) fn in_ranges(ranges: &[(u32, u32)], number: u32) -> bool {
    let at = ranges.partition_point(|(_, end)| *end < number);
    ranges.get(at).is_some_and(|(start, _)| *start <= number)
}

/// Adds a number behind the ranges, joined to the last when it follows it.
fn push_uid(ranges: &mut Vec<(u32, u32)>, number: u32) {
    match ranges.last_mut() {
        Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
        _ => ranges.push((number, number)),
    }
}
