//! Looking at another server's Maildir before anything is done: what will be what, and what stands in the way.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::uid_list::{COURIER, DOVECOT, UidList};
use crate::account::{
    COURIER_SUBSCRIPTIONS, SUBSCRIPTIONS, parse_courier_subscriptions, parse_subscriptions,
};
use crate::error::At as _;
use crate::file_name::{Base, FileName, front};
use crate::flags::FlagBits;
use crate::fs::{self, FileKind, Fs};
use crate::items::Place;
use crate::keywords::Keywords;
use crate::mailbox::{fresh_id, measure};
use crate::{MailboxName, StoreError};

/// What Dovecot calls its keywords.
const DOVECOT_KEYWORDS: &str = "dovecot-keywords";
/// Directories of other servers that are no mailboxes.
const NOT_FOLDERS: [&str; 3] = ["cur", "new", "tmp"];

/// An account as it will be.
pub(super) struct Plan {
    pub(super) folders: Vec<Folder>,
    pub(super) subscriptions: BTreeSet<MailboxName>,
}

/// A mailbox as it will be.
pub(super) struct Folder {
    pub(super) name: MailboxName,
    pub(super) files: Vec<Planned>,
    pub(super) list: Option<(&'static str, UidList)>,
    pub(super) keywords: Keywords,
}

/// A message's file as it is, and what it will be called.
pub(super) struct Planned {
    pub(super) from: PathBuf,
    pub(super) place: Place,
    pub(super) name: FileName,
}

/// Reads everything below `source` and changes nothing. Problems are gathered: nobody wants to hear them one by one.
pub(super) fn plan(
    fs: &dyn Fs,
    source: &Path,
    problems: &mut Vec<String>,
    progress: &mut dyn FnMut(&MailboxName, usize),
) -> Result<Plan, StoreError> {
    let mut folders = Vec::new();
    for (name, directory) in directories(fs, source, problems)? {
        let folder = plan_folder(fs, name, &directory, problems)?;
        progress(&folder.name, folder.files.len());
        folders.push(folder);
    }
    Ok(Plan { folders, subscriptions: subscriptions(fs, source)? })
}

/// INBOX and every folder with its directory.
fn directories(
    fs: &dyn Fs,
    source: &Path,
    problems: &mut Vec<String>,
) -> Result<Vec<(MailboxName, PathBuf)>, StoreError> {
    if !is_maildir(fs, source)? {
        problems.push(format!("`{}` is no Maildir: it has no directory `cur`", source.display()));
        return Ok(Vec::new());
    }
    let mut found = vec![(MailboxName::inbox(), source.to_owned())];
    let mut items = fs.list(source).at("list", source)?;
    items.sort_by(|left, right| left.name.cmp(&right.name));
    for item in items {
        let path = source.join(&item.name);
        let name = item.name.to_string_lossy();
        if item.kind == FileKind::Other && fs.meta(&path.join("cur")).is_ok() {
            problems.push(format!("`{}` is a link: put the folder itself there", path.display()));
        }
        if item.kind != FileKind::Directory || !is_maildir(fs, &path)? {
            continue;
        }
        if !name.starts_with('.') {
            if !NOT_FOLDERS.contains(&&*name) {
                let problem = "a folder without a dot in front: of Dovecot's LAYOUT=fs, which is not read here; move it to Maildir++ first";
                problems.push(format!("`{}`: {problem}", path.display()));
            }
            continue;
        }
        match item.name.to_str().and_then(MailboxName::from_directory) {
            Some(name) => found.push((name, path)),
            None => problems.push(format!(
                "`{}`: its name can be no mailbox's here; rename the folder first",
                path.display()
            )),
        }
    }
    Ok(found)
}

fn is_maildir(fs: &dyn Fs, path: &Path) -> Result<bool, StoreError> {
    let cur = path.join("cur");
    if !fs::is_there(fs, &cur).at("look at", &cur)? {
        return Ok(false);
    }
    Ok(fs.meta(&cur).at("look at", &cur)?.kind == FileKind::Directory)
}

fn plan_folder(
    fs: &dyn Fs,
    name: MailboxName,
    directory: &Path,
    problems: &mut Vec<String>,
) -> Result<Folder, StoreError> {
    let list = uid_list(fs, directory, problems)?;
    let path = directory.join(DOVECOT_KEYWORDS);
    let text = fs::read_optional(fs, &path).at("read", &path)?.unwrap_or_default();
    let mut folder = Folder { name, files: Vec::new(), list, keywords: Keywords::parse(&text) };
    let mut fronts = HashSet::new();
    let mut identities = HashSet::new();
    // What is in `cur/` was seen by the person: of a message that is in both, that name counts.
    for place in [Place::Cur, Place::New] {
        let below = directory.join(place.directory());
        let items = match fs.list(&below) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            items => items.at("list", &below)?,
        };
        for item in items.iter().filter(|item| !item.name.as_bytes().starts_with(b".")) {
            let from = below.join(&item.name);
            if item.kind != FileKind::File {
                warn!(path = %from.display(), "not a regular file, left behind");
                continue;
            }
            let meta = fs.meta(&from).at("look at", &from)?;
            if meta.size == 0 {
                warn!(path = %from.display(), "empty file is no message, left behind");
                continue;
            }
            if !identities.insert(meta.identity) {
                warn!(path = %from.display(), "second name of a message, left behind");
                continue;
            }
            let is_first = fronts.insert(front(item.name.as_bytes()).to_vec());
            let uids = folder.list.as_ref().filter(|_| is_first).map(|(_, list)| &list.uids);
            let uid = uids.and_then(|uids| uids.get(front(item.name.as_bytes())).copied());
            if let Some(planned) = plan_file(fs, from, place, is_first, uid, problems)? {
                folder.files.push(planned);
            }
        }
    }
    Ok(folder)
}

