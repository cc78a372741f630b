//! FETCH as a value (RFC 3501 §6.4.5).

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use crate::{MessageSet, Numbering};

/// `FETCH` and `UID FETCH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Whether `messages` are UIDs.
    pub numbering: Numbering,
    /// The messages.
    pub messages: MessageSet,
    /// At least one item, each once; macros are expanded, and `UID FETCH` has [`FetchItem::Uid`] first.
    /// `CHANGEDSINCE` adds [`FetchItem::ModSeq`].
    pub items: Vec<FetchItem>,
    /// `(CHANGEDSINCE n)` (RFC 7162 §3.1.4).
    pub changed_since: Option<NonZeroU64>,
}

/// What to fetch of each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// `BODY`: the structure without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `BODY[…]<…>` and `BODY.PEEK[…]<…>`
    BodySection {
        /// The part of the message.
        section: Section,
        /// The octets of that part.
        partial: Option<Partial>,
        /// Whether `\Seen` stays as it is.
        peek: bool,
    },
    /// `BINARY[…]<…>` and `BINARY.PEEK[…]<…>` (RFC 3516).
    Binary {
        /// The part's number; empty is the whole message.
        part: Vec<NonZeroU32>,
        /// The octets of the decoded part.
        partial: Option<Partial>,
        /// Whether `\Seen` stays as it is.
        peek: bool,
    },
    /// `BINARY.SIZE[…]` (RFC 3516).
    BinarySize(Vec<NonZeroU32>),
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `MODSEQ` (RFC 7162 §3.1.5).
    ModSeq,
    /// `RFC822`: `BODY[]` under another name.
    Rfc822,
    /// `RFC822.HEADER`: `BODY.PEEK[HEADER]` under another name.
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT`: `BODY[TEXT]` under another name.
    Rfc822Text,
    /// `UID`
    Uid,
}

impl FetchItem {
    /// Whether fetching this item sets `\Seen` (RFC 3501 §6.4.5).
    pub const fn sets_seen(&self) -> bool {
        match self {
            Self::BodySection { peek, .. } | Self::Binary { peek, .. } => !*peek,
            Self::Rfc822 | Self::Rfc822Text => true,
            _ => false,
        }
    }
}

/// The text between the brackets of `BODY[…]`.
///
/// ```abnf
/// section         = "[" [section-spec] "]"
/// section-spec    = section-msgtext / (section-part ["." section-text])
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// The part's number, outermost first; empty is the message itself.
    pub part: Vec<NonZeroU32>,
    /// What of that part.
    pub text: SectionText,
}

/// What of a part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SectionText {
    /// All of it: header and body of the message, or the body of a part.
    #[default]
    Everything,
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (…)`: field names as written, compared without regard to case.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (…)`
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`: the part's own header; never without a part number.
    Mime,
}

/// The wire form without the brackets: `1.2.HEADER.FIELDS (SUBJECT)`.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dot = "";
        for number in &self.part {
            write!(f, "{dot}{number}")?;
            dot = ".";
        }
        match &self.text {
            SectionText::Everything => Ok(()),
            SectionText::Header => write!(f, "{dot}HEADER"),
            SectionText::Text => write!(f, "{dot}TEXT"),
            SectionText::Mime => write!(f, "{dot}MIME"),
            SectionText::HeaderFields(names) => {
                write!(f, "{dot}HEADER.FIELDS ")?;
                field_names(f, names)
            }
            SectionText::HeaderFieldsNot(names) => {
                write!(f, "{dot}HEADER.FIELDS.NOT ")?;
                field_names(f, names)
            }
        }
    }
}

/// Names that are no atoms are quoted; the parser takes printable ASCII only.
fn field_names(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    let mut before = '(';
    for name in names {
        write!(f, "{before}")?;
        before = ' ';
        if !name.is_empty() && name.bytes().all(crate::chars::is_astring_char) {
            f.write_str(name)?;
            continue;
        }
        f.write_str("\"")?;
        for character in name.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")?;
    }
    f.write_str(if names.is_empty() { "()" } else { ")" })
}

/// `<offset.length>` (RFC 3501 §6.4.5). The response shows the offset alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// The first octet wanted; beyond the end is an empty string, no error.
    pub offset: u64,
    /// At most that many octets.
    pub length: NonZeroU64,
}
