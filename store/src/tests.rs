//! Whole operations on real directories.

mod check;
mod compaction;
mod damage;
mod faults;
mod foreign;
mod life;
mod pending;
mod volumes;

use std::path::PathBuf;
use std::sync::Arc;

use envelope::{AccountId, MessageId, Timestamp};
use prometheus::Registry;
use tempfile::TempDir;
use units::Span;

use crate::*;

pub(crate) const DATE: Timestamp = Timestamp::from_unix_milliseconds(1_700_000_000_000);

pub(crate) struct Rig {
    pub(crate) root: TempDir,
    pub(crate) config: Config,
    pub(crate) store: Store,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let root = tempfile::tempdir().unwrap();
        Store::init_volume(root.path()).unwrap();
        let mut config = Config {
            root: root.path().to_owned(),
            foreign_check_interval: Span::millis(0),
            mtime_resolution: Span::millis(50),
            ..Config::default()
        };
        change(&mut config);
        let store = Store::open(&config, Arc::new(RealFs), &Registry::new()).unwrap();
        Self { root, config, store }
    }

    /// What another process or a later start sees.
    pub(crate) fn reopened(&self) -> Store {
        Store::open(&self.config, Arc::new(RealFs), &Registry::new()).unwrap()
    }

    pub(crate) fn account(&self) -> Account {
        self.store.account(&ann()).unwrap()
    }

    pub(crate) fn inbox(&self) -> Arc<Mailbox> {
        inbox(&self.store)
    }

    pub(crate) fn path(&self) -> PathBuf {
        layout::account_directory(self.root.path(), &ann())
    }
}

pub(crate) fn ann() -> AccountId {
    "ann@example.test".parse().unwrap()
}

pub(crate) fn inbox(store: &Store) -> Arc<Mailbox> {
    store.account(&ann()).unwrap().mailbox(&MailboxName::inbox()).unwrap()
}

pub(crate) fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).unwrap()
}

pub(crate) fn id(number: u8) -> MessageId {
    MessageId::new(1_700_000_000_000, [number; 10])
}

pub(crate) fn text(number: u8) -> Vec<u8> {
    format!("From: a@x.test\r\nSubject: number {number}\r\n\r\nThis is message {number}.\r\n").into_bytes()
}

pub(crate) fn deliver(mailbox: &Mailbox, number: u8) -> Result<Delivered, StoreError> {
    let content = text(number);
    mailbox.deliver(&Delivery {
        message_id: id(number),
        content: &content,
        received_at: DATE,
        flags: Flags::default(),
    })
}

pub(crate) fn seen() -> Flags {
    Flags { seen: true, ..Flags::default() }
}

pub(crate) fn uids(view: &View) -> Vec<u32> {
    view.iter().map(|entry| entry.uid.0).collect()
}

/// Names in `new/` and `cur/`, sorted.
pub(crate) fn files(directory: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for place in ["new", "cur"] {
        for item in std::fs::read_dir(directory.join(place)).unwrap() {
            names.push(format!("{place}/{}", item.unwrap().file_name().to_string_lossy()));
        }
    }
    names.sort();
    names
}
