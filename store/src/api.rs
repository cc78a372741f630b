//! The public face. (Skeleton: bodies follow.)
#![allow(missing_docs, clippy::todo, clippy::unused_self, unused_variables, reason = "skeleton")]

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use envelope::{AccountId, Disposition, MessageId, Timestamp};

/// A message's number in its mailbox (RFC 3501 §2.3.1.1): strictly growing, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);

/// The mailbox's incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(pub u32);

/// Grows with every change (RFC 7162).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModSeq(pub u64);

/// System flags and keywords of one message. `\Recent` is session state and not here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    pub seen: bool,
    pub answered: bool,
    pub flagged: bool,
    pub deleted: bool,
    pub draft: bool,
    /// Keywords such as `$Forwarded`, `$Junk`; compared without regard to case, case kept as first seen.
    pub keywords: BTreeSet<String>,
}

/// What STORE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagChange {
    Add,
    Remove,
    Replace,
}

/// A mailbox's name: `INBOX` or a path with `/` between levels, Unicode (not modified UTF-7).
/// Construct by parsing; refuses `..`, NUL, control characters, empty levels, too long or too deep names. INBOX in any case is INBOX.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailboxNameError {
    #[error("the mailbox name is not allowed: {0}")]
    NotAllowed(&'static str),
}

impl MailboxName {
    pub fn inbox() -> Self {
        Self("INBOX".to_owned())
    }
    pub fn parse(name: &str) -> Result<Self, MailboxNameError> {
        todo!()
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }
    /// `a/b` of `a/b/c`.
    pub fn parent(&self) -> Option<Self> {
        todo!()
    }
}

/// RFC 6154 uses; every account gets Drafts, Junk, Sent and Trash at creation, Archive when made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    Archive,
    Drafts,
    Junk,
    Sent,
    Trash,
}

#[derive(Debug, Clone)]
pub struct MailboxInfo {
    pub name: MailboxName,
    pub special_use: Option<SpecialUse>,
    pub subscribed: bool,
    pub has_children: bool,
    /// False for a level that only exists because of its children, or a subscription to a mailbox that is gone.
    pub exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxStatus {
    pub messages: u32,
    pub recent: u32,
    pub unseen: u32,
    pub deleted: u32,
    pub size: u64,
    pub uid_next: Uid,
    pub uid_validity: UidValidity,
    pub highest_mod_seq: ModSeq,
}

/// One message as the index knows it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entry {
    pub uid: Uid,
    pub flags: Arc<Flags>,
    pub internal_date: Timestamp,
    /// Octets with CRLF line ends, as IMAP and POP3 report them.
    pub size: u64,
    pub mod_seq: ModSeq,
    pub message_id: Option<MessageId>,
}

/// An immutable picture of a mailbox; sessions of one mailbox on one node share it.
pub struct View {
    pub uid_validity: UidValidity,
    pub uid_next: Uid,
    pub highest_mod_seq: ModSeq,
    /// Ascending by UID.
    pub entries: Vec<Entry>,
    /// UIDs from here on are `\Recent` for the first session that asks.
    pub first_recent: Uid,
    /// Grows with every new picture of the mailbox.
    pub generation: u64,
}

/// One address of an ENVELOPE (RFC 3501 §7.4.2): fields raw as in the header (encoded-words not decoded), `None` is NIL.
/// A group starts with host NIL and mailbox = group name, ends with both NIL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailAddress {
    pub name: Option<Vec<u8>>,
    pub mailbox: Option<Vec<u8>>,
    pub host: Option<Vec<u8>>,
}

/// What is parsed once, at delivery: everything for ENVELOPE, BODYSTRUCTURE, lists, SORT and THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub date: Option<Vec<u8>>,
    pub subject: Option<Vec<u8>>,
    pub from: Vec<MailAddress>,
    pub sender: Vec<MailAddress>,
    pub reply_to: Vec<MailAddress>,
    pub to: Vec<MailAddress>,
    pub cc: Vec<MailAddress>,
    pub bcc: Vec<MailAddress>,
    pub in_reply_to: Option<Vec<u8>>,
    pub message_id: Option<Vec<u8>>,
    pub references: Option<Vec<u8>>,
    /// The Date field in seconds since 1970, when it can be read.
    pub sent_at: Option<i64>,
    /// First words of the text, decoded, at most 200 characters.
    pub preview: String,
    pub structure: Part,
}

/// A MIME part; the root is the message itself. Offsets are octets from the message's start (CRLF form).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Upper or lower case as written; `TEXT`/`PLAIN` by default.
    pub media_type: Vec<u8>,
    pub media_subtype: Vec<u8>,
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    pub id: Option<Vec<u8>>,
    pub description: Option<Vec<u8>>,
    /// `7BIT` by default.
    pub encoding: Vec<u8>,
    pub md5: Option<Vec<u8>>,
    pub disposition: Option<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>)>,
    pub language: Vec<Vec<u8>>,
    pub location: Option<Vec<u8>>,
    pub header_start: u64,
    pub body_start: u64,
    pub end: u64,
    /// Lines of the body, for text and message parts.
    pub lines: u64,
    pub kind: PartKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKind {
    Leaf,
    Multipart(Vec<Part>),
    /// message/rfc822: its own summary (whose `structure` is the inner root).
    Message(Box<Summary>),
}

/// A message to deliver.
pub struct Delivery<'a> {
    /// Idempotency: the same id into the same mailbox (even if since expunged or moved) is one message.
    pub message_id: MessageId,
    /// Octets with CRLF line ends.
    pub content: &'a [u8],
    pub received_at: Timestamp,
    pub flags: Flags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// None when the lock was out of reach and the UID comes later.
    pub uid: Option<Uid>,
    /// True when this id was already here.
    pub duplicate: bool,
}

