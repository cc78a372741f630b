//! The header fields that a final delivery adds, and those it looks for.

use bytes::Bytes;
use envelope::{Address, ReversePath};

/// The octets that are filed: `Return-Path` (RFC 5321 §4.4) and, for a single recipient, `Delivered-To` before the message,
/// which loses every `Return-Path` that it came with. A first line that looks like the rest of a field would become part of ours: such a message
/// has no header, and its text begins there.
pub(crate) fn filed(reverse_path: &ReversePath, address: Option<&Address>, body: &[u8]) -> Vec<u8> {
    let delivered_to = address.map(|address| format!("Delivered-To: {address}\r\n")).unwrap_or_default();
    let head = format!("Return-Path: <{reverse_path}>\r\n{delivered_to}");
    let mut content = Vec::with_capacity(head.len() + body.len());
    content.extend_from_slice(head.as_bytes());
    if starts_folded(body) {
        content.extend_from_slice(b"\r\n");
    }
    let header = header_end(body);
    let mut kept = 0;
    for field in Fields::new(body, header).filter(|field| field.is("return-path")) {
        content.extend_from_slice(body.get(kept..field.start).unwrap_or_default());
        kept = field.end;
    }
    content.extend_from_slice(body.get(kept..).unwrap_or_default());
    content
}

/// The message with CRLF line ends throughout, as BDAT needs it: what other programs could take for a line's end is none that others read
/// otherwise. Copied only when something must change.
pub(crate) fn with_crlf(body: &Bytes) -> Bytes {
    let is_bare = |index: usize| match body.get(index) {
        Some(b'\r') => body.get(index + 1) != Some(&b'\n'),
        Some(b'\n') => index == 0 || body.get(index - 1) != Some(&b'\r'),
        _ => false,
    };
    if body.ends_with(b"\r\n") && !(0..body.len()).any(is_bare) {
        return body.clone();
    }
    let mut octets = Vec::with_capacity(body.len() + body.len() / 32 + 2);
    let mut rest = &body[..];
    while let Some(end) = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')) {
        let (line, behind) = rest.split_at(end);
        octets.extend_from_slice(line);
        octets.extend_from_slice(b"\r\n");
        rest = behind.strip_prefix(b"\r\n").or(behind.get(1..)).unwrap_or_default();
    }
    octets.extend_from_slice(rest);
    if !rest.is_empty() {
        octets.extend_from_slice(b"\r\n");
    }
    octets.into()
}

/// The message with a mark that it came by this address.
pub(crate) fn marked(address: &Address, body: &[u8]) -> Vec<u8> {
    let mut content = format!("Delivered-To: {address}\r\n").into_bytes();
    if starts_folded(body) {
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(body);
    content
}

/// Whether the message says that it was delivered to this address before.
pub(crate) fn was_delivered_to(address: &Address, body: &[u8]) -> bool {
    let canonical = address.canonical();
    Fields::new(body, header_end(body)).filter(|field| field.is("delivered-to")).any(|field| {
        let value = std::str::from_utf8(field.value()).unwrap_or_default();
        value.trim().parse::<Address>().is_ok_and(|found| found.canonical() == canonical)
    })
}

/// The first field of that name (lower case), without the line end.
pub(crate) fn field<'a>(name: &str, body: &'a [u8]) -> Option<&'a [u8]> {
    let found = Fields::new(body, header_end(body)).find(|field| field.is(name))?;
    Some(found.value().trim_ascii())
}

/// Where the header ends: behind its last field's line end.
pub(crate) fn header_end(body: &[u8]) -> usize {
    let mut start = 0;
    if starts_folded(body) {
        return start;
    }
    loop {
        let end = line_end(body, start);
        let line = body.get(start..end).unwrap_or_default();
        if line.is_empty() || line == b"\r\n" || line == b"\n" {
            return start;
        }
        start = end;
    }
}

fn starts_folded(body: &[u8]) -> bool {
    matches!(body.first(), Some(b' ' | b'\t'))
}