fn plan_file(
    fs: &dyn Fs,
    from: PathBuf,
    place: Place,
    is_first: bool,
    uid: Option<u32>,
    problems: &mut Vec<String>,
) -> Result<Option<Planned>, StoreError> {
    let named = from.file_name().and_then(|name| FileName::parse(name.as_bytes()));
    let (disk_size, wire_size) = measure(fs, &from)?;
    if named.as_ref().and_then(|name| name.disk_size).is_some_and(|size| size != disk_size)
        && is_compressed(fs, &from)?
    {
        let problem =
            "compressed by Dovecot's zlib plugin; write it anew uncompressed first (doveadm-import)";
        problems.push(format!("`{}`: {problem}", from.display()));
        return Ok(None);
    }
    // Also of a name that can't be kept.
    let flags =
        from.file_name().and_then(|name| memchr::memmem::rfind(name.as_bytes(), b":2,").map(|at| (name, at)));
    let flags =
        flags.map(|(name, at)| FlagBits::from_letters(name.as_bytes().get(at + 3..).unwrap_or_default()));
    let base = match named {
        Some(name) if is_first => name.base,
        _ => {
            let modified = fs.meta(&from).at("look at", &from)?.modified;
            let seconds = u64::try_from(modified / 1_000_000_000).unwrap_or(0);
            Base::Own { seconds, id: fresh_id()? }
        }
    };
    // A name in `new/` says nothing of flags.
    let flags = if place == Place::Cur { Some(flags.unwrap_or_default()) } else { None };
    let name = FileName { base, uid, disk_size: Some(disk_size), wire_size: Some(wire_size), flags };
    Ok(Some(Planned { from, place, name }))
}

/// Whether the file begins as those of Dovecot's zlib plugin do.
fn is_compressed(fs: &dyn Fs, path: &Path) -> Result<bool, StoreError> {
    let file = fs.open_read(path).at("open", path)?;
    let start = fs::read_range(&*file, 0, 16).at("read", path)?;
    let known: [&[u8]; 5] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"Dovecot-LZ4", b"\x28\xb5\x2f\xfd"];
    Ok(known.iter().any(|magic| start.starts_with(magic)))
}

fn uid_list(
    fs: &dyn Fs,
    directory: &Path,
    problems: &mut Vec<String>,
) -> Result<Option<(&'static str, UidList)>, StoreError> {
    for name in [DOVECOT, COURIER] {
        let path = directory.join(name);
        let Some(content) = fs::read_optional(fs, &path).at("read", &path)? else { continue };
        match UidList::parse(&content) {
            Ok(list) => return Ok(Some((name, list))),
            Err(fault) => problems.push(format!(
                "`{}`, line {}: {}. Without the file its messages get new UIDs",
                path.display(),
                fault.line,
                fault.problem
            )),
        }
    }
    Ok(None)
}

fn subscriptions(fs: &dyn Fs, source: &Path) -> Result<BTreeSet<MailboxName>, StoreError> {
    let read = |name: &str| {
        let path = source.join(name);
        let content = fs::read_optional(fs, &path).at("read", &path)?.unwrap_or_default();
        Ok::<_, StoreError>(String::from_utf8_lossy(&content).into_owned())
    };
    let mut names = parse_subscriptions(&read(SUBSCRIPTIONS)?);
    names.extend(parse_courier_subscriptions(&read(COURIER_SUBSCRIPTIONS)?));
    Ok(names)
}