/// COPY's and MOVE's answer: pairs in order of the source UID.
#[derive(Debug, Clone)]
pub struct Copied {
    pub uid_validity: UidValidity,
    pub uids: Vec<(Uid, Uid)>,
}

#[derive(Debug, Clone)]
pub struct Stored {
    /// New flags and mod-sequence of every message changed.
    pub changed: Vec<Entry>,
    /// Messages left alone because their mod-sequence is above `unchanged_since`.
    pub modified: Vec<Uid>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the mailbox already exists")]
    AlreadyExists,
    #[error("INBOX can't be deleted")]
    InboxIsPermanent,
    #[error("the mailbox has child mailboxes")]
    HasChildren,
    #[error("failed to {step} `{path}`")]
    Io {
        step: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the mailbox's lock could not be had within its deadline")]
    LockTimeout,
    #[error("the mailbox name is not allowed: {0}")]
    Name(#[from] MailboxNameError),
    #[error("no such mailbox")]
    NoSuchMailbox,
    #[error("no such message")]
    NoSuchMessage,
    #[error("the store at `{0}` is not mounted (its marker file is missing)")]
    NotMounted(String),
    #[error("a limit is reached: {0}")]
    Limit(&'static str),
}

impl StoreError {
    pub fn disposition(&self) -> Disposition {
        Disposition::Defer { after: Duration::from_secs(60) }
    }
}

/// All mail of this node's configuration. Cheap to clone.
#[derive(Clone)]
pub struct Store;

impl Store {
    /// The account's mail; made on first use.
    pub fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        todo!()
    }
    /// Background upkeep to be called about every second by the owner of the process (pending renames, tmp sweep, idle views dropped).
    pub fn tick(&self) {
        todo!()
    }
    /// Finishes what is owed to the disk; for drain.
    pub fn close(&self) {
        todo!()
    }
}

/// One account's mailboxes. Cheap to clone.
#[derive(Clone)]
pub struct Account;

impl Account {
    /// Every mailbox and, with `exists` false, subscribed names without one and missing parents. INBOX first, then by name.
    pub fn list(&self) -> Result<Vec<MailboxInfo>, StoreError> {
        todo!()
    }
    /// Makes the mailbox and missing parents.
    pub fn create(&self, name: &MailboxName) -> Result<(), StoreError> {
        todo!()
    }
    pub fn delete(&self, name: &MailboxName) -> Result<(), StoreError> {
        todo!()
    }
    /// Children move along. Renaming INBOX moves its messages into the new mailbox and leaves INBOX empty (RFC 3501 §6.3.5).
    pub fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), StoreError> {
        todo!()
    }
    pub fn set_subscribed(&self, name: &MailboxName, subscribed: bool) -> Result<(), StoreError> {
        todo!()
    }
    pub fn mailbox(&self, name: &MailboxName) -> Result<Arc<Mailbox>, StoreError> {
        todo!()
    }
    /// The mailbox with that use, made if it is missing.
    pub fn special(&self, special_use: SpecialUse) -> Result<Arc<Mailbox>, StoreError> {
        todo!()
    }
}

/// One mailbox; one object per mailbox and process while anybody uses it.
pub struct Mailbox;

impl Mailbox {
    pub fn name(&self) -> MailboxName {
        todo!()
    }
    /// The latest picture in memory; no I/O after the first.
    pub fn view(&self) -> Result<Arc<View>, StoreError> {
        todo!()
    }
    /// Looks at the disk for changes by other processes and tools (a few stats when there is none), and gives the picture after it.
    pub fn refresh(&self) -> Result<Arc<View>, StoreError> {
        todo!()
    }
    /// Woken at every change made or seen by this process; the value is the generation of the picture.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        todo!()
    }
    pub fn status(&self) -> Result<MailboxStatus, StoreError> {
        todo!()
    }
    /// Gives the UIDs that are recent to the asking session and, if `take`, to no later one.
    pub fn recent(&self, take: bool) -> Result<Vec<Uid>, StoreError> {
        todo!()
    }
    pub fn deliver(&self, delivery: &Delivery<'_>) -> Result<Delivered, StoreError> {
        todo!()
    }
    /// IMAP APPEND: returns after the sync.
    pub fn append(&self, content: &[u8], flags: &Flags, internal_date: Timestamp) -> Result<Uid, StoreError> {
        todo!()
    }
    pub fn store(
        &self,
        uids: &[Uid],
        change: FlagChange,
        flags: &Flags,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, StoreError> {
        todo!()
    }
    /// Removes those of `uids` that are there, whatever their flags; gives the ones removed.
    pub fn expunge(&self, uids: &[Uid]) -> Result<Vec<Uid>, StoreError> {
        todo!()
    }
    /// All or none.
    pub fn copy(&self, uids: &[Uid], target: &Self) -> Result<Copied, StoreError> {
        todo!()
    }
    pub fn move_to(&self, uids: &[Uid], target: &Self) -> Result<Copied, StoreError> {
        todo!()
    }
    pub fn summary(&self, uid: Uid) -> Result<Arc<Summary>, StoreError> {
        todo!()
    }
    /// Summaries for many messages in one pass over the cache: what FETCH ENVELOPE and message lists use.
    pub fn summaries(&self, uids: &[Uid]) -> Result<Vec<(Uid, Arc<Summary>)>, StoreError> {
        todo!()
    }
    /// The whole message, CRLF line ends.
    pub fn content(&self, uid: Uid) -> Result<Bytes, StoreError> {
        todo!()
    }
    /// A range of the message, for BODY[…]<…>; short at the end.
    pub fn content_range(&self, uid: Uid, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        todo!()
    }
}
