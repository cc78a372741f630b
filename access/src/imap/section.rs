//! Where in a message the text of `BODY[…]` stands (RFC 3501 §6.4.5).

use std::num::NonZeroU32;
use std::ops::Range;

use imap_proto::{Partial, Section, SectionText};
use store::{Part, PartKind, Summary};

/// The place of a section's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// These octets of the message.
    Octets(Range<u64>),
    /// Some fields of the header in these octets.
    Fields {
        /// The header with its empty line.
        header: Range<u64>,
        /// The fields' names.
        names: &'a [String],
        /// Whether the others are meant.
        not: bool,
    },
}

/// Finds a section. None when the message has no such part.
pub(crate) fn locate<'a>(summary: &Summary, section: &'a Section) -> Option<Place<'a>> {
    let root = &summary.structure;
    if section.part.is_empty() {
        return match &section.text {
            SectionText::Everything => Some(Place::Octets(0..root.end)),
            SectionText::Mime => None,
            text => Some(within(root, text)),
        };
    }
    let part = descend(root, &section.part)?;
    match (&section.text, &part.kind) {
        (SectionText::Everything, _) => Some(Place::Octets(part.body_start..part.end)),
        (SectionText::Mime, _) => Some(Place::Octets(part.header_start..part.body_start)),
        (text, PartKind::Message(inner)) => Some(within(&inner.structure, text)),
        _ => None,
    }
}

/// Header or text of a message, whose root part is given.
fn within<'a>(root: &Part, text: &'a SectionText) -> Place<'a> {
    let header = root.header_start..root.body_start;
    match text {
        SectionText::Header | SectionText::Mime => Place::Octets(header),
        SectionText::HeaderFields(names) => Place::Fields { header, names, not: false },
        SectionText::HeaderFieldsNot(names) => Place::Fields { header, names, not: true },
        SectionText::Text => Place::Octets(root.body_start..root.end),
        SectionText::Everything => Place::Octets(root.header_start..root.end),
    }
}

/// Follows part numbers. A message that is no multipart has one part, its body.
fn descend<'a>(root: &'a Part, numbers: &[NonZeroU32]) -> Option<&'a Part> {
    let mut part = root;
    let mut is_root = true;
    for number in numbers {
        let index = number.get() as usize - 1;
        if let (false, PartKind::Message(inner)) = (is_root, &part.kind) {
            part = &inner.structure;
        } else if !is_root && matches!(part.kind, PartKind::Leaf) {
            return None;
        }
        part = match &part.kind {
            PartKind::Multipart(parts) => parts.get(index)?,
            PartKind::Leaf | PartKind::Message(_) if index == 0 => part,
            _ => return None,
        };
        is_root = false;
    }
    Some(part)
}

/// The part of a range that `<offset.length>` asks for.
pub(crate) fn cut(range: &Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range.clone() };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.length.get()).min(range.end)
}

