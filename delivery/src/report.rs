//! Reports of failure to senders: delivery status notifications (RFC 3464) in a `multipart/report` (RFC 6522).
//!
//! ```text
//! multipart/report; report-type=delivery-status
//! ├ text/plain                  for the person who sent the message
//! ├ message/delivery-status     for programs: one group for the message, one for every recipient
//! └ text/rfc822-headers         the header of the message, as far as it fits
//! ```
//!
//! The report is 7-bit: addresses beyond ASCII are written as RFC 6533 §3 says, other octets of the header as `?`. Only the addresses
//! that the sender used are named, never what an alias led to.

use std::fmt::Write as _;

use bytes::Bytes;
use envelope::{Address, Entrance, Envelope, MessageId, Origin, ReversePath, Timestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::content;
use crate::outcome::Failed;

/// Octets of a line in the returned header (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;

/// Everything that a report is made from.
pub(crate) struct Report<'a> {
    pub(crate) original: &'a Envelope,
    pub(crate) sender: &'a Address,
    pub(crate) body: &'a [u8],
    pub(crate) failed: &'a [Failed],
    pub(crate) hostname: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) header_max: usize,
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
        };
        (envelope, body)
    }

    /// The same failures of the same message always have the same id: after a crash between queueing the report and settling the
    /// message, the second report is the first. Other failures have another, so that none goes unreported.
    fn id(&self) -> MessageId {
        let mut addresses: Vec<String> =
            self.failed.iter().map(|failed| failed.recipient.address.canonical().to_string()).collect();
        addresses.sort();
        let mut hash = Fnv::new();
        hash.write(&self.original.id.to_bytes());
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
             Subject: Your message could not be delivered\r\n\
             Date: {}\r\n\
             Message-ID: <{id}@{host}>\r\n",
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
        let _ = write!(text, "\r\n--{boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n");
        text.push_str(&self.header());
        let _ = write!(text, "\r\n--{boundary}--\r\n");
        text
    }

    fn for_people(&self, text: &mut String) {
        let _ = write!(
            text,
            "This is the mail system at {}.\r\n\r\n\
             Your message could not be delivered to these addresses:\r\n",
            self.hostname
        );
        for (address, failed) in self.listed() {
            let _ = write!(
                text,
                "\r\n<{}>\r\n    {} ({})\r\n",
                escaped(address),
                failed.failure.reason,
                failed.failure.code
            );
        }
        let _ = write!(
            text,
            "\r\nThe message was accepted on {} under the id {}.\r\n\
             Its header is below. Nobody reads answers to this report.\r\n",
            date(self.original.received_at),
            self.original.id
        );
    }

    // RFC 3464 §2.2 and §2.3
    fn for_programs(&self, text: &mut String) {
        let _ = write!(
            text,
            "Reporting-MTA: dns; {}\r\nX-Sluice-Message-ID: {}\r\nArrival-Date: {}\r\n",
            self.hostname,
            self.original.id,
            date(self.original.received_at)
        );
        for (address, failed) in self.listed() {
            let kind = if address.needs_utf8() { "utf-8" } else { "rfc822" };
            let code = failed.failure.code;
            let reply = if code.is_transient() { 450 } else { 550 };
            let _ = write!(
                text,
                "\r\nFinal-Recipient: {kind}; {}\r\nAction: failed\r\nStatus: {code}\r\n\
                 Diagnostic-Code: smtp; {reply} {code} {}\r\nLast-Attempt-Date: {}\r\n",
                escaped(address),
                failed.failure.reason,
                date(self.now)
            );
        }
    }

    /// The addresses as the sender used them, each once.
    fn listed(&self) -> Vec<(&Address, &Failed)> {
        let mut listed: Vec<(&Address, &Failed)> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for failed in self.failed {
            let address = failed.recipient.expanded_from.first().unwrap_or(&failed.recipient.address);
            if seen.insert(address) {
                listed.push((address, failed));
            }
        }
        listed
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

/// An address in ASCII: `\x{E9}` for é (RFC 6533 §3, utf-8-addr-xtext).
fn escaped(address: &Address) -> String {
    let mut text = String::new();
    for character in address.to_string().chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let _ = write!(text, "\\x{{{:X}}}", u32::from(character));
        }
    }
    text
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
