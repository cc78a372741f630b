//! The header section of a message that comes in: counted, not interpreted.

use std::ops::Range;

use envelope::{Address, MessageId, Priority, Timestamp};
use memchr::memmem;

use super::intake::Fault;
use super::received;

/// How much a header section may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeaderLimits {
    pub(super) size_max: usize,
    pub(super) fields_max: usize,
    pub(super) received_max: usize,
}

/// What is known of a header section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Octets of the fields; the empty line, if there is one, begins here.
    pub(super) end: usize,
    /// The text begins without an empty line before it. Quirk `missing-separator`: one is put in.
    pub(super) separator_missing: bool,
    has_date: bool,
    /// The value of the first Message-ID field, without its white space.
    pub(super) message_id: Option<String>,
    /// Bulk when it says so itself: a List-Id or List-Unsubscribe field (RFC 2919, RFC 2369), or `Precedence` of bulk, list or junk (RFC 3834 §3.1.8).
    pub(super) priority: Priority,
    /// Where fields are that no recipient may see (Bcc), and that are of no message: the first line of an mbox file.
    private: Vec<Range<usize>>,
    foreign: usize,
}

/// Whether `head` holds the empty line that ends a header section; the first `seen` octets were asked about before.
pub(super) fn is_complete(head: &[u8], seen: usize) -> bool {
    let new = head.get(seen.saturating_sub(3)..).unwrap_or_default();
    head.starts_with(b"\r\n") || memmem::find(new, b"\r\n\r\n").is_some()
}

/// Whom the From fields name (RFC 5322 §3.6.2), all of them if there are several; what is no address names nobody.
pub(super) fn authors(fields: &[u8]) -> Vec<Address> {
    let parsed = mail_parser::MessageParser::new().with_address_headers().parse_headers(fields);
    let headers = parsed.iter().flat_map(|message| message.headers());
    let from = headers.filter(|header| header.name == mail_parser::HeaderName::From);
    let named = from.filter_map(|header| header.value.as_address()).flat_map(mail_parser::Address::iter);
    named.filter_map(|one| one.address.as_deref()?.trim().parse().ok()).collect()
}

fn is_bulk(name: &[u8], line: &[u8]) -> bool {
    let precedence = || ["bulk", "list", "junk"].contains(&value(line).to_ascii_lowercase().as_str());
    name.eq_ignore_ascii_case(b"list-id")
        || name.eq_ignore_ascii_case(b"list-unsubscribe")
        || (name.eq_ignore_ascii_case(b"precedence") && precedence())
}

impl Header {
    /// Reads lines up to the empty one, or to one that is no field.
    ///
    /// ```abnf
    /// fields     = *field                        ; RFC 5322 §3.6, §2.2
    /// field      = field-name *WSP ":" text *( CRLF WSP text ) CRLF
    /// field-name = 1*%d33-57 / %d59-126
    /// ```
    pub(super) fn scan(head: &[u8], limits: HeaderLimits) -> Result<Self, Fault> {
        let mut header = Self {
            end: 0,
            separator_missing: false,
            has_date: false,
            message_id: None,
            priority: Priority::Interactive,
            private: Vec::new(),
            foreign: 0,
        };
        let (mut fields, mut received) = (0usize, 0usize);
        let (mut in_message_id, mut in_private) = (false, false);
        let mut rest = head;
        while let Some(length) = memmem::find(rest, b"\r\n") {
            let (line, next) = rest.split_at_checked(length + 2).unwrap_or((rest, &[]));
            if length == 0 {
                return Ok(header);
            }
            // Quirk `mbox-line`.
            if header.end == 0 && (line.starts_with(b"From ") || line.starts_with(b">From ")) {
                header.foreign = line.len();
                header.end = line.len();
                rest = next;
                continue;
            }
            let continued = fields > 0 && matches!(line.first(), Some(b' ' | b'\t'));
            let Some(name) = field_name(line).or(continued.then_some(b"")) else {
                header.separator_missing = true;
                return Ok(header);
            };
            let begins = header.end;
            if continued {
                if in_private && let Some(range) = header.private.last_mut() {
                    range.end += line.len();
                }
                header.message_id.iter_mut().filter(|_| in_message_id).for_each(|id| unfold(id, line));
            } else {
                in_message_id = false;
                in_private = name.eq_ignore_ascii_case(b"bcc") || name.eq_ignore_ascii_case(b"resent-bcc");
                if in_private {
                    header.private.push(begins..begins + line.len());
                }
                fields += 1;
                received += usize::from(name.eq_ignore_ascii_case(b"received"));
                if is_bulk(name, line) {
                    header.priority = Priority::Bulk;
                }
                header.has_date |= name.eq_ignore_ascii_case(b"date");
                if header.message_id.is_none() && name.eq_ignore_ascii_case(b"message-id") {
                    header.message_id = Some(value(line));
                    in_message_id = true;
                }
            }
            header.end += line.len();
            if header.end > limits.size_max {
                return Err(Fault::HeaderSize);
            }
            if fields > limits.fields_max {
                return Err(Fault::HeaderFields);
            }
            if received > limits.received_max {
                return Err(Fault::Loop);
            }
            rest = next;
        }
        // A line under way counts too: it may never end.
        if header.end + rest.len() > limits.size_max {
            return Err(Fault::HeaderSize);
        }
        Ok(header)
    }