fn line_end(body: &[u8], start: usize) -> usize {
    let rest = body.get(start..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map_or(body.len(), |at| start + at + 1)
}

/// One field with its folded lines.
struct Field<'a> {
    start: usize,
    end: usize,
    octets: &'a [u8],
}

impl<'a> Field<'a> {
    fn colon(&self) -> Option<usize> {
        self.octets.iter().position(|byte| *byte == b':')
    }

    fn is(&self, name: &str) -> bool {
        let field = self.colon().and_then(|colon| self.octets.get(..colon)).unwrap_or_default();
        field.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
    }

    fn value(&self) -> &'a [u8] {
        self.colon().and_then(|colon| self.octets.get(colon + 1..)).unwrap_or_default()
    }
}

/// Every field of a header.
struct Fields<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    const fn new(body: &'a [u8], end: usize) -> Self {
        Self { body, at: 0, end }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.at >= self.end {
            return None;
        }
        let start = self.at;
        self.at = line_end(self.body, start);
        while self.at < self.end && matches!(self.body.get(self.at), Some(b' ' | b'\t')) {
            self.at = line_end(self.body, self.at);
        }
        let octets = self.body.get(start..self.at).unwrap_or_default();
        Some(Field { start, end: self.at, octets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_filed(sender: &str, body: &str, expected: &str) {
        let reverse_path = match sender {
            "" => ReversePath::Null,
            sender => ReversePath::Address(sender.parse().unwrap()),
        };
        let filed = filed(&reverse_path, Some(&"b@example.test".parse().unwrap()), body.as_bytes());
        assert_eq!(String::from_utf8(filed).unwrap(), expected, "{body:?}");
    }

    #[test]
    fn adds_its_fields_and_removes_foreign_return_paths() {
        check_filed(
            "a@example.test",
            "Subject: x\r\n\r\nReturn-Path: stays\r\n",
            "Return-Path: <a@example.test>\r\nDelivered-To: b@example.test\r\nSubject: x\r\n\r\nReturn-Path: stays\r\n",
        );
        check_filed(
            "",
            "Return-path: <x>\r\nReceived: y\r\n\tz\r\nRETURN-PATH:\r\n <x>\r\n\r\nb",
            "Return-Path: <>\r\nDelivered-To: b@example.test\r\nReceived: y\r\n\tz\r\n\r\nb",
        );
        check_filed("", "", "Return-Path: <>\r\nDelivered-To: b@example.test\r\n");
        check_filed("", "Return-Path: cut", "Return-Path: <>\r\nDelivered-To: b@example.test\r\n");
        check_filed("", " b\r\n", "Return-Path: <>\r\nDelivered-To: b@example.test\r\n\r\n b\r\n");
        check_filed("", "\r\nbody", "Return-Path: <>\r\nDelivered-To: b@example.test\r\n\r\nbody");
    }

    #[test]
    fn sees_its_own_marks() {
        for (body, expected) in [
            ("Delivered-To: b@example.test\r\n\r\n", true),
            ("Received: x\r\ndelivered-to:\r\n B@EXAMPLE.test\r\n\r\n", true),
            ("Delivered-To: c@example.test\r\n\r\n", false),
            ("Delivered-To: bb@example.test\r\n\r\n", false),
            ("X: 1\r\n\r\nDelivered-To: b@example.test\r\n", false),
            ("X-Delivered-To: b@example.test\r\n\r\n", false),
            ("Delivered-To: \u{e9}\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(
                was_delivered_to(&"b@example.test".parse().unwrap(), body.as_bytes()),
                expected,
                "{body:?}"
            );
        }
    }

    #[test]
    fn finds_fields() {
        let body = b"Message-ID: <x@y>\r\nSubject: a\r\n b\r\n\r\n";
        assert_eq!(field("message-id", body), Some(&b"<x@y>"[..]));
        assert_eq!(field("subject", body), Some(&b"a\r\n b"[..]));
        assert_eq!(field("from", body), None);
    }
}
