//! What lists, ENVELOPE and BODYSTRUCTURE need of a message, parsed once.
//!
//! One pass over the message, with budgets: nesting over 100 levels, parts over 1,000, header octets, addresses and
//! parameters beyond their limits are left out, and what is nested deeper is one opaque leaf. Offsets are exact
//! whatever the input.

mod address;
pub(crate) mod codec;
#[cfg(test)]
mod corpus;
mod fields;
mod preview;
mod scan;

use bytes::Bytes;

pub use scan::{fuzz_summary, parse};

/// One address of an ENVELOPE (RFC 3501 §7.4.2): fields raw as in the header (encoded-words not decoded), `None` is NIL.
/// A group starts with host NIL and mailbox = group name, ends with both NIL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailAddress {
    /// Display name, or the comment after the address.
    pub name: Option<Bytes>,
    /// Local part, or a group's name.
    pub mailbox: Option<Bytes>,
    /// Domain.
    pub host: Option<Bytes>,
}

/// What is parsed once, at delivery: everything for ENVELOPE, BODYSTRUCTURE, lists, SORT and THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The Date field.
    pub date: Option<Bytes>,
    /// Unfolded, not decoded.
    pub subject: Option<Bytes>,
    /// The authors.
    pub from: Vec<MailAddress>,
    /// Like `from` when the field is missing or empty.
    pub sender: Vec<MailAddress>,
    /// Like `from` when the field is missing or empty.
    pub reply_to: Vec<MailAddress>,
    /// Recipients.
    pub to: Vec<MailAddress>,
    /// Copies.
    pub cc: Vec<MailAddress>,
    /// Blind copies.
    pub bcc: Vec<MailAddress>,
    /// The In-Reply-To field.
    pub in_reply_to: Option<Bytes>,
    /// The Message-ID field.
    pub message_id: Option<Bytes>,
    /// The References field.
    pub references: Option<Bytes>,
    /// The Date field in seconds since 1970, when it can be read.
    pub sent_at: Option<i64>,
    /// First words of the text, decoded, at most 200 characters.
    pub preview: String,
    /// The message itself as a MIME part.
    pub structure: Part,
}

/// Names and values, as written.
pub type Parameters = Vec<(Bytes, Bytes)>;

/// A MIME part; the root is the message itself. Offsets are octets from the message's start (CRLF form).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Upper or lower case as written; `TEXT`/`PLAIN` by default.
    pub media_type: Bytes,
    /// After the slash.
    pub media_subtype: Bytes,
    /// Of Content-Type, as written (RFC 2231 is not decoded).
    pub parameters: Parameters,
    /// Content-ID.
    pub id: Option<Bytes>,
    /// Content-Description.
    pub description: Option<Bytes>,
    /// `7BIT` by default.
    pub encoding: Bytes,
    /// Content-MD5.
    pub md5: Option<Bytes>,
    /// Content-Disposition and its parameters.
    pub disposition: Option<(Bytes, Parameters)>,
    /// Content-Language.
    pub language: Vec<Bytes>,
    /// Content-Location.
    pub location: Option<Bytes>,
    /// Where the part's header starts.
    pub header_start: u64,
    /// Where its body starts: behind the empty line.
    pub body_start: u64,
    /// Where its body ends: before the line end that belongs to the next boundary.
    pub end: u64,
    /// Line ends in the body.
    pub lines: u64,
    /// What is in it.
    pub kind: PartKind,
}

/// What a part consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKind {
    /// Content; also a multipart or message nested too deep.
    Leaf,
    /// At least one part.
    Multipart(Vec<Part>),
    /// message/rfc822: its own summary (whose `structure` is the inner root).
    Message(Box<Summary>),
}
