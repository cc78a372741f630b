//! The accounts, mailboxes and messages that the nodes play with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use envelope::{AccountId, MessageId, Timestamp};
use prometheus::Registry;
use store::{Config, MailboxName, RealFs, Store, VolumeConfig};

use crate::Outcome;

pub(crate) const ACCOUNTS: [&str; 2] = ["ann@example.test", "ben@example.test"];
/// Where messages that must be kept live.
pub(crate) const LASTING: [&str; 3] = ["INBOX", "Work", "Archive"];
/// Mailboxes that come and go.
pub(crate) const PASSING: [&str; 4] = ["T0", "T1", "T1/Sub", "T2"];

/// What may be done with a message; the first letter of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Moved, never removed.
    Kept,
    /// Stays in INBOX; its flags are in the ledger.
    Flagged,
    /// Copied and expunged.
    Passing,
}

impl Class {
    pub(crate) fn of(lid: &str) -> Self {
        match lid.as_bytes().first() {
            Some(b'K') => Self::Kept,
            Some(b'F') => Self::Flagged,
            _ => Self::Passing,
        }
    }
}

pub(crate) fn account(name: &str) -> Outcome<AccountId> {
    Ok(name.parse().map_err(|_| format!("not an account: {name}"))?)
}

pub(crate) fn mailbox_name(name: &str) -> Outcome<MailboxName> {
    Ok(MailboxName::parse(name)?)
}

/// The volumes: the root, and one beside it.
pub(crate) const VOLUMES: [&str; 2] = ["main", "other"];

/// To which accounts only come by moves.
pub(crate) fn other(root: &Path) -> PathBuf {
    root.with_extension("other")
}

pub(crate) fn init(root: &Path) -> Outcome<()> {
    Store::init_volume(root)?;
    Ok(Store::init_volume(&other(root))?)
}

pub(crate) fn open(root: &Path) -> Outcome<Store> {
    let volume = VolumeConfig { path: other(root), weight: 0 };
    let volumes = [(VOLUMES[1].to_owned(), volume)].into();
    let config = Config { root: root.to_owned(), volumes, ..Config::default() };
    Ok(Store::open(&config, Arc::new(RealFs), &Registry::new())?)
}

fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The message of that name; its length and body follow from the name.
pub(crate) fn content(lid: &str) -> Vec<u8> {
    let hash = hash(lid);
    let mut text = format!("From: soak@example.test\r\nSubject: {lid}\r\nX-Soak: {lid}\r\n\r\n");
    for line in 0..=hash % 200 {
        text.push_str(&format!(
            "{lid} {line} {:016x}\r\n",
            hash.rotate_left(u32::try_from(line % 64).unwrap_or(0))
        ));
    }
    text.into_bytes()
}

pub(crate) fn message_id(lid: &str) -> MessageId {
    let (one, other) = (hash(lid).to_be_bytes(), hash(&format!("{lid}+")).to_be_bytes());
    let mut random = [0; 10];
    for (slot, byte) in random.iter_mut().zip(one.into_iter().chain(other)) {
        *slot = byte;
    }
    MessageId::new(date(lid).unix_milliseconds(), random)
}

pub(crate) fn date(lid: &str) -> Timestamp {
    Timestamp::from_unix_milliseconds(1_700_000_000_000 + hash(lid) % 1_000_000_000)
}

/// The name in a message, or `None` when the message is not exactly the one of that name.
pub(crate) fn lid_of(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let lid = text.lines().find_map(|line| line.strip_prefix("X-Soak: "))?;
    (content(lid) == bytes).then(|| lid.to_owned())
}