    /// The header's fields as they are passed on: without the first line of an mbox file, and on submission without the fields
    /// that name blind recipients (RFC 5322 §3.6.3).
    pub(super) fn kept(&self, head: &[u8], submitted: bool) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.end);
        let mut from = self.foreign;
        for range in self.private.iter().filter(|_| submitted) {
            kept.extend_from_slice(head.get(from..range.start).unwrap_or_default());
            from = range.end;
        }
        kept.extend_from_slice(head.get(from..self.end).unwrap_or_default());
        kept
    }

    /// The fields that every message has and this one lacks (RFC 5322 §3.6: Date MUST, Message-ID SHOULD), and the
    /// Message-ID that it has then.
    pub(super) fn missing(&self, id: MessageId, hostname: &str) -> (Vec<u8>, String) {
        let mut fields = Vec::new();
        if !self.has_date {
            let date = received::date(Timestamp::from_unix_milliseconds(id.unix_milliseconds()));
            fields.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
        }
        let message_id = self.message_id.clone().unwrap_or_else(|| format!("<{id}@{hostname}>"));
        if self.message_id.is_none() {
            fields.extend_from_slice(format!("Message-ID: {message_id}\r\n").as_bytes());
        }
        (fields, message_id)
    }
}

/// The longest value that is kept, in octets: as long as a line should be.
const VALUE_MAX: usize = 998;

/// The value on a field's first line.
fn value(line: &[u8]) -> String {
    let value = line.iter().position(|byte| *byte == b':').and_then(|colon| line.get(colon + 1..));
    let value = value.unwrap_or_default().trim_ascii();
    String::from_utf8_lossy(value.get(..VALUE_MAX).unwrap_or(value)).into_owned()
}

/// Takes a folded field's next line: some programs put nothing but the name on the first.
fn unfold(value: &mut String, line: &[u8]) {
    let line = line.trim_ascii();
    if value.len() + 1 + line.len() <= VALUE_MAX {
        if !value.is_empty() && !line.is_empty() {
            value.push(' ');
        }
        value.push_str(&String::from_utf8_lossy(line));
    }
}

