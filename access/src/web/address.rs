//! People: the words of the To field, and the raw addresses of a summary, in readable form.

use bytes::Bytes;
use std::fmt;

use envelope::Address;
use mail_parser::MessageParser;
use store::MailAddress;

use super::download::is_deceptive;

/// A name and an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: Option<String>,
    pub(super) address: Address,
}

impl fmt::Display for Person {
    /// As it stands in the To field; [`People::read`] reads it back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => write!(f, "{}", self.address),
            Some(name) if name.chars().all(|c| c.is_alphanumeric() || " -_'.".contains(c)) => {
                write!(f, "{name} <{}>", self.address)
            }
            Some(name) => {
                let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{quoted}\" <{}>", self.address)
            }
        }
    }
}

/// What stands in a field such as To.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct People {
    pub(super) people: Vec<Person>,
    /// Pieces that are no address, as typed: nobody can get them, and a draft keeps them.
    pub(super) unread: Vec<String>,
}

impl People {
    /// Reads `Name <a@b>, c@d; "E, F" <g@h>`.
    pub(super) fn read(text: &str) -> Self {
        let mut found = Self::default();
        for piece in pieces(text).into_iter().map(str::trim).filter(|piece| !piece.is_empty()) {
            match person(piece) {
                Some(person) => found.people.push(person),
                None => found.unread.push(piece.chars().take(UNREAD_MAX).collect()),
            }
        }
        found
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.people.is_empty() && self.unread.is_empty()
    }
}

/// How much of a piece that is no address is kept, in characters.
const UNREAD_MAX: usize = 200;

/// Joins people for a field.
pub(super) fn join(people: &[Person]) -> String {
    people.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn person(piece: &str) -> Option<Person> {
    let Some((name, rest)) = piece.rsplit_once('<') else {
        return piece.parse().ok().map(|address| Person { name: None, address });
    };
    let address = rest.trim().strip_suffix('>')?.trim().parse().ok()?;
    let name = name.trim();
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => name.to_owned(),
    };
    let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    Some(Person { name: (!name.is_empty()).then_some(name), address })
}

/// Cuts at commas, semicolons and line ends outside quotes.
fn pieces(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' | '\n' | '\r' if !quoted => {
                found.push(text.get(start..index).unwrap_or_default());
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    found.push(text.get(start..).unwrap_or_default());
    found
}

/// An address of a summary as (name or address, address).
pub(super) fn readable(address: &MailAddress) -> Option<(String, String)> {
    let lossy =
        |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let address_text = format!("{}@{}", lossy(&address.mailbox)?, lossy(&address.host)?);
    let address_text: String = address_text.chars().filter(|c| !is_deceptive(*c)).collect();
    let name = address.name.as_deref().map(decode_words).filter(|name| !name.trim().is_empty());
    Some((name.unwrap_or_else(|| address_text.clone()), address_text))
}

/// Decodes the encoded-words of a raw field (RFC 2047) and removes what deceives.
pub(super) fn decode_words(raw: &[u8]) -> String {
    let flat: Vec<u8> =
        raw.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect();
    let decoded = if memchr::memmem::find(&flat, b"=?").is_some() {
        let mut message = b"Subject: ".to_vec();
        message.extend_from_slice(&flat);
        message.extend_from_slice(b"\r\n\r\n");
        MessageParser::new()
            .with_minimal_headers()
            .parse(message.as_slice())
            .and_then(|message| message.subject().map(str::to_owned))
    } else {
        None
    };
    let text = decoded.unwrap_or_else(|| String::from_utf8_lossy(&flat).into_owned());
    let text: String =
        text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !is_deceptive(*c)).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_to_field() {
        let check_both = |input: &str, expected: &[(&str, &str)], unread: &[&str]| {
            let got = People::read(input);
            let people: Vec<_> = got
                .people
                .iter()
                .map(|p| (p.name.as_deref().unwrap_or_default(), p.address.to_string()))
                .collect();
            let people: Vec<_> = people.iter().map(|(name, address)| (*name, address.as_str())).collect();
            assert_eq!(
                (people.as_slice(), got.unread.as_slice()),
                (expected, unread.iter().map(|piece| (*piece).to_owned()).collect::<Vec<_>>().as_slice()),
                "{input}"
            );
        };
        let check = |input: &str, expected: &[(&str, &str)]| check_both(input, expected, &[]);
        check("", &[]);
        check(" , ;\r\n", &[]);
        check("a@b.test", &[("", "a@b.test")]);
        check("<a@b.test>", &[("", "a@b.test")]);
        check("Ann B <a@b.test>, c@d.test", &[("Ann B", "a@b.test"), ("", "c@d.test")]);
        check("\"B, Ann\" <a@b.test>; c@d.test", &[("B, Ann", "a@b.test"), ("", "c@d.test")]);
        check("\"A \\\"Q\\\" B\" <a@b.test>", &[("A \"Q\" B", "a@b.test")]);
        check("\"x,y\"@b.test", &[("", "\"x,y\"@b.test")]);
        check_both("nobody", &[], &["nobody"]);
        check_both("a@b.test, Ann <x; c@d.test", &[("", "a@b.test"), ("", "c@d.test")], &["Ann <x"]);
        check_both("a@b.test\r\nBcc: x@y.test", &[("", "a@b.test")], &["Bcc: x@y.test"]);
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["a@b.test", "Ann B <a@b.test>", "\"B, Ann\" <a@b.test>, \"Q \\\"x\\\" \\\\\" <c@d.test>"]
        {
            assert_eq!(join(&People::read(text).people), text);
        }
    }

    #[test]
    fn encoded_words() {
        let check = |input: &str, expected: &str| assert_eq!(decode_words(input.as_bytes()), expected);
        check("plain", "plain");
        check("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße");
        check("=?iso-8859-1?Q?caf=E9?= today", "café today");
        check("folded\r\n line", "folded line");
        check("=?utf-8?B?4oCuZ3BqLmV4ZQ==?=", "gpj.exe");
    }
}
