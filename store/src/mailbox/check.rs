//! For operators: in what files, index and cache differ. Nothing is changed.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use bytes::Bytes;
use envelope::Usage;

use super::Mailbox;
use super::content::with_crlf;
use super::core::Core;
use super::writer::Writer;
use crate::error::At as _;
use crate::file_name::FileName;
use crate::flags::FlagBits;
use crate::fs::{self, DirectoryItem, FileKind};
use crate::items::{Item, Place, Position};
use crate::summary::{self, Summary};
use crate::usage::{self, Stamp};
use crate::{StoreError, Uid, cache};

/// In what something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Difference {
    /// `sluice.uidvalidity` is missing, damaged or behind the index.
    Counters,
    /// The file's content is not what index and cache say of it.
    Content,
    /// The flags that the file's name shows are not the index's, and no rename is under way.
    Flags,
    /// Index or journal can't be used as they are.
    Index,
    /// The index has the message, the directories don't.
    NoFile,
    /// No message can be in it: a directory, a link, a pipe, an empty file.
    NotAMessage,
    /// The directories have the file, the index does not.
    NotInIndex,
    /// The file is in `new/` and not in `cur/`, or the other way round.
    Place,
    /// `sluice.quota` remembers another sum for the mailbox as it is.
    Quota,
    /// The cache's record of the message can't be read.
    Summary,
    /// The file is longer or shorter than its name and the index say.
    Size,
    /// Two files are the same message.
    Twice,
}

impl Difference {
    /// For listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Content => "content",
            Self::Flags => "flags",
            Self::Index => "index",
            Self::NoFile => "no file",
            Self::NotAMessage => "not a message",
            Self::NotInIndex => "not in the index",
            Self::Place => "place",
            Self::Quota => "quota",
            Self::Summary => "summary",
            Self::Size => "size",
            Self::Twice => "twice",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// In what.
    pub difference: Difference,
    /// Of which message, where it is known.
    pub uid: Option<Uid>,
    /// The file, from the mailbox's directory on.
    pub file: String,
    /// Both sides.
    pub detail: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Check {
    /// Messages that the index has.
    pub messages: u64,
    /// What differs.
    pub findings: Vec<Finding>,
}

impl Check {
    fn add(&mut self, difference: Difference, uid: Option<u32>, file: &str, detail: String) {
        let finding = Finding { difference, uid: uid.map(Uid), file: file.to_owned(), detail };
        self.findings.push(finding);
    }
}

/// A message whose content is to be looked at.
struct Wanted {
    item: Item,
    /// From the mailbox's directory on.
    file: String,
}

impl Mailbox {
    /// Compares files, index and cache under the lock, and changes nothing. With `contents` every message is read too,
    /// without the lock. Differences that the next access repairs by itself are told as well.
    ///
    /// # Errors
    /// When the lock can't be had or files can't be read.
    pub fn check(&self, contents: bool) -> Result<Check, StoreError> {
        let mut check = Check::default();
        let wanted = {
            let mut writer = self.enter(self.deadline())?;
            let sound = writer.core.catch_up(self)?;
            if !sound && writer.core.log.is_none() && !writer.core.loaded && writer.is_unused()? {
                return Ok(check);
            }
            writer.check_control(sound, &mut check);
            if !writer.core.loaded {
                return Ok(check);
            }
            check.messages = writer.core.state.items.len() as u64;
            writer.check_quota(&mut check)?;
            let seen = writer.check_files(&mut check)?;
            writer.check_missing(&seen, &mut check);
            writer.check_cache(&mut check)?;
            let items = writer.core.state.items.iter().filter(|_| contents);
            let wanted = items.filter_map(|item| Some((item, seen.get(&item.uid())?)));
            wanted.map(|(item, file)| Wanted { item: item.clone(), file: file.clone() }).collect::<Vec<_>>()
        };
        for Wanted { item, file } in wanted {
            let path = self.path.join(&file);
            match fs::read_optional(&*self.shared.fs, &path) {
                Ok(Some(content)) => self.check_content(&item, &file, &content, &mut check),
                // Renamed or expunged meanwhile.
                Ok(None) => {}
                Err(error) if fs::is_stale(&error) => {}
                Err(error) => return Err(error).at("read", &path),
            }
        }
        check.findings.sort();
        Ok(check)
    }

