//! Where the library takes too much, or counts wrongly, and what is done about it before and after it looks.
//!
//! - Tags: it takes signatures in which a tag stands twice, has no name, is missing (`v=`, `a=`) or is no number, and unknown ways to ask (`q=`). RFC 6376
//!   §3.2 and §3.5 do not.
//! - ARC (RFC 8617 §4.1): the same, SHA-1, and a chain of which the signatures are gone is no chain to it instead of a broken one.
//! - Keys: it takes keys for other things than mail (`s=`), for other hashes (`h=`) and with a late `v=` (RFC 6376 §3.6.1).
//! - Bodies: with relaxed canonicalisation it minds lines of white space at the end, which RFC 6376 §3.4.4 ignores.

use mail_auth::arc::ArcError;
use mail_auth::common::headers::Header;
use mail_auth::dkim::Canonicalization;
use mail_auth::{AuthenticatedMessage, Error};

/// Name and value of each tag.
pub(super) type Tags<'a> = Vec<(&'a str, &'a str)>;

/// Sorts out what the library should not have taken, and counts again what it counted wrongly. Says how many DKIM signatures went.
pub(super) fn settle(message: &mut AuthenticatedMessage<'_>) -> usize {
    let signatures = message.dkim_headers.len();
    message.dkim_headers.retain(|one| is_signature(one.value));
    let sets = [message.as_headers.len(), message.ams_headers.len(), message.aar_headers.len()];
    let whole = message.ams_headers.iter().all(|one| is_arc_signature(one.value))
        && message.as_headers.iter().all(|one| is_seal(one.value))
        && sets.iter().all(|count| *count == message.ams_headers.len());
    if !whole && !message.has_arc_errors {
        message.has_arc_errors = true;
        message.errors.push(Header::new(b"", b"", Error::Arc(ArcError::BrokenChain)));
    }
    count_again(message);
    signatures - message.dkim_headers.len()
}

/// The tags of a key that may be used for signatures of mail that hash with SHA-256, the only ones that count (RFC 6376 §3.6.1, RFC 8301 §3.1).
pub(super) fn usable_key(record: &[u8]) -> Option<Tags<'_>> {
    let tags = tags(record)?;
    let first = tags.first().copied();
    let version = find(&tags, "v").is_none_or(|version| first == Some(("v", version)) && version == "DKIM1");
    let list = |name: &str, wanted: &[&str]| {
        find(&tags, name).is_none_or(|list| list.split(':').any(|one| wanted.contains(&one.trim())))
    };
    (version && list("s", &["*", "email"]) && list("h", &["sha256"])).then_some(tags)
}

fn is_signature(value: &[u8]) -> bool {
    let Some(tags) = tags(value) else { return false };
    let asks = find(&tags, "q").is_none_or(|ways| ways.split(':').any(|way| way.trim() == "dns/txt"));
    has_all(&tags, &["v", "a", "b", "bh", "d", "h", "s"])
        && find(&tags, "v") == Some("1")
        && are_numbers(&tags, &["t", "x", "l"])
        && asks
}

fn is_arc_signature(value: &[u8]) -> bool {
    tags(value).is_some_and(|tags| {
        has_all(&tags, &["i", "a", "b", "bh", "d", "h", "s"])
            && are_numbers(&tags, &["i", "t", "x"])
            && is_safe(&tags)
    })
}

fn is_seal(value: &[u8]) -> bool {
    tags(value).is_some_and(|tags| {
        has_all(&tags, &["i", "a", "b", "cv", "d", "s"])
            && are_numbers(&tags, &["i", "t"])
            && is_safe(&tags)
            && find(&tags, "h").is_none()
    })
}

fn is_safe(tags: &[(&str, &str)]) -> bool {
    find(tags, "a")
        .is_some_and(|name| matches!(name.to_ascii_lowercase().as_str(), "rsa-sha256" | "ed25519-sha256"))
}

