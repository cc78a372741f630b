//! The first words of a message, for lists.

use mail_parser::DateTime;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

use super::{Part, PartKind};

/// Characters shown.
const LENGTH: usize = 200;
/// Octets of the body that are decoded for it.
const SOURCE: u64 = 8 << 10;
/// HTML has its words later.
const HTML_SOURCE: u64 = 64 << 10;

/// The Date field in seconds since 1970.
pub(super) fn seconds(date: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(date.get(..date.len().min(200))?).ok()?;
    DateTime::parse_rfc822(text).filter(DateTime::is_valid).map(|date| date.to_timestamp())
}

/// At most 200 characters of the first plain text, else of the first HTML.
pub(super) fn of(content: &[u8], structure: &Part) -> String {
    let plain = find(structure, b"plain");
    let (part, html) = match plain {
        Some(part) => (part, false),
        None => match find(structure, b"html") {
            Some(part) => (part, true),
            None => return String::new(),
        },
    };
    let source = if html { HTML_SOURCE } else { SOURCE };
    let range = index(part.body_start)..index(part.end.min(part.body_start.saturating_add(source)));
    let text = decode(content.get(range).unwrap_or_default(), part);
    let text = if html { html_to_text(&text) } else { text };
    let mut preview = String::new();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    for word in words.take(LENGTH) {
        if !preview.is_empty() {
            preview.push(' ');
        }
        preview.push_str(word);
        if preview.len() > 4 * LENGTH {
            break;
        }
    }
    preview.chars().take(LENGTH).collect()
}

fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// The first text part of that subtype that is not an attachment; not inside attached messages.
fn find<'a>(part: &'a Part, subtype: &[u8]) -> Option<&'a Part> {
    match &part.kind {
        PartKind::Leaf => {
            let attached =
                part.disposition.as_ref().is_some_and(|(word, _)| word.eq_ignore_ascii_case(b"attachment"));
            let wanted = part.media_type.eq_ignore_ascii_case(b"text")
                && part.media_subtype.eq_ignore_ascii_case(subtype);
            (wanted && !attached).then_some(part)
        }
        PartKind::Multipart(parts) => parts.iter().find_map(|inner| find(inner, subtype)),
        PartKind::Message(_) => None,
    }
}

fn decode(body: &[u8], part: &Part) -> String {
    let encoding = part.encoding.to_ascii_lowercase();
    let decoded = match encoding.as_slice() {
        b"base64" => {
            let mut digits: Vec<u8> = body
                .iter()
                .copied()
                .filter(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
                .collect();
            match digits.len() % 4 {
                0 => {}
                1 => drop(digits.pop()),
                used => digits.extend(std::iter::repeat_n(b'=', 4 - used)),
            }
            base64_decode(&digits)
        }
        b"quoted-printable" => quoted_printable_decode(body),
        _ => None,
    };
    let bytes = decoded.as_deref().unwrap_or(body);
    let charset = part.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"charset"));
    let is_unicode = charset.is_none_or(|(_, charset)| {
        charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"us-ascii")
    });
    match charset.and_then(|(_, charset)| charset_decoder(charset)) {
        Some(decoder) if !is_unicode => decoder(bytes),
        _ => String::from_utf8_lossy(bytes).trim_end_matches('\u{fffd}').to_owned(),
    }
}
