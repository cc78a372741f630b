//! From octets on the wire to text to search in, in lower case.

use bytes::Bytes;
use std::borrow::Cow;

use imap_proto::Date;
use mail_parser::DateTime;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::parsers::MessageStream;
use store::Part;

/// A header's value: unfolded, encoded words (RFC 2047) decoded, lower case.
pub(super) fn folded(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    push_folded(value, &mut text);
    text
}

/// As [`folded`], at the end of a text.
pub(super) fn push_folded(value: &[u8], text: &mut String) {
    let from = text.len();
    push_decoded(value, text);
    let added = text.get_mut(from..).unwrap_or_default();
    if added.is_ascii() {
        added.make_ascii_lowercase();
    } else {
        let lower = added.to_lowercase();
        text.truncate(from);
        text.push_str(&lower);
    }
}

fn push_decoded(value: &[u8], text: &mut String) {
    let mut rest = value;
    let mut after_word = false;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at(at);
        let decoded = word_at(word);
        // RFC 2047 §6.2: white space between two encoded words is no text.
        if !(after_word && decoded.is_some() && before.iter().all(u8::is_ascii_whitespace)) {
            push_plain(before, text);
        }
        match decoded {
            Some((decoded, length)) => {
                text.push_str(&decoded);
                rest = word.get(length..).unwrap_or_default();
                after_word = true;
            }
            None => {
                text.push_str("=?");
                rest = word.get(2..).unwrap_or_default();
                after_word = false;
            }
        }
    }
    push_plain(rest, text);
}

/// The encoded word at the beginning of `octets`, and its length.
fn word_at(octets: &[u8]) -> Option<(String, usize)> {
    /// RFC 2047 §2 says 75; real ones are longer.
    const WORD_MAX: usize = 1024;
    let bounded = octets.get(1..octets.len().min(WORD_MAX))?;
    let mut stream = MessageStream::new(bounded);
    let text = stream.decode_rfc2047()?;
    Some((text, stream.offset() + 1))
}

/// The day that a Date field names, in days since 1970, whatever its time and zone (RFC 3501 §6.4.4).
pub(super) fn day(date: &[u8]) -> Option<i64> {
    /// What is behind is no date.
    const DATE_MAX: usize = 200;
    let text = std::str::from_utf8(date.get(..date.len().min(DATE_MAX))?).ok()?;
    let date = DateTime::parse_rfc822(text).filter(DateTime::is_valid)?;
    Some(Date::new(date.year, date.month, date.day)?.unix_days())
}

/// Text as it stands, line ends left out.
fn push_plain(octets: &[u8], text: &mut String) {
    for line in octets.split(|octet| matches!(octet, b'\r' | b'\n')) {
        text.push_str(&String::from_utf8_lossy(line));
    }
}

/// A text part's body, decoded, in lower case.
pub(super) fn text(part: &Part, body: &[u8]) -> String {
    let octets = transfer_decoded(&part.encoding, body);
    let charset = part.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"charset"));
    let decoder = charset.and_then(|(_, charset)| charset_decoder(charset));
    match decoder {
        // What is UTF-8 needs no decoder, and what claims less may be more.
        Some(decode) if std::str::from_utf8(&octets).is_err() || !is_utf8_like(charset) => {
            decode(&octets).to_lowercase()
        }
        _ => String::from_utf8_lossy(&octets).to_lowercase(),
    }
}

fn is_utf8_like(charset: Option<&(Bytes, Bytes)>) -> bool {
    charset
        .is_none_or(|(_, name)| name.eq_ignore_ascii_case(b"utf-8") || name.eq_ignore_ascii_case(b"us-ascii"))
}

fn transfer_decoded<'a>(encoding: &[u8], body: &'a [u8]) -> Cow<'a, [u8]> {
    let decoded = if encoding.eq_ignore_ascii_case(b"base64") {
        base64_decode(body)
    } else if encoding.eq_ignore_ascii_case(b"quoted-printable") {
        quoted_printable_decode(body)
    } else {
        None
    };
    decoded.map_or(Cow::Borrowed(body), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words() {
        for (value, expected) in [
            ("Hello World", "hello world"),
            ("=?UTF-8?Q?Gr=C3=BC=C3=9Fe?= aus", "grüße aus"),
            ("=?utf-8?b?w4Q=?= =?utf-8?b?w5Y=?=", "äö"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("folded\r\n line", "folded line"),
            ("=?broken", "=?broken"),
            ("=?utf-8?x?y?= =?", "=?utf-8?x?y?= =?"),
            ("", ""),
        ] {
            assert_eq!(folded(value.as_bytes()), expected, "{value:?}");
        }
    }
}
