//! One pass over a message: headers, parts, offsets, line counts.
//!
//! Every octet of a body is looked at once, whatever the nesting: the search for the next boundary line knows the
//! boundaries of all open multiparts. Recursion follows the nesting and ends at its budget.

use bytes::Bytes;
use memchr::memmem::Finder;

use super::{Fields, MailAddress, Part, PartKind, Summary, address, codec, fields, preview};
use crate::codec::Writer;

const DEPTH_MAX: usize = 100;
const PARTS_MAX: usize = 1_000;

/// Parses a message with CRLF line ends. Every input gives a summary.
pub fn parse(content: &[u8]) -> Summary {
    let mut scanner = Scanner {
        content,
        position: 0,
        boundaries: Vec::new(),
        depth: 0,
        parts: 0,
        finder: Finder::new(b"\n--"),
    };
    let mut summary = scanner.message();
    summary.preview = preview::of(content, &summary.structure);
    summary
}

/// A line that delimits parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Delimiter {
    /// Which of the open boundaries.
    index: usize,
    /// `--boundary--`.
    last: bool,
    /// Behind its line feed.
    end: usize,
}

struct Scanner<'a> {
    content: &'a [u8],
    position: usize,
    /// Of all open multiparts, outermost first.
    boundaries: Vec<Bytes>,
    depth: usize,
    parts: usize,
    finder: Finder<'static>,
}

/// Of one header, everything that a summary or a part needs.
#[derive(Default)]
struct Header {
    content_type: Option<(Bytes, Bytes, fields::Parameters)>,
    id: Option<Bytes>,
    description: Option<Bytes>,
    encoding: Option<Bytes>,
    md5: Option<Bytes>,
    disposition: Option<(Bytes, fields::Parameters)>,
    language: Vec<Bytes>,
    location: Option<Bytes>,
    date: Option<Bytes>,
    subject: Option<Bytes>,
    from: Option<Vec<MailAddress>>,
    sender: Option<Vec<MailAddress>>,
    reply_to: Option<Vec<MailAddress>>,
    to: Option<Vec<MailAddress>>,
    cc: Option<Vec<MailAddress>>,
    bcc: Option<Vec<MailAddress>>,
    in_reply_to: Option<Bytes>,
    message_id: Option<Bytes>,
    references: Option<Bytes>,
}

impl Header {
    fn parse(bytes: &[u8]) -> Self {
        let mut header = Self::default();
        fields::each(bytes, |name, value| header.take(name, value));
        header
    }

    /// The first field of a name counts.
    fn take(&mut self, name: &[u8], value: Vec<u8>) {
        let text = |slot: &mut Option<Bytes>, value: Vec<u8>| {
            slot.get_or_insert_with(|| value.into());
        };
        let list = |slot: &mut Option<Vec<MailAddress>>, value: &[u8]| {
            slot.get_or_insert_with(|| address::parse(value));
        };
        match name.to_ascii_lowercase().as_slice() {
            b"content-type" if self.content_type.is_none() => {
                self.content_type = fields::content_type(&value)
            }
            b"content-id" => text(&mut self.id, value),
            b"content-description" => text(&mut self.description, value),
            b"content-transfer-encoding" => {
                let (word, _) = fields::with_parameters(&value);
                self.encoding.get_or_insert(word);
            }
            b"content-md5" => text(&mut self.md5, value),
            b"content-disposition" if self.disposition.is_none() => {
                self.disposition = Some(fields::with_parameters(&value)).filter(|(word, _)| !word.is_empty());
            }
            b"content-language" => self.language = fields::languages(&value),
            b"content-location" => text(&mut self.location, value),
            b"date" => text(&mut self.date, value),
            b"subject" => text(&mut self.subject, value),
            b"from" => list(&mut self.from, &value),
            b"sender" => list(&mut self.sender, &value),
            b"reply-to" => list(&mut self.reply_to, &value),
            b"to" => list(&mut self.to, &value),
            b"cc" => list(&mut self.cc, &value),
            b"bcc" => list(&mut self.bcc, &value),
            b"in-reply-to" => text(&mut self.in_reply_to, value),
            b"message-id" => text(&mut self.message_id, value),
            b"references" => text(&mut self.references, value),
            _ => {}
        }
    }

