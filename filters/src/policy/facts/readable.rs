//! The parts that somebody reads as text or as a page, whatever type they are declared to have.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mail_parser::{Encoding, Message, MessagePart, MimeHeaders as _, PartType};

use super::names::{self, extension};
use super::walk::{self, Place};

/// Names of files that a browser opens.
const PAGES: &[&str] = &["hta", "htm", "html", "mht", "mhtml", "shtml", "svg", "xht", "xhtml", "xml"];
/// Names of files that are text.
const TEXTS: &[&str] = &["csv", "eml", "ics", "json", "log", "md", "tab", "tsv", "txt", "vcf", "yaml", "yml"];

/// What is read.
#[derive(Debug)]
pub(super) enum Readable<'m> {
    Text(Cow<'m, str>),
    Page(Cow<'m, str>),
}

pub(super) fn is_page(extension: &str) -> bool {
    PAGES.contains(&extension)
}

/// A part as text, if it is one.
pub(super) fn of<'m>(place: Place<'m>) -> Option<Readable<'m>> {
    let Place { message, part } = place;
    let page = part.content_type().is_some_and(|kind| {
        kind.subtype().is_some_and(|subtype| subtype.to_ascii_lowercase().contains("html"))
    });
    let extension = || extension(&names::of_part(message, part));
    match &part.body {
        PartType::Multipart(_) | PartType::Message(_) => None,
        PartType::Html(body) => Some(Readable::Page(without_nulls(body))),
        PartType::Text(body) => Some(match decoded_leniently(message, part) {
            Some(octets) => {
                let text = Cow::Owned(String::from_utf8_lossy(&octets).replace('\0', ""));
                if page || is_page(&extension()) { Readable::Page(text) } else { Readable::Text(text) }
            }
            None => Readable::Text(without_nulls(body)),
        }),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => {
            let extension = extension();
            let text = || match String::from_utf8_lossy(octets) {
                Cow::Borrowed(text) => without_nulls(text),
                Cow::Owned(text) => Cow::Owned(text.replace('\0', "")),
            };
            // Parts without a boundary: nobody can take them apart, and some readers show what is there.
            let undivided =
                part.content_type().is_some_and(|kind| kind.ctype().eq_ignore_ascii_case("multipart"));
            if page || is_page(&extension) {
                Some(Readable::Page(text()))
            } else {
                (undivided || TEXTS.contains(&extension.as_str())).then(|| Readable::Text(text()))
            }
        }
    }
}

/// A page in UTF-16 that does not say so has a null beside each letter; browsers know it by its first octets, and older ones skip nulls anywhere.
fn without_nulls(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) }
}

/// What a program makes of base64 that skips what is no letter of it (RFC 2045 §6.8 says that it must); ours gives such a part as it stands.
pub(super) fn decoded_leniently(message: &Message<'_>, part: &MessagePart<'_>) -> Option<Vec<u8>> {
    if part.encoding == Encoding::Base64 || !walk::declares(part, "base64") {
        return None;
    }
    let raw = message.raw_message.get(part.raw_body_offset() as usize..part.raw_end_offset() as usize)?;
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let letters: Vec<u8> = raw.iter().copied().filter(letter).collect();
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let whole = letters.len() - usize::from(letters.len() % 4 == 1);
    GeneralPurpose::new(&STANDARD, config).decode(letters.get(..whole)?).ok()
}
