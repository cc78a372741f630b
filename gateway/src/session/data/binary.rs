//! BINARYMIME (RFC 3030 §3): a message whose parts hold any octets is made into one of text lines, before anything else looks at it.
//!
//! What is stored here and sent on goes through programs that read lines (docs/decisions/027-chunking-and-binarymime.md). A part that is no text gets base64; one that
//! is text all the same is called so. Nothing else changes, and what can't be converted without breaking a signature is refused.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders as _};
use memchr::{memchr3, memmem};

/// Octets of a line (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;
/// Octets that fill a line of base64 (RFC 2045 §6.8).
const ENCODED_LINE: usize = 57;
/// Entities within each other.
const DEPTH_MAX: usize = 100;
/// Entities of a message.
const ENTITIES_MAX: usize = 10_000;
/// Octets of a Content-Type field: a boundary and a name, and what more there may be.
const TYPE_MAX: usize = 8 * 1024;

/// Why a message can't be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// RFC 1847 §2.1: what is signed is text, or the signature breaks on the way.
    #[error("a signed part holds binary octets")]
    Signed,
    /// More than anybody reads.
    #[error("it has too many parts, or parts within each other")]
    TooManyParts,
    /// A header section over the limit, or with a line that is no field.
    #[error("a part has a header section that is too large or none")]
    Header,
    /// RFC 2045 §6.4, RFC 2046 §5.2: of these the encoding may not be base64.
    #[error("binary octets stand where no encoding is allowed")]
    NotEncodable,
}

/// What is accepted in lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Octets of the header section of a part.
    pub(super) header_max: usize,
    /// Octets of a line.
    pub(super) line_max: usize,
}

/// The same message in lines, as far as its parts can be told apart. What is wrong outside them stays, for whoever judges lines.
pub(super) fn to_text(message: &[u8], bounds: Bounds) -> Result<Vec<u8>, Unfit> {
    let mut writer =
        Writer { out: Vec::with_capacity(message.len()), bounds, entities: 0, has_changed: false };
    writer.message(message, 0, false)?;
    let (head, _) = parts_of(message);
    let seals: [&[u8]; 2] = [b"dkim-signature", b"arc-seal"];
    if writer.has_changed && fields(head).any(|field| seals.iter().any(|name| is(field, name))) {
        return Err(Unfit::Signed);
    }
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    bounds: Bounds,
    entities: usize,
    has_changed: bool,
}

impl Writer {
    /// A whole message, the outermost or one within it.
    fn message(&mut self, octets: &[u8], depth: usize, signed: bool) -> Result<(), Unfit> {
        let (begins, had_changed) = (self.out.len(), std::mem::take(&mut self.has_changed));
        self.entity(octets, depth, signed, false)?;
        let (head, _) = parts_of(octets);
        if self.has_changed && !fields(head).any(|field| is(field, b"mime-version")) {
            // Without it nobody would decode.
            self.out.splice(begins..begins, *b"MIME-Version: 1.0\r\n");
        }
        self.has_changed |= had_changed;
        Ok(())
    }

    /// `signed`: it must stay as it is. `in_digest`: without a type it is a message (RFC 2046 §5.1.5).
    fn entity(&mut self, octets: &[u8], depth: usize, signed: bool, in_digest: bool) -> Result<(), Unfit> {
        self.entities += 1;
        if depth > DEPTH_MAX || self.entities > ENTITIES_MAX {
            return Err(Unfit::TooManyParts);
        }
        let (head, body) = parts_of(octets);
        let about = About::of(head, in_digest, self.bounds)?;
        let says_binary = about.encoding == b"binary";
        let is_encoded = !matches!(about.encoding.as_slice(), b"" | b"7bit" | b"8bit" | b"binary");
        match about.kind {
            _ if is_encoded => {
                self.out.extend_from_slice(octets);
                Ok(())
            }
            Kind::Multipart { boundary, is_signed, is_digest } => {
                self.head(head, says_binary.then_some("8bit"), signed)?;
                let mut is_first = true;
                for (piece, place) in split(body, boundary.as_bytes()) {
                    let octets = body.get(place).unwrap_or_default();
                    match piece {
                        Piece::Between => self.out.extend_from_slice(octets),
                        Piece::Entity => {
                            self.entity(octets, depth + 1, signed || is_signed && is_first, is_digest)?;
                            is_first = false;
                        }
                    }
                }
                Ok(())
            }
            Kind::Message => {
                self.head(head, says_binary.then_some("8bit"), signed)?;
                self.message(body, depth + 1, signed)
            }
            Kind::Leaf(leaf) => {
                // What is signed may have the lines that are accepted anyway; what is not is given lines for everybody.
                let is_text = is_text(body, if signed { self.bounds.line_max } else { LINE_MAX });
                let encoding = match leaf {
                    _ if signed && is_text => None,
                    _ if is_text && !says_binary => None,
                    Leaf::Text | Leaf::Composite if is_text && body.is_ascii() => Some("7bit"),
                    Leaf::Text | Leaf::Composite if is_text => Some("8bit"),
                    Leaf::Composite => return Err(Unfit::NotEncodable),
                    Leaf::Text | Leaf::Other => Some("base64"),
                };
                self.head(head, encoding, signed)?;
                if encoding == Some("base64") {
                    self.encode(body);
                } else {
                    self.out.extend_from_slice(body);
                }
                Ok(())
            }
        }
    }