pub(super) fn find<'a>(tags: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    tags.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
}

fn has_all(tags: &[(&str, &str)], names: &[&str]) -> bool {
    names.iter().all(|name| find(tags, name).is_some_and(|value| !value.is_empty()))
}

fn are_numbers(tags: &[(&str, &str)], names: &[&str]) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    names.iter().filter_map(|name| find(tags, name)).all(number)
}

/// Takes a list of tags apart; `None` if it is none, or has a tag twice.
///
/// ```abnf
/// tag-list  = tag-spec *( ";" tag-spec ) [ ";" ]          ; RFC 6376 §3.2
/// tag-spec  = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
/// tag-name  = ALPHA *ALNUMPUNC
/// ```
fn tags(list: &[u8]) -> Option<Tags<'_>> {
    let list = std::str::from_utf8(list).ok()?.trim_matches(BLANK);
    let list = list.strip_suffix(';').unwrap_or(list);
    let mut tags = Tags::new();
    for spec in list.split(';') {
        let (name, value) = spec.split_once('=')?;
        let (name, value) = (name.trim_matches(BLANK), value.trim_matches(BLANK));
        let inner = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(inner);
        if !is_name || tags.len() >= TAGS_MAX || find(&tags, name).is_some() {
            return None;
        }
        tags.push((name, value));
    }
    Some(tags)
}

const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];
/// Tags of one list: there are fifteen that mean something, and each is compared with those before it.
const TAGS_MAX: usize = 64;

/// Hashes relaxed bodies without the lines of white space at their end.
fn count_again(message: &mut AuthenticatedMessage<'_>) {
    let begin = usize::try_from(message.body_offset).unwrap_or(usize::MAX);
    let Some(body) = message.raw_message.get(begin..) else { return };
    let end = without_blank_lines(body);
    let is_relaxed = |kind: Canonicalization| kind == Canonicalization::Relaxed;
    let cut = body.get(end..).unwrap_or_default();
    let blank = cut.iter().any(|octet| matches!(octet, b' ' | b'\t'));
    if !blank || !message.body_hashes.iter().any(|(kind, ..)| is_relaxed(*kind)) {
        return;
    }
    // What is left is a message too, at its beginning.
    let shorter = message.raw_message.get(..begin + end).unwrap_or_default();
    let Some(shorter) = AuthenticatedMessage::parse_with_opts(shorter, None, true) else { return };
    for (kind, digest, length, hash) in message.body_hashes.iter_mut().filter(|(kind, ..)| is_relaxed(*kind))
    {
        let same = shorter.body_hashes.iter().find(|(k, d, l, _)| k == kind && d == digest && l == length);
        if let Some((.., right)) = same {
            hash.clone_from(right);
        }
    }
}

/// Where the last line ends that is more than white space.
fn without_blank_lines(body: &[u8]) -> usize {
    let mut end = body.len();
    while end > 0 {
        let line = body.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let text = line.len() - line.iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        let front = line.get(..text).unwrap_or_default();
        if !front.is_empty() && !front.ends_with(b"\r\n") {
            return end;
        }
        end = text;
    }
    0
}

