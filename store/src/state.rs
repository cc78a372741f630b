//! A mailbox in memory: what snapshot and journal add up to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use envelope::{MessageId, Timestamp};

use crate::flags::FlagBits;
use crate::items::{Item, Items, Place};
use crate::keywords::Keywords;
use crate::record::{Added, Op};
use crate::{Entry, Flags, ModSeq, Uid, UidValidity, View};

/// The file of an expunged message that is still to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removal {
    pub(crate) place: Place,
    pub(crate) name: String,
}

/// Times of directories in which somebody is giving names: no directory has them.
pub(crate) const DISTURBED: (i128, i128) = (0, 0);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) mod_seq: u64,
    pub(crate) first_recent: u32,
    pub(crate) items: Items,
    /// Sum of the messages' sizes.
    pub(crate) octets: u64,
    pub(crate) keywords: Arc<Keywords>,
    pub(crate) removals: BTreeMap<u32, Removal>,
    /// Ids of messages that were here and are not any more, and since when.
    pub(crate) gone: HashMap<MessageId, Timestamp>,
    /// Modification times of `new/` and `cur/` after our own last change.
    pub(crate) directories: Option<(i128, i128)>,
    /// Messages whose file does not show their flags yet.
    pub(crate) owed: BTreeSet<u32>,
    /// Ids of messages that are here; made when first asked for.
    live: Option<HashMap<MessageId, u32>>,
    shared: HashMap<FlagBits, Arc<Flags>>,
}

impl State {
    pub(crate) fn new(uid_validity: u32, keywords: Keywords) -> Self {
        Self {
            uid_validity,
            uid_next: 1,
            mod_seq: 1,
            first_recent: 1,
            keywords: Arc::new(keywords),
            ..Self::default()
        }
    }

    pub(crate) fn view(&self, generation: u64) -> View {
        View {
            uid_validity: UidValidity(self.uid_validity),
            uid_next: Uid(self.uid_next),
            highest_mod_seq: ModSeq(self.mod_seq),
            first_recent: Uid(self.first_recent),
            generation,
            keywords: Arc::clone(&self.keywords),
            items: self.items.clone(),
            counted: OnceLock::new(),
        }
    }

    /// Where a delivery with that id is: `Some(Some(uid))` here, `Some(None)` was here, `None` never seen.
    pub(crate) fn find_id(&mut self, id: MessageId) -> Option<Option<u32>> {
        let items = &self.items;
        let live = self.live.get_or_insert_with(|| {
            items.iter().filter_map(|item| Some((item.base.message_id()?, item.uid()))).collect()
        });
        match live.get(&id) {
            Some(uid) => Some(Some(*uid)),
            None => self.gone.contains_key(&id).then_some(None),
        }
    }

    /// Replaces the keyword table; names of letters may have changed.
    pub(crate) fn set_keywords(&mut self, keywords: Keywords) {
        if *self.keywords == keywords {
            return;
        }
        self.keywords = Arc::new(keywords);
        self.shared.clear();
        let with_keywords = self.items.iter().filter(|item| item.bits.0 >> 8 != 0).map(Item::uid);
        for uid in with_keywords.collect::<Vec<_>>() {
            let flags = self.items.by_uid(uid).map(|(_, item)| item.bits).map(|bits| self.flags_of(bits));
            if let (Some(item), Some(flags)) = (self.items.by_uid_mut(uid), flags) {
                item.entry.flags = flags;
            }
        }
    }

    pub(crate) fn flags_of(&mut self, bits: FlagBits) -> Arc<Flags> {
        let table = &self.keywords.0;
        self.shared.entry(bits).or_insert_with(|| Arc::new(bits.to_flags(table))).clone()
    }

    pub(crate) fn apply_all(&mut self, operations: &[Op]) {
        for operation in operations {
            self.apply(operation);
        }
    }