    /// The header section, with another encoding where one is given.
    fn head(&mut self, head: &[u8], encoding: Option<&str>, signed: bool) -> Result<(), Unfit> {
        let Some(encoding) = encoding else {
            self.out.extend_from_slice(head);
            return Ok(());
        };
        if signed {
            return Err(Unfit::Signed);
        }
        // A line that is no field ends the section for some readers: what is put behind it they would take for text.
        if fields(head).any(|field| field != b"\r\n" && !is_field(field)) {
            return Err(Unfit::Header);
        }
        self.has_changed = true;
        let mut said = false;
        let mut say = |out: &mut Vec<u8>| {
            if !std::mem::replace(&mut said, true) {
                out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
            }
        };
        for field in fields(head) {
            if is(field, b"content-transfer-encoding") || field == b"\r\n" {
                say(&mut self.out);
            }
            if !is(field, b"content-transfer-encoding") {
                self.out.extend_from_slice(field);
            }
        }
        Ok(())
    }

    /// The line end behind the last line is the delimiter's, or is put there for the whole message.
    fn encode(&mut self, body: &[u8]) {
        for (at, line) in body.chunks(ENCODED_LINE).enumerate() {
            if at > 0 {
                self.out.extend_from_slice(b"\r\n");
            }
            self.out.extend_from_slice(STANDARD.encode(line).as_bytes());
        }
    }
}

/// What a header section says of its body.
struct About {
    kind: Kind,
    /// In lower case; empty without one.
    encoding: Vec<u8>,
}

enum Kind {
    Multipart { boundary: String, is_signed: bool, is_digest: bool },
    Message,
    Leaf(Leaf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Text,
    /// Of several parts, or a message, and nobody can tell them apart.
    Composite,
    Other,
}

impl About {
    fn of(head: &[u8], in_digest: bool, bounds: Bounds) -> Result<Self, Unfit> {
        if head.len() > bounds.header_max {
            return Err(Unfit::Header);
        }
        let encoding = fields(head).find(|field| is(field, b"content-transfer-encoding"));
        let value =
            encoding.and_then(|field| field.splitn(2, |byte| *byte == b':').nth(1)).unwrap_or_default();
        let word = value.trim_ascii().split(|byte| b" \t\r\n(;".contains(byte)).next().unwrap_or_default();
        let typed = fields(head).find(|field| is(field, b"content-type"));
        if typed.is_some_and(|field| field.len() > TYPE_MAX) {
            return Err(Unfit::Header);
        }
        let parsed = typed.and_then(|field| MessageParser::new().with_mime_headers().parse_headers(field));
        let found = parsed.as_ref().and_then(|message| message.content_type());
        let kind = match found {
            None if in_digest => Kind::Message,
            None => Kind::Leaf(Leaf::Text),
            Some(found) => {
                let subtype = found.subtype().unwrap_or_default().to_ascii_lowercase();
                match (found.ctype().to_ascii_lowercase().as_str(), found.attribute("boundary")) {
                    ("multipart", Some(boundary)) if !boundary.is_empty() => Kind::Multipart {
                        boundary: boundary.to_owned(),
                        is_signed: subtype == "signed",
                        is_digest: subtype == "digest",
                    },
                    ("message", _) if ["rfc822", "global"].contains(&subtype.as_str()) => Kind::Message,
                    ("message" | "multipart", _) => Kind::Leaf(Leaf::Composite),
                    ("text", _) => Kind::Leaf(Leaf::Text),
                    _ => Kind::Leaf(Leaf::Other),
                }
            }
        };
        Ok(Self { kind, encoding: word.to_ascii_lowercase() })
    }
}

/// The header section with the empty line behind it, and the body.
fn parts_of(octets: &[u8]) -> (&[u8], &[u8]) {
    let end = if octets.starts_with(b"\r\n") {
        2
    } else {
        memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |at| at + 4)
    };
    octets.split_at_checked(end).unwrap_or((octets, &[]))
}

