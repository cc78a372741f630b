//! Reports to senders, of failure, delay and success: delivery status notifications (RFC 3464) in a `multipart/report` (RFC 6522).
//!
//! ```text
//! multipart/report; report-type=delivery-status
//! ├ text/plain                  for the person who sent the message
//! ├ message/delivery-status     for programs: one group for the message, one for every recipient
//! └ text/rfc822-headers         the header of the message, as far as it fits
//! ```
//!
//! A failed message whose sender asked for it (RET=FULL) comes back whole as `message/rfc822`, when it is 7-bit and not too large.
//!
//! The report is 7-bit: addresses beyond ASCII are written as RFC 6533 §3 says, other octets of the header as `?`. Only the addresses
//! that the sender used are named, never what an alias led to.

mod told;

use std::fmt::Write as _;

use bytes::Bytes;
use envelope::{Address, Entrance, Envelope, MessageId, Origin, Return, ReversePath, Timestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::content;
pub(crate) use told::{Kind, Told};

/// Octets of a line in the returned header (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;
/// Octets of what others said, in one field.
const FOREIGN_MAX: usize = 900;

/// Everything that a report is made from.
pub(crate) struct Report<'a> {
    pub(crate) original: &'a Envelope,
    pub(crate) sender: &'a Address,
    pub(crate) body: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) told: &'a [Told<'a>],
    pub(crate) hostname: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) header_max: usize,
    /// The largest message that is returned whole.
    pub(crate) body_max: usize,
    /// When the tries end, in a report of delay.
    pub(crate) retry_until: Timestamp,
}