    fn apply(&mut self, operation: &Op) {
        match operation {
            Op::Added(added) => {
                self.add(added, added.bits, false);
            }
            Op::Flags { mod_seq, add, remove, uids } => self.change_flags(*mod_seq, *add, *remove, uids),
            Op::Expunged { mod_seq, at, uids } => self.expunge(*mod_seq, *at, uids),
            Op::Named { place, bits, uids } => {
                for uid in uids {
                    if let Some(item) = self.items.by_uid_mut(*uid) {
                        (item.place, item.name_bits, item.uncertain) = (*place, *bits, false);
                        self.note_owed(*uid);
                    }
                }
            }
            Op::Removed { uids } => {
                for uid in uids {
                    self.removals.remove(uid);
                }
            }
            Op::Recent { below } => self.first_recent = self.first_recent.max(*below),
            Op::Cached { positions } => {
                for (uid, position) in positions {
                    if let Some(item) = self.items.by_uid_mut(*uid) {
                        item.cached = Some(*position);
                    }
                }
            }
            Op::Directories { new, cur } => self.directories = Some((*new, *cur)),
            Op::Counters { uid_next, mod_seq } => self.raise(*uid_next, *mod_seq),
            Op::Keywords(table) => self.set_keywords(Keywords(table.clone())),
            Op::Forgotten { id } => {
                self.gone.remove(&MessageId::from_bytes(*id));
            }
            Op::Unknown => {}
        }
    }

    pub(crate) fn raise(&mut self, uid_next: u32, mod_seq: u64) {
        self.uid_next = self.uid_next.max(uid_next);
        self.mod_seq = self.mod_seq.max(mod_seq);
    }

    /// Adds a message whose file shows `name_bits`; false when its UID is not above all others.
    pub(crate) fn add(&mut self, added: &Added, name_bits: FlagBits, uncertain: bool) -> bool {
        let message_id = added.base.message_id();
        let item = Item {
            entry: Entry {
                uid: Uid(added.uid),
                flags: self.flags_of(added.bits),
                internal_date: added.internal_date,
                size: added.size,
                mod_seq: ModSeq(added.mod_seq),
                message_id,
            },
            bits: added.bits,
            name_bits,
            uncertain,
            place: added.place,
            base: added.base.clone(),
            disk_size: added.disk_size,
            cached: added.cached,
        };
        if !self.items.push(item) {
            return false;
        }
        self.octets = self.octets.saturating_add(added.size);
        self.raise(added.uid.saturating_add(1), added.mod_seq);
        self.note_owed(added.uid);
        if let (Some(live), Some(id)) = (&mut self.live, message_id) {
            live.insert(id, added.uid);
        }
        true
    }

    fn change_flags(&mut self, mod_seq: u64, add: FlagBits, remove: FlagBits, uids: &[u32]) {
        self.raise(0, mod_seq);
        for uid in uids {
            let Some((_, item)) = self.items.by_uid(*uid) else { continue };
            let bits = item.bits.without(remove).with(add);
            let flags = self.flags_of(bits);
            if let Some(item) = self.items.by_uid_mut(*uid) {
                item.uncertain |= item.rename_is_owed();
                item.bits = bits;
                item.entry.flags = flags;
                item.entry.mod_seq = item.entry.mod_seq.max(ModSeq(mod_seq));
                self.note_owed(*uid);
            }
        }
    }

    fn expunge(&mut self, mod_seq: u64, at: Timestamp, uids: &[u32]) {
        self.raise(0, mod_seq);
        for item in self.items.remove(uids) {
            self.octets = self.octets.saturating_sub(item.entry.size);
            self.owed.remove(&item.uid());
            self.removals.insert(item.uid(), Removal { place: item.place, name: item.file_name() });
            if let Some(id) = item.base.message_id() {
                self.gone.insert(id, at);
                if let Some(live) = &mut self.live {
                    live.remove(&id);
                }
            }
        }
    }

    fn note_owed(&mut self, uid: u32) {
        if self.items.by_uid(uid).is_some_and(|(_, item)| item.rename_is_owed()) {
            self.owed.insert(uid);
        } else {
            self.owed.remove(&uid);
        }
    }
}