/// Reads the octets as a list of tags, as each kind of signed field, and as a body: what is taken reads the same again, and the end of a body is found once.
pub(crate) fn fuzz(input: &[u8]) {
    if let Some(found) = tags(input) {
        let again: String = found.iter().map(|(name, value)| format!("{name}={value};")).collect();
        assert_eq!(tags(again.as_bytes()), Some(found));
    }
    let end = without_blank_lines(input);
    let kept = input.get(..end).unwrap_or_default();
    assert_eq!(without_blank_lines(kept), end);
    assert!(input.get(end..).is_some_and(|cut| cut.iter().all(u8::is_ascii_whitespace)));
    for name in ["DKIM-Signature", "ARC-Seal", "ARC-Message-Signature"] {
        let message = [name.as_bytes(), b": ", input, b"\r\nFrom: a@b.test\r\n\r\n", input].concat();
        let Some(mut parsed) = AuthenticatedMessage::parse_with_opts(&message, None, true) else { continue };
        let hashes = parsed.body_hashes.len();
        let signatures = parsed.dkim_headers.len();
        let gone = settle(&mut parsed);
        assert_eq!(parsed.dkim_headers.len() + gone, signatures);
        assert!(parsed.dkim_headers.iter().all(|one| is_signature(one.value)));
        let chain =
            parsed.as_headers.is_empty() && parsed.ams_headers.is_empty() && parsed.aar_headers.is_empty();
        assert!(chain || parsed.has_arc_errors, "one field is no set");
        assert_eq!(parsed.body_hashes.len(), hashes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_for_octets(input: Vec<u8>) {
            fuzz(&input);
        }

        #[test]
        fn holds_for_tags(input in "( |\t|\r\n )?((v=1|i=1|a=rsa-sha256|b=AAAA|bh=AAAA|c=relaxed/relaxed|d=a.test|s=s|h=from|t=1|l=1|cv=none|[a-z_]{0,2} ?= ?[a-z=]{0,3});?( |\r\n\t)?){0,12}") {
            fuzz(input.as_bytes());
        }

        #[test]
        fn holds_for_bodies(input in "([a ]|\t|\r\n|\r|\n){0,12}") {
            fuzz(input.as_bytes());
        }
    }

    #[test]
    fn lists_of_tags() {
        let check = |list: &str, expected: Option<&[(&str, &str)]>| {
            assert_eq!(tags(list.as_bytes()).as_deref(), expected, "{list}");
        };
        check("a=b", Some(&[("a", "b")]));
        check(" a =\r\n\t b c ; d=; e_1=f=g;\r\n", Some(&[("a", "b c"), ("d", ""), ("e_1", "f=g")]));
        check("a=b;A=c", Some(&[("a", "b"), ("A", "c")]));
        check("", None);
        check("a", None);
        check("=b", None);
        check("a=b;;c=d", None);
        check("a=b;;", None);
        check("a=b;a=c", None);
        check("1a=b", None);
        check("a-b=c", None);
        check("a b=c", None);
        let many = |count: usize| (0..count).map(|at| format!("t{at}=x;")).collect::<String>();
        assert_eq!(tags(many(63).as_bytes()).map(|tags| tags.len()), Some(63));
        assert_eq!(tags(many(64).as_bytes()).map(|tags| tags.len()), Some(64));
        assert_eq!(tags(many(65).as_bytes()), None);
    }

    #[test]
    fn keys() {
        let check = |record: &str, expected: bool| {
            assert_eq!(usable_key(record.as_bytes()).is_some(), expected, "{record}")
        };
        check("v=DKIM1; p=x", true);
        check("p=x", true);
        check("v=DKIM1; s=email; h=sha1 : sha256; p=x;", true);
        check("s=web:*; p=x", true);
        check("s=web; p=x", false);
        check("h=sha1; p=x", false);
        check("p=x; v=DKIM1", false);
        check("p=x; p=y", false);
        check("v=spf1 -all", false);
    }

    #[test]
    fn ends_of_bodies() {
        let check = |body: &str, expected: &str| {
            assert_eq!(body.get(..without_blank_lines(body.as_bytes())), Some(expected), "{body:?}");
        };
        check("", "");
        check("\r\n", "");
        check(" ", "");
        check(" \r\n\t\r\n", "");
        check("a", "a");
        check("a \t", "a \t");
        check("a\r\n", "a\r\n");
        check("a \r\n", "a \r\n");
        check("a\r\n \t", "a\r\n");
        check("a\r\n \t\r\n", "a\r\n");
        check("a\r\n\r\n \r\n\r\n", "a\r\n");
        check("a\r\n \r\nb\r\n \r\n", "a\r\n \r\nb\r\n");
        check("a\n \r\n", "a\n \r\n");
    }
}