impl Report<'_> {
    /// The report as a message for the queue.
    pub(crate) fn message(&self) -> (Envelope, Bytes) {
        let id = self.id();
        let body = Bytes::from(self.text(id));
        let envelope = Envelope {
            id,
            received_at: self.now,
            reverse_path: ReversePath::Null,
            recipients: vec![self.sender.clone().into()],
            origin: Origin {
                entrance: Entrance::Internal,
                peer: None,
                helo: String::new(),
                authenticated: None,
                tls: false,
            },
            size: body.len() as u64,
            smtp_utf8: self.sender.needs_utf8(),
            priority: envelope::Priority::Interactive,
            envelope_id: None,
            returned: None,
            require_tls: self.original.require_tls,
            list: None,
            filtered: None,
        };
        (envelope, body)
    }

    /// The same report on the same message always has the same id: after a crash between queueing the report and settling the
    /// message, the second report is the first. Other recipients and another kind have another, so that nothing goes unreported.
    fn id(&self) -> MessageId {
        let mut addresses: Vec<String> =
            self.told.iter().map(|told| told.recipient.address.canonical().to_string()).collect();
        addresses.sort();
        let mut hash = Fnv::new();
        hash.write(&self.original.id.to_bytes());
        if self.kind != Kind::Failure {
            hash.write(self.kind.name().as_bytes());
            hash.write(b"\n");
        }
        for address in addresses {
            hash.write(address.as_bytes());
            hash.write(b"\n");
        }
        MessageId::new(self.original.id.unix_milliseconds(), hash.random())
    }

    fn text(&self, id: MessageId) -> String {
        let boundary = format!("=_{id}");
        let (host, sender) = (self.hostname, self.sender);
        let mut text = format!(
            "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\n\
             To: <{sender}>\r\n\
             Subject: {}\r\n\
             Date: {}\r\n\
             Message-ID: <{id}@{host}>\r\n",
            self.kind.subject(),
            date(self.now)
        );
        if let Some(message_id) = self.message_id() {
            let _ = write!(text, "In-Reply-To: {message_id}\r\nReferences: {message_id}\r\n");
        }
        let _ = write!(
            text,
            "Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
             \r\n\
             --{boundary}\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\
             \r\n"
        );
        self.for_people(&mut text);
        let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n");
        self.for_programs(&mut text);
        let (kind, returned) = match self.whole(&boundary) {
            Some(whole) => ("message/rfc822", whole.to_owned()),
            None => ("text/rfc822-headers", self.header()),
        };
        let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: {kind}\r\n\r\n{returned}");
        let _ = write!(text, "\r\n--{boundary}--\r\n");
        text
    }

    fn for_people(&self, text: &mut String) {
        let _ = write!(text, "This is the mail system at {}.\r\n\r\n{}\r\n", self.hostname, self.kind.lead());
        for told in self.listed() {
            let (address, reason) = (escaped(&told.address().to_string()), clean(told.reason));
            let _ = write!(text, "\r\n<{address}>\r\n    {reason} ({})\r\n", told.code);
            if let Some(remote) = told.remote {
                let _ = write!(text, "    {} said: {}\r\n", clean(&remote.mta), clean(&remote.text));
            }
        }
        if self.kind == Kind::Delay {
            let _ = write!(text, "\r\nThe tries go on until {}.\r\n", date(self.retry_until));
        }
        let _ = write!(
            text,
            "\r\nThe message was accepted on {} under the id {}.\r\n\
             What was sent is below. Nobody reads answers to this report.\r\n",
            date(self.original.received_at),
            self.original.id
        );
    }

    // RFC 3464 §2.2 and §2.3
    fn for_programs(&self, text: &mut String) {
        if let Some(envelope_id) = &self.original.envelope_id {
            let _ = write!(text, "Original-Envelope-Id: {}\r\n", clean(&escaped(envelope_id)));
        }
        let _ = write!(
            text,
            "Reporting-MTA: dns; {}\r\nX-Sluice-Message-ID: {}\r\nArrival-Date: {}\r\n",
            self.hostname,
            self.original.id,
            date(self.original.received_at)
        );
        for told in self.listed() {
            self.group(text, told);
        }
    }

    fn group(&self, text: &mut String, told: &Told<'_>) {
        text.push_str("\r\n");
        if let Some(original) = &told.recipient.original {
            let (kind, address) = (clean(&original.kind), clean(&escaped(&original.address)));
            let _ = write!(text, "Original-Recipient: {kind}; {address}\r\n");
        }
        let (address, code) = (told.address(), told.code);
        let kind = if address.needs_utf8() { "utf-8" } else { "rfc822" };
        let address = escaped(&address.to_string());
        let action = told.action.name();
        let _ = write!(text, "Final-Recipient: {kind}; {address}\r\nAction: {action}\r\nStatus: {code}\r\n");
        if let Some(remote) = told.remote {
            let (mta, reply) = (clean(&remote.mta), clean(&remote.text));
            let _ = write!(text, "Remote-MTA: dns; {mta}\r\nDiagnostic-Code: smtp; {reply}\r\n");
        } else if told.action == told::Action::Failed {
            let (reply, reason) = (if code.is_transient() { 450 } else { 550 }, clean(told.reason));
            let _ = write!(text, "Diagnostic-Code: smtp; {reply} {code} {reason}\r\n");
        }
        let _ = write!(text, "Last-Attempt-Date: {}\r\n", date(self.now));
        if self.kind == Kind::Delay {
            let _ = write!(text, "Will-Retry-Until: {}\r\n", date(self.retry_until));
        }
    }

    /// Every address that the sender used, once.
    fn listed(&self) -> Vec<&Told<'_>> {
        let mut seen = std::collections::BTreeSet::new();
        self.told.iter().filter(|told| seen.insert(told.address())).collect()
    }

    /// The message, when it is to be returned whole and can be.
    fn whole(&self, boundary: &str) -> Option<&str> {
        let wanted = self.kind == Kind::Failure && self.original.returned == Some(Return::Full);
        if !wanted || self.body.len() > self.body_max || !self.body.is_ascii() || self.body.contains(&0) {
            return None;
        }
        let text = std::str::from_utf8(self.body).ok()?;
        let fits = |line: &str| line.len() <= LINE_MAX && !line.contains(['\r', '\n']);
        (text.split("\r\n").all(fits) && !text.contains(boundary)).then_some(text)
    }

    /// The Message-ID of the message, when it is one that can be repeated in a header.
    fn message_id(&self) -> Option<&str> {
        let field = std::str::from_utf8(content::field("message-id", self.body)?).ok()?;
        let inner = field.strip_prefix('<')?.strip_suffix('>')?;
        let clean = inner.len() < 900 && inner.chars().all(|c| c.is_ascii_graphic() && c != '<' && c != '>');
        clean.then_some(field)
    }

    /// Whole lines of the header up to the limit, 7-bit, no line too long.
    fn header(&self) -> String {
        let header = self.body.get(..content::header_end(self.body)).unwrap_or_default();
        let mut text = String::new();
        for line in header.split_inclusive(|byte| *byte == b'\n') {
            if text.len() + line.len() > self.header_max {
                break;
            }
            let clean = line.trim_ascii_end().iter().take(LINE_MAX).map(|byte| match byte {
                b'\t' | b' '..=b'~' => char::from(*byte),
                _ => '?',
            });
            text.extend(clean);
            text.push_str("\r\n");
        }
        text
    }
}

/// A text in ASCII: `\x{E9}` for é (RFC 6533 §3, utf-8-addr-xtext).
fn escaped(original: &str) -> String {
    let mut text = String::new();
    for character in original.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let _ = write!(text, "\\x{{{:X}}}", u32::from(character));
        }
    }
    text
}

/// What somebody else wrote, as far as it may stand in a field: printable ASCII, no end of line, not too long.
fn clean(text: &str) -> String {
    text.chars().take(FOREIGN_MAX).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

pub(crate) fn date(timestamp: Timestamp) -> String {
    let seconds = i64::try_from(timestamp.unix_seconds()).unwrap_or(0);
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    date.format(&Rfc2822).unwrap_or_default()
}

/// FNV-1a, 128 bits: the same in every build and every version.
pub(crate) struct Fnv(u128);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    pub(crate) const fn random(&self) -> [u8; 10] {
        let [_, _, _, _, _, _, random @ ..] = self.0.to_be_bytes();
        random
    }
}

#[cfg(test)]
mod tests;
