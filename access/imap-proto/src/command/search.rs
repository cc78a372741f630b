//! SEARCH as a value (RFC 3501 §6.4.4).

use crate::{Date, Keyword, MessageSet, Numbering};

/// `SEARCH` and `UID SEARCH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What the answer's numbers are.
    pub numbering: Numbering,
    /// `RETURN (…)`: an ESEARCH response (RFC 4731). None: a SEARCH response.
    pub returns: Option<SearchReturn>,
    /// What to look for; [`SearchKey::And`] when several keys stand side by side.
    pub key: SearchKey,
}

/// ESEARCH's result options (RFC 4731 §3.1). `RETURN ()` is `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchReturn {
    /// `MIN`
    pub min: bool,
    /// `MAX`
    pub max: bool,
    /// `ALL`
    pub all: bool,
    /// `COUNT`
    pub count: bool,
    /// `SAVE`: keep the result as `$` (RFC 5182).
    pub save: bool,
}

/// What to look for. Keys that are others' opposites or sums are written with [`SearchKey::Not`] and
/// [`SearchKey::And`]: `UNSEEN` is `Not(Seen)`, `NEW` is `And[Recent, Not(Seen)]`. Texts are Unicode and
/// compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// Every one of these.
    And(Vec<Self>),
    /// At least one of these; nested ORs are one.
    Or(Vec<Self>),
    /// The messages without it.
    Not(Box<Self>),
    /// `ALL`
    All,
    /// Message sequence numbers.
    Sequence(MessageSet),
    /// `UID`
    Uid(MessageSet),

    /// `ANSWERED`
    Answered,
    /// `DELETED`
    Deleted,
    /// `DRAFT`
    Draft,
    /// `FLAGGED`
    Flagged,
    /// `RECENT`
    Recent,
    /// `SEEN`
    Seen,
    /// `KEYWORD`
    Keyword(Keyword),

    /// `BEFORE`: INTERNALDATE's day is earlier.
    Before(Date),
    /// `ON`
    On(Date),
    /// `SINCE`: that day or later.
    Since(Date),
    /// `SENTBEFORE`: the Date field's day is earlier.
    SentBefore(Date),
    /// `SENTON`
    SentOn(Date),
    /// `SENTSINCE`
    SentSince(Date),
    /// `OLDER`: seconds before now (RFC 5032).
    Older(u32),
    /// `YOUNGER`: seconds before now (RFC 5032).
    Younger(u32),

    /// `LARGER`: more octets than this.
    Larger(u64),
    /// `SMALLER`: fewer octets than this.
    Smaller(u64),
    /// `MODSEQ`: that one or a later one (RFC 7162 §3.1.5); entry names are parsed and left out.
    ModSeq(u64),

    /// `BCC`
    Bcc(String),
    /// `CC`
    Cc(String),
    /// `FROM`
    From(String),
    /// `SUBJECT`
    Subject(String),
    /// `TO`
    To(String),
    /// `HEADER`: the named field holds the text; an empty text asks for the field alone.
    Header {
        /// The field's name.
        field: String,
        /// The text in it.
        text: String,
    },
    /// `BODY`: the body's text.
    Body(String),
    /// `TEXT`: header or body.
    Text(String),
}

impl SearchKey {
    /// Whether the answer depends on MODSEQ, so that the response shows it and CONDSTORE becomes
    /// enabled (RFC 7162 §3.1). The depth is bounded by the parser.
    pub fn names_mod_seq(&self) -> bool {
        match self {
            Self::And(keys) | Self::Or(keys) => keys.iter().any(Self::names_mod_seq),
            Self::Not(key) => key.names_mod_seq(),
            Self::ModSeq(_) => true,
            _ => false,
        }
    }
}
