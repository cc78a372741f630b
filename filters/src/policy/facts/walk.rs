//! All parts of a message, those of messages within it as well, and whether programs may take it apart differently.
//!
//! A forwarded message is one attachment to whoever lists the parts, and what it holds is one click away: rules look into it.

use mail_parser::{HeaderName, HeaderValue, Message, MessagePart, MimeHeaders as _, PartType};

use super::names;
use crate::fields::Field;

/// A part and the message that it stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'m> {
    pub(super) message: &'m Message<'m>,
    pub(super) part: &'m MessagePart<'m>,
}

/// Walks the parts in their order, a message's own behind the part that holds it. Without recursion: the sender says how deep it goes.
pub(super) struct Walk<'m> {
    open: Vec<(&'m Message<'m>, usize)>,
}

pub(super) fn parts<'m>(readings: &'m [Message<'m>]) -> Walk<'m> {
    Walk { open: readings.iter().rev().map(|message| (message, 0)).collect() }
}

/// The message as a program takes it for which the first of several fields counts, as it does for our IMAP; for our parser, and so for our webmail, the last
/// one does. `None` when there are not several.
pub(super) fn otherwise(message: &[u8], fields: &[Field<'_>]) -> Option<Vec<u8>> {
    let names: [&[u8]; 2] = [b"content-type", b"content-transfer-encoding"];
    let first = |name: &[u8]| fields.iter().position(|field| field.is(name));
    let again =
        |(at, field): (usize, &Field<'_>)| names.iter().any(|name| field.is(name) && first(name) != Some(at));
    if !fields.iter().enumerate().any(again) {
        return None;
    }
    let header: usize = fields.iter().map(|field| field.octets.len()).sum();
    let kept = fields.iter().enumerate().filter(|(at, field)| !again((*at, *field)));
    let mut out: Vec<u8> = kept.flat_map(|(_, field)| field.octets).copied().collect();
    out.extend(message.get(header..).unwrap_or_default());
    Some(out)
}

impl<'m> Iterator for Walk<'m> {
    type Item = Place<'m>;

    fn next(&mut self) -> Option<Place<'m>> {
        loop {
            let (message, at) = self.open.last_mut()?;
            let message = *message;
            let Some(part) = message.parts.get(*at) else {
                self.open.pop();
                continue;
            };
            *at += 1;
            if let PartType::Message(inner) = &part.body {
                self.open.push((inner, 0));
            }
            return Some(Place { message, part });
        }
    }
}

/// Whether a field that says what a part is stands there twice, a name ends in two ways, or the content is not what the fields promise: one program shows a
/// text where another one opens a file.
pub(super) fn is_ambiguous<'m>(readings: &'m [Message<'m>]) -> bool {
    parts(readings).any(|place| is_part_ambiguous(place.part))
}

fn is_part_ambiguous(part: &MessagePart<'_>) -> bool {
    let fields =
        [HeaderName::ContentType, HeaderName::ContentTransferEncoding, HeaderName::ContentDisposition];
    let twice = |name: &HeaderName<'_>| part.headers.iter().filter(|field| field.name == *name).count() > 1;
    let multipart = part.content_type().is_some_and(|kind| kind.ctype().eq_ignore_ascii_case("multipart"));
    let encoded = declares(part, "base64") || declares(part, "quoted-printable");
    fields.iter().any(twice)
        || multipart && !matches!(part.body, PartType::Multipart(_)) && !part.is_empty()
        || encoded && (part.is_encoding_problem || part.encoding == mail_parser::Encoding::None)
        || names::differ(part)
}

/// Whether one of its Content-Transfer-Encoding fields holds the word.
pub(super) fn declares(part: &MessagePart<'_>, encoding: &str) -> bool {
    let fields = part.headers.iter().filter(|field| field.name == HeaderName::ContentTransferEncoding);
    fields
        .filter_map(|field| match &field.value {
            HeaderValue::Text(text) => Some(text.as_ref()),
            _ => None,
        })
        .any(|text| text.to_ascii_lowercase().contains(encoding))
}