/// The fields of a header that are named, or those that are not, and an empty line.
pub(crate) fn fields(header: &[u8], names: &[String], not: bool) -> Vec<u8> {
    let mut result = Vec::new();
    let mut keep = false;
    for line in header.split_inclusive(|octet| *octet == b'\n') {
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let end = memchr::memchr(b':', line).unwrap_or(0);
            let name = line.get(..end).unwrap_or_default().trim_ascii_end();
            keep = names.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name)) != not;
        }
        if keep {
            result.extend_from_slice(line);
        }
    }
    result.extend_from_slice(b"\r\n");
    result
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::Fields;

    use super::*;

    fn part(header_start: u64, body_start: u64, end: u64, kind: PartKind) -> Part {
        Part {
            media_type: Bytes::from_static(b"TEXT"),
            media_subtype: Bytes::from_static(b"PLAIN"),
            parameters: Vec::new(),
            id: None,
            description: None,
            encoding: Bytes::from_static(b"7BIT"),
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
            header_start,
            body_start,
            end,
            lines: 0,
            kind,
        }
    }

    fn summary(structure: Part) -> Summary {
        Summary { fields: Fields::default(), preview: String::new(), structure }
    }

    /// RFC 3501 §6.4.5's example in small: 1 text, 2 a message with two parts of its own.
    fn example() -> Summary {
        let inner = summary(part(
            60,
            70,
            100,
            PartKind::Multipart(vec![part(72, 75, 80, PartKind::Leaf), part(82, 85, 98, PartKind::Leaf)]),
        ));
        summary(part(
            0,
            10,
            110,
            PartKind::Multipart(vec![
                part(12, 15, 40, PartKind::Leaf),
                part(42, 60, 100, PartKind::Message(Box::new(inner))),
            ]),
        ))
    }

    fn check(summary: &Summary, numbers: &[u32], text: SectionText, expected: Option<Range<u64>>) {
        let part = numbers.iter().filter_map(|number| NonZeroU32::new(*number)).collect();
        let section = Section { part, text };
        assert_eq!(locate(summary, &section), expected.map(Place::Octets), "{section}");
    }

    #[test]
    fn sections() {
        let message = example();
        check(&message, &[], SectionText::Everything, Some(0..110));
        check(&message, &[], SectionText::Header, Some(0..10));
        check(&message, &[], SectionText::Text, Some(10..110));
        check(&message, &[], SectionText::Mime, None);
        check(&message, &[1], SectionText::Everything, Some(15..40));
        check(&message, &[1], SectionText::Mime, Some(12..15));
        check(&message, &[1], SectionText::Header, None);
        check(&message, &[1, 1], SectionText::Everything, None);
        check(&message, &[2], SectionText::Everything, Some(60..100));
        check(&message, &[2], SectionText::Header, Some(60..70));
        check(&message, &[2], SectionText::Text, Some(70..100));
        check(&message, &[2, 2], SectionText::Everything, Some(85..98));
        check(&message, &[2, 2], SectionText::Mime, Some(82..85));
        check(&message, &[2, 3], SectionText::Everything, None);
        check(&message, &[3], SectionText::Everything, None);
        check(&message, &[1; 10_000], SectionText::Everything, None);
    }

    #[test]
    fn one_part_messages() {
        let message = summary(part(0, 10, 50, PartKind::Leaf));
        check(&message, &[1], SectionText::Everything, Some(10..50));
        check(&message, &[1], SectionText::Mime, Some(0..10));
        check(&message, &[2], SectionText::Everything, None);
        check(&message, &[1, 1], SectionText::Everything, None);
        let inner = summary(part(10, 20, 50, PartKind::Leaf));
        let message = summary(part(0, 10, 50, PartKind::Message(Box::new(inner))));
        check(&message, &[1], SectionText::Everything, Some(10..50));
        check(&message, &[1], SectionText::Header, Some(10..20));
        check(&message, &[1, 1], SectionText::Everything, Some(20..50));
        check(&message, &[1, 1, 1], SectionText::Everything, None);
    }

    #[test]
    fn partial_ranges() {
        let check = |offset, length: u64, expected| {
            let partial = Partial { offset, length: length.try_into().unwrap() };
            assert_eq!(cut(&(10..20), Some(partial)), expected);
        };
        check(0, 5, 10..15);
        check(5, 50, 15..20);
        check(10, 1, 20..20);
        check(u64::MAX, u64::MAX, 20..20);
        assert_eq!(cut(&(3..4), None), 3..4);
    }

    #[test]
    fn header_fields() {
        let header = b"From: a\r\nSUBJECT: b\r\n c\r\nTo : d\r\nbroken\r\n\r\n";
        let check = |names: &[&str], not, expected: &str| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(String::from_utf8(fields(header, &names, not)).unwrap(), expected);
        };
        check(&["subject", "TO"], false, "SUBJECT: b\r\n c\r\nTo : d\r\n\r\n");
        check(&["subject"], true, "From: a\r\nTo : d\r\nbroken\r\n\r\n");
        check(&["x"], false, "\r\n");
        check(&[], true, "From: a\r\nSUBJECT: b\r\n c\r\nTo : d\r\nbroken\r\n\r\n");
        assert_eq!(fields(b"", &[], true), b"\r\n");
    }
}
