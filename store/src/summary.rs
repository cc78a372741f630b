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

use std::ops::Deref;

use bytes::Bytes;

pub use scan::{fuzz_summary, parse};

/// One address of an ENVELOPE (RFC 3501 §7.4.2): fields raw as in the header (encoded-words not decoded), `None` is NIL.
/// A group starts with host NIL and mailbox = group name, ends with both NIL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailAddress<T = Bytes> {
    /// Display name, or the comment after the address.
    pub name: Option<T>,
    /// Local part, or a group's name.
    pub mailbox: Option<T>,
    /// Domain.
    pub host: Option<T>,
}

/// Fields of the header: everything for ENVELOPE, SORT, THREAD and most keys of SEARCH. `T` holds octets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields<T = Bytes> {
    /// The Date field.
    pub date: Option<T>,
    /// Unfolded, not decoded.
    pub subject: Option<T>,
    /// The authors.
    pub from: Vec<MailAddress<T>>,
    /// Like `from` when the field is missing or empty.
    pub sender: Vec<MailAddress<T>>,
    /// Like `from` when the field is missing or empty.
    pub reply_to: Vec<MailAddress<T>>,
    /// Recipients.
    pub to: Vec<MailAddress<T>>,
    /// Copies.
    pub cc: Vec<MailAddress<T>>,
    /// Blind copies.
    pub bcc: Vec<MailAddress<T>>,
    /// The In-Reply-To field.
    pub in_reply_to: Option<T>,
    /// The Message-ID field.
    pub message_id: Option<T>,
    /// The References field.
    pub references: Option<T>,
    /// The Date field in seconds since 1970, when it can be read.
    pub sent_at: Option<i64>,
}

impl<T: AsRef<[u8]>> Fields<T> {
    /// The same, of octets that stay where they are.
    pub fn borrowed(&self) -> Fields<&[u8]> {
        fn text<T: AsRef<[u8]>>(text: &Option<T>) -> Option<&[u8]> {
            text.as_ref().map(AsRef::as_ref)
        }
        fn list<T: AsRef<[u8]>>(list: &[MailAddress<T>]) -> Vec<MailAddress<&[u8]>> {
            let borrowed = list.iter().map(|one| MailAddress {
                name: text(&one.name),
                mailbox: text(&one.mailbox),
                host: text(&one.host),
            });
            borrowed.collect()
        }
        Fields {
            date: text(&self.date),
            subject: text(&self.subject),
            from: list(&self.from),
            sender: list(&self.sender),
            reply_to: list(&self.reply_to),
            to: list(&self.to),
            cc: list(&self.cc),
            bcc: list(&self.bcc),
            in_reply_to: text(&self.in_reply_to),
            message_id: text(&self.message_id),
            references: text(&self.references),
            sent_at: self.sent_at,
        }
    }
}

/// What is parsed once, at delivery: fields, and everything for BODYSTRUCTURE and lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The header's fields.
    pub fields: Fields,
    /// First words of the text, decoded, at most 200 characters.
    pub preview: String,
    /// The message itself as a MIME part.
    pub structure: Part,
}

impl Deref for Summary {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
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