/// The name of a field, if the line begins one.
fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line.get(..colon)?.trim_ascii_end();
    let good = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    (!name.is_empty() && name.iter().all(good)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeaderLimits = HeaderLimits { size_max: 60, fields_max: 4, received_max: 2 };

    fn check(head: &str, expected: Result<(usize, bool), &str>) {
        let got = Header::scan(head.as_bytes(), LIMITS);
        let got =
            got.map(|header| (header.end, header.separator_missing)).map_err(|fault| format!("{fault:?}"));
        assert_eq!(got, expected.map_err(str::to_owned), "{head:?}");
    }

    #[test]
    fn sections() {
        check("", Ok((0, false)));
        check("\r\ntext", Ok((0, false)));
        check("A: b\r\n\r\ntext", Ok((6, false)));
        check("A: b\r\n c\r\nB : d\r\n\r\n", Ok((17, false)));
        check("A: b\r\n", Ok((6, false)));
    }

    #[test]
    fn lists_say_that_they_are_bulk() {
        for (head, priority) in [
            ("Precedence: bulk\r\n\r\n", Priority::Bulk),
            ("precedence:LIST\r\n\r\n", Priority::Bulk),
            ("Precedence: first-class\r\n\r\n", Priority::Interactive),
            ("List-Id: <l.example>\r\n\r\n", Priority::Bulk),
            ("List-Unsubscribe: <x>\r\n\r\n", Priority::Bulk),
            ("Subject: List-Id: x\r\n\r\n", Priority::Interactive),
            ("A: b\r\n\r\nList-Id: x\r\n", Priority::Interactive),
        ] {
            assert_eq!(Header::scan(head.as_bytes(), LIMITS).unwrap().priority, priority, "{head:?}");
        }
    }

    #[test]
    fn quirk_missing_separator() {
        check("A: b\r\ntext\r\n", Ok((6, true)));
        check("text\r\n", Ok((0, true)));
        check(" folded first\r\n", Ok((0, true)));
        check("A b: c\r\n", Ok((0, true)));
        check("A\u{e9}: c\r\n", Ok((0, true)));
    }

    #[test]
    fn limits() {
        check("A: b\r\n".repeat(4).as_str(), Ok((24, false)));
        check("A: b\r\n".repeat(5).as_str(), Err("HeaderFields"));
        check("Received: b\r\n".repeat(2).as_str(), Ok((26, false)));
        check("received: b\r\n".repeat(3).as_str(), Err("Loop"));
        for (length, good) in [(59, true), (60, true), (61, false)] {
            let line = format!("A: {}\r\n", "x".repeat(length - 5));
            assert_eq!(Header::scan(line.as_bytes(), LIMITS).is_ok(), good, "{length}");
            let endless = format!("A: {}", "x".repeat(length - 3));
            assert_eq!(Header::scan(endless.as_bytes(), LIMITS).is_ok(), good, "{length} without an end");
        }
    }

    #[test]
    fn a_folded_message_id_is_read_whole() {
        let limits = HeaderLimits { size_max: 10_000, ..LIMITS };
        let check = |head: &str, expected: &str| {
            let header = Header::scan(head.as_bytes(), limits).unwrap();
            assert_eq!(header.message_id.as_deref(), Some(expected), "{head}");
        };
        check("Message-ID:\r\n <a@b.test>\r\nTo: x\r\n\t<c@d.test>\r\n\r\n", "<a@b.test>");
        check("Message-ID: <a@b.test>\r\n (comment)\r\n\r\n", "<a@b.test> (comment)");
        check("Message-ID: <a@b.test>\r\nMessage-ID:\r\n <c@d.test>\r\n\r\n", "<a@b.test>");
        let long = "x".repeat(900);
        check(&format!("Message-ID: {long}\r\n {long}\r\n\r\n"), &long);
    }

    #[test]
    fn what_is_not_passed_on() {
        let limits = HeaderLimits { size_max: 10_000, ..LIMITS };
        let check = |head: &str, submitted: bool, expected: &str| {
            let header = Header::scan(head.as_bytes(), limits).unwrap();
            let kept = String::from_utf8(header.kept(head.as_bytes(), submitted)).unwrap();
            assert_eq!((kept.as_str(), header.separator_missing), (expected, false), "{head:?} {submitted}");
        };
        let blind = "A: 1\r\nBcc: x,\r\n y\r\nB: 2\r\nRESENT-BCC: z\r\n\r\ntext";
        check(blind, true, "A: 1\r\nB: 2\r\n");
        check(blind, false, "A: 1\r\nBcc: x,\r\n y\r\nB: 2\r\nRESENT-BCC: z\r\n");
        check("From a@b Mon Jan 1\r\nA: 1\r\n\r\n", false, "A: 1\r\n");
        check(">From a@b Mon Jan 1\r\nbcc: x\r\n\r\n", true, "");
        check("From: a\r\n\r\n", true, "From: a\r\n");
    }

    #[test]
    fn completeness_is_seen_across_segments() {
        let head = b"A: b\r\n\r\ntext";
        for split in 0..=8 {
            assert_eq!(is_complete(&head[..split], 0), split == 8, "{split}");
            assert!(is_complete(head, split.min(7)), "{split}");
        }
    }

    #[test]
    fn every_author_counts() {
        let check = |fields: &str, expected: &[&str]| {
            let found: Vec<String> = authors(fields.as_bytes()).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{fields}");
        };
        check("From: Ann <ann@a.test>\r\nTo: <x@b.test>\r\n", &["ann@a.test"]);
        check(
            "From: ann@a.test,\r\n \"Bob, B.\" <bob@b.test>\r\nFROM: <eve@c.test>\r\n",
            &["ann@a.test", "bob@b.test", "eve@c.test"],
        );
        check("From: friends: ann@a.test, bob@b.test;\r\n", &["ann@a.test", "bob@b.test"]);
        check("From: \"boss@a.test\" <eve@c.test>\r\n", &["eve@c.test"]);
        check("From:\r\nReply-To: x@b.test\r\n", &[]);
        check("Sender: ann@a.test\r\n", &[]);
    }

    #[test]
    fn submission_adds_what_is_missing() {
        let id: MessageId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let added = |head: &str| {
            let (missing, _) = Header::scan(head.as_bytes(), LIMITS).unwrap().missing(id, "mx.test");
            String::from_utf8(missing).unwrap()
        };
        assert_eq!(added("DATE: x\r\nMessage-Id: y\r\n\r\n"), "");
        assert_eq!(added("Date: x\r\n\r\n"), format!("Message-ID: <{id}@mx.test>\r\n"));
        assert_eq!(added("Message-ID: x\r\n\r\n"), "Date: Sat, 30 Jul 2016 23:54:10 +0000\r\n");
    }
}