    fn check_content(&self, item: &Item, file: &str, content: &[u8], check: &mut Check) {
        let uid = item.uid();
        let mut wire = std::borrow::Cow::Borrowed(content);
        if item.disk_size != item.entry.size {
            wire = with_crlf(content).into();
        }
        if wire.len() as u64 != item.entry.size {
            let detail = format!("{} octets on the wire, the index says {}", wire.len(), item.entry.size);
            return check.add(Difference::Content, Some(uid), file, detail);
        }
        let Some(position) = item.cached else { return };
        if self.cached(uid, position).is_some_and(|cached| cached != summary::parse(&wire)) {
            let detail = "the cache's summary is of another text".to_owned();
            check.add(Difference::Content, Some(uid), file, detail);
        }
    }

    fn cached(&self, uid: u32, position: Position) -> Option<Summary> {
        let file = super::locked(&self.core).cache_file(self).ok()?.reader();
        let mut summary = None;
        cache::read(&*file, vec![((), uid, position)], |(), found| {
            summary = summary::codec::decode(&Bytes::copy_from_slice(found));
        })
        .ok()?;
        summary
    }
}

impl Writer<'_> {
    /// No message ever came here: there is nothing that an index could say.
    fn is_unused(&self) -> Result<bool, StoreError> {
        let never = self.core.reservation.is_none_or(|found| found.uid_end == 1);
        Ok(never && self.mailbox.listing()?.is_empty())
    }

    fn check_control(&self, sound: bool, check: &mut Check) {
        let core = &*self.core;
        match core.reservation {
            None => {
                let detail = "missing or damaged; UIDs may be given under a new UIDVALIDITY".to_owned();
                check.add(Difference::Counters, None, crate::uid_validity::FILE, detail);
            }
            Some(found) if core.loaded && found.uid_validity != core.state.uid_validity => {
                let detail =
                    format!("UIDVALIDITY {}, the index says {}", found.uid_validity, core.state.uid_validity);
                check.add(Difference::Counters, None, crate::uid_validity::FILE, detail);
            }
            Some(found) if core.loaded && found.uid_end < core.state.uid_next => {
                let detail =
                    format!("UIDs up to {} are reserved, {} is next", found.uid_end, core.state.uid_next);
                check.add(Difference::Counters, None, crate::uid_validity::FILE, detail);
            }
            Some(found) if core.loaded && found.mod_seq_end <= core.state.mod_seq => {
                let detail = format!(
                    "mod-sequences below {} are reserved, {} is in use",
                    found.mod_seq_end, core.state.mod_seq
                );
                check.add(Difference::Counters, None, crate::uid_validity::FILE, detail);
            }
            Some(_) => {}
        }
        if !sound && (check.findings.is_empty() || core.damage.is_some()) {
            let detail = format!("{}; the next access makes it anew", core.damage.unwrap_or("torn"));
            check.add(Difference::Index, None, crate::snapshot::FILE, detail);
        }
    }

    /// Compares what `sluice.quota` remembers with the index, when it is of the index as it is.
    fn check_quota(&self, check: &mut Check) -> Result<(), StoreError> {
        let mailbox = self.mailbox;
        let fs = &*mailbox.shared.fs;
        let lines = usage::load(fs, &mailbox.account)?;
        let line = lines.get(&mailbox.name.directory());
        let current = line.filter(|(stamp, _)| Some(*stamp) == Stamp::of(fs, &mailbox.path));
        let now = self.core.usage();
        if let Some((_, known)) = current.filter(|(_, known)| *known != now) {
            let sum = |usage: Usage| format!("{} octets in {} messages", usage.octets, usage.messages);
            let detail = format!("{} are remembered, there are {}", sum(*known), sum(now));
            check.add(Difference::Quota, None, usage::FILE, detail);
        }
        Ok(())
    }

    /// Compares every file with the index. Gives the messages' files, from the mailbox's directory on.
    fn check_files(&self, check: &mut Check) -> Result<BTreeMap<u32, String>, StoreError> {
        let mut seen = BTreeMap::new();
        for place in [Place::New, Place::Cur] {
            let directory = self.mailbox.path.join(place.directory());
            for found in self.mailbox.shared.fs.list(&directory).at("list", &directory)? {
                if !found.name.as_bytes().starts_with(b".") {
                    self.check_file(place, &found, &mut seen, check)?;
                }
            }
        }
        Ok(seen)
    }

