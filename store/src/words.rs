//! The numbers and answers that cross the room's door.

use envelope::{MessageId, Timestamp};

use crate::{Entry, Flags};

/// A message's number in its mailbox (RFC 3501 §2.3.1.1): strictly growing, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);

/// The mailbox's incarnation (RFC 3501 §2.3.1.1). A mailbox made again under an old name has a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(pub u32);

/// Grows with every change of the mailbox (RFC 7162).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModSeq(pub u64);

/// What STORE does (RFC 3501 §6.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagChange {
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
    /// `FLAGS`.
    Replace,
}

/// What STATUS tells (RFC 3501 §6.3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxStatus {
    /// Number of messages.
    pub messages: u32,
    /// Messages that no session has been told of.
    pub recent: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Octets of all messages, with CRLF line ends.
    pub size: u64,
    /// The next message's UID is at least this.
    pub uid_next: Uid,
    /// The mailbox's incarnation.
    pub uid_validity: UidValidity,
    /// The mod-sequence of the latest change.
    pub highest_mod_seq: ModSeq,
}

/// A message to deliver.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// Idempotency: the same id into the same mailbox (even if since expunged or moved) is one message.
    pub message_id: MessageId,
    /// Octets with CRLF line ends.
    pub content: &'a [u8],
    /// Becomes the internal date.
    pub received_at: Timestamp,
    /// Usually none.
    pub flags: Flags,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// None when the lock was out of reach and the UID comes later, or for a duplicate that is gone.
    pub uid: Option<Uid>,
    /// True when this id was already here.
    pub duplicate: bool,
}

/// COPY's and MOVE's answer: pairs in order of the source UID (RFC 4315 `COPYUID`).
#[derive(Debug, Clone)]
pub struct Copied {
    /// Of the target.
    pub uid_validity: UidValidity,
    /// (source, target).
    pub uids: Vec<(Uid, Uid)>,
}

/// What a flag change did.
#[derive(Debug, Clone)]
pub struct Stored {
    /// New flags and mod-sequence of every message changed.
    pub changed: Vec<Entry>,
    /// Messages left alone because their mod-sequence is above `unchanged_since`.
    pub modified: Vec<Uid>,
}
