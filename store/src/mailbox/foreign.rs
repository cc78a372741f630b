//! Bringing the index in line with the directories: changes by other programs, and everything after a loss.
//!
//! Files are truth. A file without `U=` gets a UID; flags that another program changed are taken over; a message
//! whose file is missing in several listings, and under each name it could have, is expunged. A `U=` is believed
//! only if it can have been given by us: below the reserved block's end, not taken, and (outside of a rebuild) above
//! all others.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use envelope::Timestamp;
use tracing::{info, warn};

use super::content::wire_size;
use super::core::modified;
use super::listing::{Found, Listing};
use super::stage::fresh_id;
use super::writer::{Writer, now};
use crate::StoreError;
use crate::error::At as _;
use crate::file_name::{Base, FileName, front};
use crate::flags::FlagBits;
use crate::fs::{self, Fs};
use crate::items::{Item, Place};
use crate::record::{Added, Op};

/// A file that is not in the index yet.
struct Newcomer {
    place: Place,
    name: OsString,
    parsed: Option<FileName>,
}

const READ_STEP: u64 = 64 << 10;

impl Writer<'_> {
    /// Synchronises when another program may have changed something.
    pub(super) fn notice_foreign_changes(&mut self) -> Result<(), StoreError> {
        let now = (modified(self.mailbox, Place::New)?, modified(self.mailbox, Place::Cur)?);
        let interval = self.mailbox.shared.config.foreign_check_interval.as_duration();
        let due = self.core.look_now
            || self.core.has_stray(self.mailbox)?
            || self.core.look_again.is_some_and(|since| since.elapsed() >= interval);
        if due || self.core.state.directories != Some(now) {
            self.synchronise(self.core.state.uid_next)
        } else {
            Ok(())
        }
    }

    /// To be called before UIDs are given. A process that died between the rename of a delivery and its record left a
    /// file in `new/` with a UID that the index believes to be free: it gets its record now, else the number would
    /// mean two messages, and the same message delivered again would be there twice. The times of the directories
    /// tell, except right after loading: a change in the same tick as the last record shows in none. Gives whether the
    /// directories are as last recorded.
    pub(super) fn seek_strays(&mut self) -> Result<bool, StoreError> {
        let now = (modified(self.mailbox, Place::New)?, modified(self.mailbox, Place::Cur)?);
        let untouched = self.core.state.directories == Some(now);
        if !untouched || self.core.has_stray(self.mailbox)? {
            self.synchronise(self.core.state.uid_next)?;
        }
        self.core.strays_sought = true;
        Ok(untouched || (self.is_untouched(Place::New) && self.is_untouched(Place::Cur)))
    }

    /// Compares with a listing. A file that the index does not know keeps the `U=` of its name when that is at least
    /// `known_below` and was reserved: below it, the index would know the message if the number were its own.
    pub(super) fn synchronise(&mut self, known_below: u32) -> Result<(), StoreError> {
        let mailbox = self.mailbox;
        let mut times = (modified(mailbox, Place::New)?, modified(mailbox, Place::Cur)?);
        let mut listing = mailbox.listing()?;
        let mut newcomers = Vec::new();
        let mut operations = self.compare(&mut listing, &mut newcomers);
        let Missing { uids: missing, settled } = self.missing(&operations.seen, &operations.list)?;
        if !missing.is_empty() {
            info!(mailbox = %mailbox.path.display(), count = missing.len(), "files removed by another program");
            let metrics = &mailbox.shared.metrics.foreign_changes;
            metrics.with_label_values(&["vanished"]).inc_by(missing.len() as u64);
            let mod_seq = self.next_mod_seq()?;
            let ids =
                missing.iter().filter_map(|uid| self.core.state.items.by_uid(*uid)?.1.base.message_id());
            // A power cut may have taken the name and left the record; then the message will be delivered again.
            let forgotten: Vec<Op> = ids.map(|id| Op::Forgotten { id: id.to_bytes() }).collect();
            operations.list.push(Op::Expunged { mod_seq, at: now(), uids: missing.clone() });
            operations.list.extend(forgotten);
            operations.list.push(Op::Removed { uids: missing });
        }
        self.record(&operations.list)?;
        let Welcomed { renamed, unread } = self.take_newcomers(newcomers, known_below)?;
        if renamed {
            times = (modified(mailbox, Place::New)?, modified(mailbox, Place::Cur)?);
        }
        let (new, cur) = times;
        let resolution = mailbox.shared.config.mtime_resolution.as_duration();
        let unsettled =
            renamed || unread || !settled || [new, cur].iter().any(|time| age(*time) < resolution);
        self.core.look_again = unsettled.then(Instant::now);
        self.core.look_now = false;
        // With a file unread, whoever looks next is to find a change.
        if !unread && self.core.state.directories != Some(times) {
            self.record(&[Op::Directories { new, cur }])?;
        }
        Ok(())
    }

    /// Goes through the files: known ones are compared, others become newcomers.
    fn compare(&mut self, listing: &mut Listing, newcomers: &mut Vec<Newcomer>) -> Compared {
        let mut seen = BTreeSet::new();
        let mut changes: BTreeMap<(Place, u64, u64, u64), Vec<u32>> = BTreeMap::new();
        for (_, found) in listing.drain() {
            let Found { place, name, parsed } = found;
            let known = parsed.as_ref().and_then(|parsed| Some((parsed, parsed.uid?)));
            let item = known.and_then(|(parsed, uid)| {
                let (_, item) = self.core.state.items.by_uid(uid)?;
                (item.base == parsed.base).then_some((item, parsed))
            });
            if let Some((item, parsed)) = item {
                if seen.insert(item.uid())
                    && let Some(change) = difference(item, place, parsed)
                {
                    changes.entry(change).or_default().push(item.uid());
                }
            } else if known.is_none_or(|(_, uid)| !self.core.state.removals.contains_key(&uid)) {
                newcomers.push(Newcomer { place, name, parsed });
            }
        }
        let mut list = Vec::new();
        let mod_seq = self.core.state.mod_seq.saturating_add(1);
        for ((place, name_bits, add, remove), mut uids) in changes {
            uids.sort_unstable();
            if add != 0 || remove != 0 {
                let metrics = &self.mailbox.shared.metrics.foreign_changes;
                metrics.with_label_values(&["flags"]).inc_by(uids.len() as u64);
                let (add, remove) = (FlagBits(add), FlagBits(remove));
                list.push(Op::Flags { mod_seq, add, remove, uids: uids.clone() });
            }
            list.push(Op::Named { place, bits: FlagBits(name_bits), uids });
        }
        Compared { seen, list }
    }

    /// Those that are in no listing, and not found under any name they could have.
    ///
    /// A listing of a directory in which files are renamed meanwhile misses names, on NFS every second one does. So the
    /// last word has a listing during which nothing changed: the directories' times are the same before it and after
    /// it, and were so a tick of the file system's clock earlier. Without such a listing nothing counts as missing.
    fn missing(&mut self, seen: &BTreeSet<u32>, operations: &[Op]) -> Result<Missing, StoreError> {
        if operations.iter().any(|operation| matches!(operation, Op::Flags { .. })) {
            self.next_mod_seq()?;
        }
        let uids = self.core.state.items.iter().map(Item::uid);
        let mut missing: Vec<u32> = uids.filter(|uid| !seen.contains(uid)).collect();
        let times =
            |mailbox| Ok::<_, StoreError>((modified(mailbox, Place::New)?, modified(mailbox, Place::Cur)?));
        for _ in 0..self.mailbox.shared.config.listing_retries {
            missing.retain(|uid| !self.is_there(*uid));
            if missing.is_empty() {
                break;
            }
            let before = times(self.mailbox)?;
            thread::sleep(self.mailbox.shared.config.mtime_resolution.as_duration());
            let again = self.mailbox.listing()?;
            let listed: BTreeSet<u32> = again
                .values()
                .filter_map(|found| found.parsed.as_ref().and_then(|parsed| parsed.uid))
                .collect();
            missing.retain(|uid| !listed.contains(uid));
            if times(self.mailbox)? == before {
                return Ok(Missing { uids: missing, settled: true });
            }
        }
        Ok(Missing { settled: missing.is_empty(), uids: Vec::new() })
    }

    pub(super) fn is_there(&self, uid: u32) -> bool {
        let Some((_, item)) = self.core.state.items.by_uid(uid) else { return true };
        [Place::New, Place::Cur].into_iter().any(|place| {
            [item.name_bits, item.bits].into_iter().any(|bits| {
                let path = self.mailbox.path.join(place.directory()).join(item.name_with(bits, place));
                self.mailbox.shared.fs.meta(&path).is_ok()
            })
        })
    }

    /// Gives newcomers their UIDs and names.
    fn take_newcomers(&mut self, newcomers: Vec<Newcomer>, known_below: u32) -> Result<Welcomed, StoreError> {
        let mut newcomers = newcomers;
        newcomers.sort_by_cached_key(|newcomer| {
            let parsed = newcomer.parsed.as_ref();
            // Those that keep their UID first, in its order; then by date of arrival, which is how names begin.
            (parsed.and_then(|parsed| parsed.uid).unwrap_or(u32::MAX), newcomer.name.clone())
        });
        let end = self.core.reservation.map_or(1, |reservation| reservation.uid_end);
        let mut last = known_below.saturating_sub(1);
        let mut strangers = Vec::new();
        let mut kept = Vec::new();
        for newcomer in newcomers {
            let uid = newcomer.parsed.as_ref().and_then(|parsed| parsed.uid);
            match uid.filter(|uid| *uid > last && *uid < end) {
                Some(uid) => {
                    if let Some(added) = self.adopt(&newcomer, uid)? {
                        kept.push(added);
                        last = uid;
                    }
                }
                None => strangers.push(newcomer),
            }
        }
        // A journal's tail was lost: what it said of these messages is in their names. What else it gave are
        // mod-sequences up to the end of the reserved block.
        if !kept.is_empty() {
            let reserved = self.core.reservation.map_or(0, |reservation| reservation.mod_seq_end);
            self.core.state.raise(0, reserved.saturating_sub(1));
            let mod_seq = self.next_mod_seq()?;
            for added in &mut kept {
                added.mod_seq = mod_seq;
            }
            let kept: Vec<Op> = kept.into_iter().map(Op::Added).collect();
            self.record(&kept)?;
        }
        let mut all = Welcomed::default();
        for newcomer in strangers {
            let one = self.welcome(&newcomer)?;
            all.renamed |= one.renamed;
            all.unread |= one.unread;
        }
        Ok(all)
    }

    /// A file that already has a good name.
    fn adopt(&mut self, newcomer: &Newcomer, uid: u32) -> Result<Option<Added>, StoreError> {
        let Some(parsed) = &newcomer.parsed else { return Ok(None) };
        let path = self.mailbox.path.join(newcomer.place.directory()).join(&newcomer.name);
        let (disk_size, size) = match (parsed.disk_size, parsed.wire_size) {
            (Some(disk_size), wire_size) => (disk_size, wire_size.unwrap_or(disk_size)),
            (None, _) => measure(&*self.mailbox.shared.fs, &path)?,
        };
        let mod_seq = self.core.state.mod_seq;
        let bits = if newcomer.place == Place::New { FlagBits::default() } else { parsed.flags() };
        let internal_date = self.date_of(parsed, &path)?;
        let base = parsed.base.clone();
        let place = newcomer.place;
        Ok(Some(Added { uid, mod_seq, base, internal_date, size, disk_size, bits, place, cached: None }))
    }

    /// A file of another program, or delivered while the lock was out of reach.
    fn welcome(&mut self, newcomer: &Newcomer) -> Result<Welcomed, StoreError> {
        let mailbox = self.mailbox;
        let directory = mailbox.path.join(newcomer.place.directory());
        let path = directory.join(&newcomer.name);
        let id = newcomer.parsed.as_ref().and_then(|parsed| parsed.base.message_id());
        let is_ours = newcomer.parsed.as_ref().is_some_and(|parsed| parsed.uid.is_none());
        if let Some(id) = id.filter(|_| is_ours)
            && self.core.state.find_id(id).is_some()
        {
            info!(mailbox = %mailbox.path.display(), %id, "second copy of a delivery removed");
            let renamed = mailbox.shared.fs.remove_file(&path).is_ok();
            return Ok(Welcomed { renamed, unread: false });
        }
        let (disk_size, size) = match measure(&*mailbox.shared.fs, &path) {
            Err(error) if error.is_not_found() || error.is_stale() => return Ok(Welcomed::default()),
            Err(error) => {
                warn!(path = %path.display(), %error, "unreadable, tried again at the next look");
                return Ok(Welcomed { renamed: false, unread: true });
            }
            Ok(sizes) => sizes,
        };
        if disk_size == 0 {
            mailbox.shared.metrics.foreign_changes.with_label_values(&["ignored"]).inc();
            warn!(path = %path.display(), "empty file is no message, ignored");
            return Ok(Welcomed::default());
        }
        let (base, internal_date) = match &newcomer.parsed {
            Some(parsed) => (parsed.base.clone(), self.date_of(parsed, &path)?),
            None => {
                let date = file_date(self.mailbox.shared.fs.meta(&path).at("look at", &path)?.modified);
                (Base::Own { seconds: date.unix_seconds(), id: fresh_id()? }, date)
            }
        };
        let bits = newcomer.parsed.as_ref().map(FileName::flags).unwrap_or_default();
        let place = if bits == FlagBits::default() { newcomer.place } else { Place::Cur };
        let uid = self.allocate(1)?;
        let mod_seq = self.next_mod_seq()?;
        self.disturb()?;
        let name = FileName {
            base: base.clone(),
            uid: Some(uid),
            disk_size: Some(disk_size),
            wire_size: Some(size),
            flags: (place == Place::Cur).then_some(bits),
        };
        let target = mailbox.path.join(place.directory()).join(name.to_string());
        let renamed = mailbox.shared.fs.rename(&path, &target);
        if renamed.is_err() && mailbox.shared.fs.meta(&target).is_err() {
            // Renamed by its program meanwhile: the next look finds it.
            return Ok(Welcomed { renamed: true, unread: false });
        }
        mailbox.shared.metrics.foreign_changes.with_label_values(&["adopted"]).inc();
        self.core.unsynced = (true, true);
        let added = Added { uid, mod_seq, base, internal_date, size, disk_size, bits, place, cached: None };
        self.record(&[Op::Added(added)])?;
        Ok(Welcomed { renamed: true, unread: false })
    }

    fn date_of(&self, parsed: &FileName, path: &std::path::Path) -> Result<Timestamp, StoreError> {
        if let Base::Own { seconds, .. } = parsed.base {
            return Ok(Timestamp::from_unix_milliseconds(seconds.saturating_mul(1000)));
        }
        let meta = self.mailbox.shared.fs.meta(path).at("look at", path)?;
        Ok(file_date(meta.modified))
    }

    /// Removes files of messages that are expunged, under whatever flags another program gave them. Gives whether none is
    /// left: a listing of a directory in which files are renamed meanwhile misses names, so that the last word has one
    /// during which nothing changed, as in [`Self::missing`].
    pub(super) fn remove_expunged_files(&mut self) -> Result<bool, StoreError> {
        let mailbox = self.mailbox;
        let times = || Ok::<_, StoreError>((modified(mailbox, Place::New)?, modified(mailbox, Place::Cur)?));
        for _ in 0..mailbox.shared.config.listing_retries {
            let before = times()?;
            thread::sleep(mailbox.shared.config.mtime_resolution.as_duration());
            let mut is_clean = true;
            for found in mailbox.listing()?.into_values() {
                let uid = found.parsed.and_then(|parsed| parsed.uid);
                let Some(removal) = uid.and_then(|uid| self.core.state.removals.get(&uid)) else { continue };
                if front(found.name.as_encoded_bytes()) == front(removal.name.as_bytes()) {
                    is_clean = false;
                    let path = mailbox.path.join(found.place.directory()).join(&found.name);
                    let removed = mailbox.shared.fs.remove_file(&path);
                    if removed.is_err() && mailbox.shared.fs.meta(&path).is_ok() {
                        return removed.at("remove", &path).map(|()| false);
                    }
                }
            }
            if is_clean && times()? == before {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A message's octets on disk and on the wire.
pub(crate) fn measure(fs: &dyn Fs, path: &std::path::Path) -> Result<(u64, u64), StoreError> {
    let file = fs.open_read(path).at("open", path)?;
    let (mut disk_size, mut size, mut before) = (0, 0, 0);
    loop {
        let step = fs::read_range(&*file, disk_size, READ_STEP).at("read", path)?;
        if step.is_empty() {
            return Ok((disk_size, size));
        }
        disk_size += step.len() as u64;
        size += wire_size(&step, &mut before);
    }
}

/// What listings did not show.
struct Missing {
    uids: Vec<u32>,
    /// False when the directories never stood still long enough to tell.
    settled: bool,
}

/// What came of newcomers.
#[derive(Debug, Default)]
struct Welcomed {
    /// Any file was renamed or removed.
    renamed: bool,
    /// Any file could not be read: it may be a message, and has no UID yet.
    unread: bool,
}

struct Compared {
    seen: BTreeSet<u32>,
    list: Vec<Op>,
}

/// What a file's name says other than the index: its place, the flags it shows, what to add and to remove.
fn difference(item: &Item, place: Place, parsed: &FileName) -> Option<(Place, u64, u64, u64)> {
    let shown =
        if place == Place::New && parsed.flags.is_none() { FlagBits::default() } else { parsed.flags() };
    if place == item.place && shown == item.name_bits && !item.uncertain {
        return None;
    }
    if shown == item.bits || shown == item.name_bits || item.uncertain {
        // Our own rename, whose record was lost, or a move between the directories.
        return Some((place, shown.0, 0, 0));
    }
    let changed = shown.0 ^ item.name_bits.0;
    Some((place, shown.0, shown.0 & changed, !shown.0 & changed & FlagBits::ALL.0))
}

/// How long ago that was.
pub(crate) fn age(nanoseconds: i128) -> Duration {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos().cast_signed());
    Duration::from_nanos(u64::try_from(now.saturating_sub(nanoseconds)).unwrap_or(0))
}

fn file_date(nanoseconds: i128) -> Timestamp {
    Timestamp::from_unix_milliseconds(u64::try_from(nanoseconds / 1_000_000).unwrap_or(0))
}
