//! The difference between what the client knows and what is there.

use std::sync::Arc;

use imap_proto::response::word;
use store::{Entry, Flags, View};

use super::super::flags;
use super::Selected;

/// What may be said now (RFC 3501 §5.5, §7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Everything.
    Any,
    /// No EXPUNGE: during FETCH, STORE and SEARCH by sequence number.
    NoExpunge,
}

impl Selected {
    /// Writes the untagged responses that lead the client from what it knows to `view`.
    pub(crate) fn tell(&mut self, view: Arc<View>, moment: Moment, out: &mut Vec<u8>) {
        if Arc::ptr_eq(&view, &self.told) && self.told_flags.is_empty() {
            return;
        }
        let (gone, changed) = self.difference(&view);
        if moment == Moment::NoExpunge && !gone.is_empty() {
            self.tell_keywords(&changed, out);
            for (index, entry) in changed {
                self.encode_flags(index, &entry, out);
                self.note_flags(entry.uid, Arc::clone(&entry.flags));
            }
            return;
        }
        for (before, index) in gone.iter().enumerate() {
            // Each EXPUNGE moves those behind it forward.
            untagged(index + 1 - before, "EXPUNGE", out);
        }
        let kept = self.len() - gone.len();
        self.told = view;
        self.told_flags.clear();
        if self.len() > kept {
            untagged(self.len(), "EXISTS", out);
            untagged(self.recent_count(), "RECENT", out);
            let news: Vec<(usize, Entry)> =
                (kept..self.len()).filter_map(|index| Some((index, self.entry(index)?.clone()))).collect();
            self.tell_keywords(&news, out);
        }
        self.tell_keywords(&changed, out);
        for (index, entry) in changed {
            let before = gone.partition_point(|gone| *gone < index);
            self.encode_flags(index - before, &entry, out);
        }
    }

    /// Indices of messages that are gone, and messages (by their index in `told`) whose flags the client does not know.
    fn difference(&self, view: &View) -> (Vec<usize>, Vec<(usize, Entry)>) {
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        let ranges = self.told.unshared(view);
        for range in &ranges {
            let first = self.told.get(range.start).map_or(0, |entry| view.lower_bound(entry.uid));
            let mut theirs = view.range(first..).peekable();
            for (index, ours) in range.clone().zip(self.told.range(range.clone())) {
                while theirs.next_if(|entry| entry.uid < ours.uid).is_some() {}
                match theirs.next_if(|entry| entry.uid == ours.uid) {
                    None => gone.push(index),
                    Some(now) if self.knows_flags(ours, now) => {}
                    Some(now) => changed.push((index, now.clone())),
                }
            }
        }
        // What the client was told beside the picture may be older than both.
        for (index, entry) in self.told_flags.keys().filter_map(|uid| self.told.by_uid(*uid)) {
            let looked_at = ranges.iter().any(|range| range.contains(&index));
            if !looked_at && !self.knows_flags(entry, entry) {
                changed.push((index, entry.clone()));
            }
        }
        changed.sort_unstable_by_key(|(index, _)| *index);
        (gone, changed)
    }

    fn knows_flags(&self, ours: &Entry, now: &Entry) -> bool {
        let known = self.flags(ours);
        Arc::ptr_eq(known, &now.flags) || **known == *now.flags
    }

    /// `* n FETCH (UID u FLAGS (…))`
    pub(crate) fn encode_flags(&self, index: usize, entry: &Entry, out: &mut Vec<u8>) {
        out.extend_from_slice(b"* ");
        word::number(index as u64 + 1, out);
        out.extend_from_slice(b" FETCH (UID ");
        word::number(entry.uid.0.into(), out);
        out.extend_from_slice(b" FLAGS ");
        flags::encode(&entry.flags, self.is_recent(entry.uid), out);
        out.extend_from_slice(b")\r\n");
    }

    /// `* FLAGS (…)` when there are keywords that the client does not know.
    pub(crate) fn tell_keywords(&mut self, changed: &[(usize, Entry)], out: &mut Vec<u8>) {
        let used = changed.iter().map(|(_, entry)| &*entry.flags);
        if self.learn_keywords(used) {
            let mut defined = self.told.keywords();
            defined.extend(changed.iter().flat_map(|(_, entry)| entry.flags.keywords.iter().cloned()));
            out.extend_from_slice(b"* FLAGS ");
            flags::encode_defined(&defined, false, out);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn learn_keywords<'a>(&mut self, used: impl Iterator<Item = &'a Flags>) -> bool {
        let mut news = false;
        for keyword in used.flat_map(|flags| &flags.keywords) {
            let lower = keyword.to_ascii_lowercase();
            if !self.keywords.contains(&lower) {
                self.keywords.insert(lower);
                news = true;
            }
        }
        news
    }
}

/// `* n WORD`
pub(crate) fn untagged(number: usize, word: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* ");
    word::number(number as u64, out);
    out.push(b' ');
    out.extend_from_slice(word.as_bytes());
    out.extend_from_slice(b"\r\n");
}
