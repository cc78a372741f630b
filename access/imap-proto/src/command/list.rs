//! LIST, LSUB and STATUS as values.

use crate::ListPattern;

/// `LIST` and `LSUB` (RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Which mailboxes, of those that match.
    pub selection: ListSelection,
    /// The reference name as text; often empty.
    pub reference: String,
    /// At least one. A plain `LIST "" ""` has one empty pattern and asks for the delimiter.
    pub patterns: Vec<ListPattern>,
    /// What to say about each.
    pub returns: ListReturn,
    /// Whether the command has extended syntax: an option or a pattern list.
    pub extended: bool,
}

/// LIST's selection options (RFC 5258 §3.1, RFC 6154 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListSelection {
    /// `SUBSCRIBED`: subscribed names only, whether they exist or not.
    pub subscribed: bool,
    /// `REMOTE`: remote mailboxes too.
    pub remote: bool,
    /// `RECURSIVEMATCH`: parents of matching names too, with CHILDINFO. Only with SUBSCRIBED or SPECIAL-USE.
    pub recursive_match: bool,
    /// `SPECIAL-USE`: mailboxes with a special use only.
    pub special_use: bool,
}

/// LIST's return options (RFC 5258 §3.2, RFC 5819, RFC 6154 §5.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReturn {
    /// `SUBSCRIBED`
    pub subscribed: bool,
    /// `CHILDREN`
    pub children: bool,
    /// `SPECIAL-USE`
    pub special_use: bool,
    /// `STATUS (…)`: a STATUS response for each mailbox; empty when not asked.
    pub status: Vec<StatusItem>,
}

/// What STATUS tells (RFC 3501 §6.3.10; SIZE by RFC 8438, DELETED by RFC 9051, HIGHESTMODSEQ by RFC 7162).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusItem {
    /// `MESSAGES`
    Messages,
    /// `RECENT`
    Recent,
    /// `UIDNEXT`
    UidNext,
    /// `UIDVALIDITY`
    UidValidity,
    /// `UNSEEN`: how many (SELECT's UNSEEN code is the first).
    Unseen,
    /// `DELETED`
    Deleted,
    /// `SIZE`: octets.
    Size,
    /// `HIGHESTMODSEQ`
    HighestModSeq,
}

impl StatusItem {
    /// Every item.
    pub const EVERY: [Self; 8] = [
        Self::Messages,
        Self::Recent,
        Self::UidNext,
        Self::UidValidity,
        Self::Unseen,
        Self::Deleted,
        Self::Size,
        Self::HighestModSeq,
    ];

    /// The item as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Deleted => "DELETED",
            Self::Size => "SIZE",
            Self::HighestModSeq => "HIGHESTMODSEQ",
        }
    }
}