    fn into_summary(mut self, build: impl FnOnce(&mut Self) -> Part) -> Summary {
        let structure = build(&mut self);
        let from = self.from.unwrap_or_default();
        // RFC 3501 §7.4.2: a missing or empty Sender or Reply-To is From.
        let or_from = |list: Option<Vec<MailAddress>>| {
            list.filter(|list| !list.is_empty()).unwrap_or_else(|| from.clone())
        };
        let fields = Fields {
            sender: or_from(self.sender),
            reply_to: or_from(self.reply_to),
            sent_at: self.date.as_deref().and_then(preview::seconds),
            date: self.date,
            subject: self.subject,
            from,
            to: self.to.unwrap_or_default(),
            cc: self.cc.unwrap_or_default(),
            bcc: self.bcc.unwrap_or_default(),
            in_reply_to: self.in_reply_to,
            message_id: self.message_id,
            references: self.references,
        };
        Summary { fields, preview: String::new(), structure }
    }
}

impl Scanner<'_> {
    /// Parses a message at the position, up to the end of what contains it.
    fn message(&mut self) -> Summary {
        let start = self.position;
        let header = Header::parse(self.header());
        header.into_summary(|header| self.part(start, header, b"text/plain"))
    }

    /// Goes behind the empty line; gives the header before it. A header without one ends at the next boundary line.
    fn header(&mut self) -> &[u8] {
        let start = self.position;
        loop {
            let line = self.position;
            if line >= self.content.len() || self.delimiter_at(line).is_some() {
                return self.content.get(start..line).unwrap_or_default();
            }
            let end = self.line_end(line);
            self.position = end;
            if matches!(self.content.get(line..end), Some(b"\r\n" | b"\n")) {
                return self.content.get(start..line).unwrap_or_default();
            }
        }
    }

    fn line_end(&self, start: usize) -> usize {
        let rest = self.content.get(start..).unwrap_or_default();
        memchr::memchr(b'\n', rest).map_or(self.content.len(), |feed| start + feed + 1)
    }

    /// The rest of a part whose header was read.
    fn part(&mut self, header_start: usize, header: &mut Header, default: &[u8]) -> Part {
        self.parts += 1;
        let body_start = self.position;
        let (media_type, media_subtype, parameters) = header
            .content_type
            .take()
            .or_else(|| fields::content_type(default))
            .unwrap_or_else(|| (Bytes::from_static(b"text"), Bytes::from_static(b"plain"), Vec::new()));
        let encoding = header
            .encoding
            .take()
            .filter(|word| !word.is_empty())
            .unwrap_or_else(|| Bytes::from_static(b"7BIT"));
        let boundary = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"boundary"));
        let boundary = boundary.map(|(_, value)| value.clone()).filter(|value| !value.is_empty());
        let is = |text: &[u8], word: &[u8]| text.eq_ignore_ascii_case(word);
        let in_budget = self.depth < DEPTH_MAX && self.parts < PARTS_MAX;
        let plain = [&b"7bit"[..], b"8bit", b"binary"].iter().any(|word| is(&encoding, word));
        self.depth += 1;
        let kind = match boundary {
            Some(boundary) if in_budget && is(&media_type, b"multipart") => {
                let default: &[u8] =
                    if is(&media_subtype, b"digest") { b"message/rfc822" } else { b"text/plain" };
                self.multipart(boundary, default)
            }
            _ if in_budget
                && plain
                && is(&media_type, b"message")
                && (is(&media_subtype, b"rfc822") || is(&media_subtype, b"global")) =>
            {
                PartKind::Message(Box::new(self.message()))
            }
            _ => {
                self.skip_to_delimiter();
                PartKind::Leaf
            }
        };
        self.depth -= 1;
        let end = self.body_end(body_start);
        let counted =
            matches!(kind, PartKind::Message(_)) || is(&media_type, b"text") || is(&media_type, b"message");
        let body = self.content.get(body_start..end).filter(|_| counted).unwrap_or_default();
        let lines = memchr::memchr_iter(b'\n', body).count();
        Part {
            media_type,
            media_subtype,
            parameters,
            id: header.id.take(),
            description: header.description.take(),
            encoding,
            md5: header.md5.take(),
            disposition: header.disposition.take(),
            language: std::mem::take(&mut header.language),
            location: header.location.take(),
            header_start: header_start as u64,
            body_start: body_start as u64,
            end: end as u64,
            lines: lines as u64,
            kind,
        }
    }

    /// The line end before a boundary line belongs to it (RFC 2046 §5.1.1).
    fn body_end(&self, body_start: usize) -> usize {
        let position = self.position;
        if position >= self.content.len() && self.delimiter_at(position).is_none() {
            return self.content.len().max(body_start);
        }
        let before = self.content.get(body_start..position).unwrap_or_default();
        let line_end = if before.ends_with(b"\r\n") { 2 } else { usize::from(before.ends_with(b"\n")) };
        position.saturating_sub(line_end).max(body_start)
    }

    /// Stops at a delimiter of an outer multipart or at the end.
    fn multipart(&mut self, boundary: Bytes, default: &[u8]) -> PartKind {
        let own = self.boundaries.len();
        self.boundaries.push(boundary);
        let mut parts = Vec::new();
        self.skip_to_delimiter();
        while let Some(delimiter) = self.delimiter_at(self.position).filter(|found| found.index == own) {
            self.position = delimiter.end;
            if delimiter.last {
                break;
            }
            if self.parts >= PARTS_MAX {
                self.skip_to_delimiter();
                continue;
            }
            let start = self.position;
            let mut header = Header::parse(self.header());
            parts.push(self.part(start, &mut header, default));
        }
        self.boundaries.truncate(own);
        self.skip_to_delimiter();
        if parts.is_empty() {
            parts.push(self.empty_part());
        }
        PartKind::Multipart(parts)
    }

    /// IMAP has no way to show a multipart without parts.
    fn empty_part(&mut self) -> Part {
        let position = self.position as u64;
        Part {
            media_type: Bytes::from_static(b"text"),
            media_subtype: Bytes::from_static(b"plain"),
            parameters: Vec::new(),
            id: None,
            description: None,
            encoding: Bytes::from_static(b"7BIT"),
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
            header_start: position,
            body_start: position,
            end: position,
            lines: 0,
            kind: PartKind::Leaf,
        }
    }

    /// Goes to the start of the next line that delimits parts of any open multipart, or to the end.
    fn skip_to_delimiter(&mut self) {
        if self.boundaries.is_empty() {
            self.position = self.content.len();
            return;
        }
        if self.delimiter_at(self.position).is_some() {
            return;
        }
        let mut from = self.position;
        while let Some(found) = self.finder.find(self.content.get(from..).unwrap_or_default()) {
            let line = from + found + 1;
            if self.delimiter_at(line).is_some() {
                self.position = line;
                return;
            }
            from = line;
        }
        self.position = self.content.len();
    }

    /// The delimiter that is the line at `start`; of nested equal boundaries the innermost.
    fn delimiter_at(&self, start: usize) -> Option<Delimiter> {
        let line = self.content.get(start..)?;
        let after = line.strip_prefix(b"--")?;
        let at_line_start = start == 0 || self.content.get(start - 1) == Some(&b'\n');
        if !at_line_start {
            return None;
        }
        let end = self.line_end(start);
        let after = after.get(..end.saturating_sub(start + 2))?.trim_ascii_end();
        self.boundaries.iter().enumerate().rev().find_map(|(index, boundary)| {
            let rest = after.strip_prefix(&**boundary)?;
            let last = rest == b"--";
            (rest.is_empty() || last).then_some(Delimiter { index, last, end })
        })
    }
}

/// Fuzz entry: offsets are in order, and the cache gives back what was parsed.
pub fn fuzz_summary(input: &[u8]) {
    let summary = parse(input);
    check_part(&summary.structure, input.len() as u64);
    let mut writer = Writer::default();
    codec::encode(&summary, &mut writer);
    let record = Bytes::from(writer.0);
    assert_eq!(codec::decode_fields(&record), Some(summary.fields.borrowed()), "fields alone are the same");
    assert_eq!(codec::decode(&record), Some(summary), "the cache must give back what was parsed");
}

fn check_part(part: &Part, length: u64) {
    assert!(part.header_start <= part.body_start, "a header is before its body");
    assert!(part.body_start <= part.end && part.end <= length, "a body is inside the message");
    match &part.kind {
        PartKind::Leaf => {}
        PartKind::Multipart(parts) => {
            assert!(!parts.is_empty(), "a multipart has a part");
            for inner in parts {
                assert!(part.body_start <= inner.header_start, "a part is inside its parent");
                check_part(inner, length);
            }
        }
        PartKind::Message(summary) => check_part(&summary.structure, length),
    }
}

#[cfg(test)]
mod tests;
