//! All parts of a message, those of messages within it as well, and whether programs may take it apart differently.
//!
//! A forwarded message is one attachment to whoever lists the parts, and what it holds is one click away: rules look into it.

use mail_parser::{HeaderName, HeaderValue, Message, MessagePart, MimeHeaders as _, PartType};

use super::names::extension;

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

pub(super) fn parts<'m>(message: Option<&'m Message<'m>>) -> Walk<'m> {
    Walk { open: message.map(|message| (message, 0)).into_iter().collect() }
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
pub(super) fn is_ambiguous(message: &Message<'_>) -> bool {
    parts(Some(message)).any(|place| is_part_ambiguous(place.part))
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
        || names_differ(part)
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

/// Whether `filename` and `name` would open with different programs (RFC 2183 §2.3, RFC 2045 §5.1).
fn names_differ(part: &MessagePart<'_>) -> bool {
    let of_disposition = part.content_disposition().and_then(|field| field.attribute("filename"));
    let of_type = part.content_type().and_then(|field| field.attribute("name"));
    match (of_disposition, of_type) {
        (Some(one), Some(other)) => extension(one) != extension(other),
        _ => false,
    }
}