    fn check_file(
        &self,
        place: Place,
        found: &DirectoryItem,
        seen: &mut BTreeMap<u32, String>,
        check: &mut Check,
    ) -> Result<(), StoreError> {
        let file = format!("{}/{}", place.directory(), found.name.to_string_lossy());
        let path = self.mailbox.path.join(place.directory()).join(&found.name);
        if found.kind != FileKind::File {
            let detail = "not a regular file, ignored".to_owned();
            check.add(Difference::NotAMessage, None, &file, detail);
            return Ok(());
        }
        let size = match self.mailbox.shared.fs.meta(&path) {
            Ok(meta) => meta.size,
            // Another program renamed it: it is listed under its new name, or missed below.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at("look at", &path),
        };
        let parsed = FileName::parse(found.name.as_bytes());
        let uid = parsed.as_ref().and_then(|parsed| parsed.uid);
        let item = parsed.as_ref().and_then(|parsed| {
            let (_, item) = self.core.state.items.by_uid(parsed.uid?)?;
            (item.base == parsed.base).then_some((item, parsed))
        });
        let Some((item, parsed)) = item else {
            if size == 0 {
                check.add(Difference::NotAMessage, uid, &file, "empty, ignored".to_owned());
            } else if uid.is_none_or(|uid| !self.core.state.removals.contains_key(&uid)) {
                let detail =
                    uid.map_or("it has no UID yet", |_| "its UID is not in use, or another message's");
                check.add(Difference::NotInIndex, uid, &file, detail.to_owned());
            }
            return Ok(());
        };
        if let Some(other) = seen.insert(item.uid(), file.clone()) {
            check.add(Difference::Twice, uid, &file, format!("also {other}"));
            return Ok(());
        }
        compare(item, place, parsed, &file, check);
        if size != item.disk_size {
            let detail = format!("{size} octets, the index says {}", item.disk_size);
            check.add(Difference::Size, uid, &file, detail);
        }
        Ok(())
    }

    fn check_missing(&self, seen: &BTreeMap<u32, String>, check: &mut Check) {
        let unseen = self.core.state.items.iter().filter(|item| !seen.contains_key(&item.uid()));
        for item in unseen.filter(|item| !self.is_there(item.uid())) {
            let file = format!("{}/{}", item.place.directory(), item.file_name());
            check.add(Difference::NoFile, Some(item.uid()), &file, "the index has the message".to_owned());
        }
    }

    fn check_cache(&mut self, check: &mut Check) -> Result<(), StoreError> {
        let mailbox = self.mailbox;
        let core: &mut Core = &mut self.core;
        let cached = core.state.items.iter().filter_map(|item| Some((item.uid(), item.cached?)));
        let mut unread: BTreeMap<u32, Position> = cached.collect();
        if unread.is_empty() {
            return Ok(());
        }
        let file = core.cache_file(mailbox)?.reader();
        let wanted = unread.iter().map(|(uid, position)| (*uid, *uid, *position)).collect();
        let read = cache::read(&*file, wanted, |uid, summary| {
            if summary::codec::decode(&Bytes::copy_from_slice(summary)).is_some() {
                unread.remove(&uid);
            }
        });
        read.at("read", &mailbox.path.join(cache::FILE))?;
        for (uid, position) in unread {
            let detail = format!("no sound record at octet {}", position.offset);
            check.add(Difference::Summary, Some(uid), cache::FILE, detail);
        }
        Ok(())
    }
}

fn compare(item: &Item, place: Place, parsed: &FileName, file: &str, check: &mut Check) {
    let uid = Some(item.uid());
    let shown =
        if place == Place::New && parsed.flags.is_none() { FlagBits::default() } else { parsed.flags() };
    if place != item.place && !item.rename_is_owed() {
        let detail = format!("the index has it in {}/", item.place.directory());
        check.add(Difference::Place, uid, file, detail);
    }
    if shown != item.bits && !item.rename_is_owed() {
        let detail = format!("shows `{}`, the index says `{}`", shown.letters(), item.bits.letters());
        check.add(Difference::Flags, uid, file, detail);
    }
}