/// Fields with their folded lines; the empty line at the end is one of its own.
fn fields(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let line = rest.get(end..).unwrap_or_default();
            let Some(at) = memmem::find(line, b"\r\n") else {
                end = rest.len();
                break;
            };
            end += at + 2;
            if !matches!(rest.get(end), Some(b' ' | b'\t')) || rest.get(..end) == Some(b"\r\n") {
                break;
            }
        }
        let (field, behind) = rest.split_at_checked(end)?;
        rest = behind;
        (!field.is_empty()).then_some(field)
    })
}

fn is(field: &[u8], name: &[u8]) -> bool {
    let found = field.split(|byte| *byte == b':').next().unwrap_or_default();
    found.trim_ascii_end().eq_ignore_ascii_case(name)
}

/// `field-name *WSP ":"` (RFC 5322 §3.6.8, §4.5)
fn is_field(field: &[u8]) -> bool {
    let Some(colon) = field.iter().position(|byte| *byte == b':') else { return false };
    let name = field.get(..colon).unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

fn is_text(body: &[u8], line_max: usize) -> bool {
    let mut line = 0;
    let mut rest = body;
    while let Some(at) = memchr3(b'\r', b'\n', 0, rest) {
        let behind = rest.get(at..).unwrap_or_default();
        if line + at > line_max || !behind.starts_with(b"\r\n") {
            return false;
        }
        line = 0;
        rest = behind.get(2..).unwrap_or_default();
    }
    line += rest.len();
    line <= line_max
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// Delimiters, and what is before the first and behind the last.
    Between,
    Entity,
}

/// Takes a multipart apart.
///
/// ```abnf
/// delimiter       = [ CRLF ] "--" boundary *WSP CRLF          ; RFC 2046 §5.1.1
/// close-delimiter = [ CRLF ] "--" boundary "--" *WSP ( CRLF / end )
/// ```
fn split(body: &[u8], boundary: &[u8]) -> Vec<(Piece, Range<usize>)> {
    let dashed = [b"--", boundary].concat();
    let mut pieces = Vec::new();
    let (mut piece, mut from) = (Piece::Between, 0);
    for at in memmem::find_iter(body, &dashed) {
        if pieces.len() > 2 * ENTITIES_MAX {
            // Too many, as whoever counts them says.
            break;
        }
        let before = body.get(from..at).unwrap_or_default();
        if at < from || !(before.ends_with(b"\r\n") || at == from) {
            continue;
        }
        let behind = body.get(at + dashed.len()..).unwrap_or_default();
        let closes = behind.starts_with(b"--");
        let line = behind.get(if closes { 2 } else { 0 }..).unwrap_or_default();
        let padding = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let end = match line.get(padding..) {
            Some(rest) if rest.starts_with(b"\r\n") => padding + 2,
            Some([]) => padding,
            _ => continue,
        };
        let delimiter_end = at + dashed.len() + if closes { 2 } else { 0 } + end;
        if piece == Piece::Entity {
            // The line end before a delimiter belongs to it.
            let entity_end = if at > from { at - 2 } else { at };
            pieces.push((piece, from..entity_end));
            (piece, from) = (Piece::Between, entity_end);
        }
        if closes {
            break;
        }
        pieces.push((piece, from..delimiter_end));
        (piece, from) = (Piece::Entity, delimiter_end);
    }
    pieces.push((piece, from..body.len()));
    pieces
}

/// Converts arbitrary octets: whatever has lines comes out with lines, and nothing is lost between two parts.
pub(crate) fn fuzz(input: &[u8]) {
    let bounds = Bounds { header_max: 4096, line_max: 2000 };
    if let Ok(text) = to_text(input, bounds) {
        assert!(!is_text(input, 2000) || is_text(&text, 2000), "lines became none");
        // What was put into a header section may have made it too large.
        if let Ok(again) = to_text(&text, Bounds { header_max: 8192, ..bounds }) {
            assert_eq!(again, text, "what is text stays as it is");
        }
    }
    let pieces = split(input, b"b");
    assert_eq!(
        pieces.iter().map(|(_, place)| place.len()).sum::<usize>(),
        input.len(),
        "pieces are the whole"
    );
}

#[cfg(test)]
mod tests;
