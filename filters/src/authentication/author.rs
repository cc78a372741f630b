//! The From field, as everybody must read it.
//!
//! Who forges a sender looks for a field that the checker and the reader's program read differently: two fields, two addresses, quotes and comments, a
//! route. So the field is read by a strict grammar here and by the MIME parser that the rest of the system uses, and both must agree.

use envelope::Address;
use mail_parser::{HeaderName, MessageParser};
use serde::{Deserialize, Serialize};

use crate::fields;

/// Comments within comments (RFC 5322 §3.2.2).
const COMMENT_DEPTH_MAX: usize = 8;
/// Addresses of one field that are looked at.
const ADDRESSES_MAX: usize = 1000;

/// Whom a message names as its author (RFC 5322 §3.6.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// From fields.
    pub fields: usize,
    /// The addresses, in their order, of all fields.
    pub addresses: Vec<String>,
    /// The names beside them, decoded.
    pub names: Vec<String>,
    /// What is wrong.
    pub fault: Option<AuthorFault>,
}

/// Why an author is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorFault {
    /// No From field.
    #[error("it has no From field")]
    Missing,
    /// More than one.
    #[error("it has several From fields")]
    SeveralFields,
    /// Programs read it differently, or not at all.
    #[error("its From field is not well formed")]
    Unreadable,
    /// Addresses of several domains.
    #[error("its From field names several domains")]
    SeveralDomains,
}

impl Author {
    /// Reads the header section of a message.
    pub fn read(message: &[u8]) -> Self {
        let fields = fields::split(message);
        let from: Vec<&fields::Field<'_>> = fields.iter().filter(|field| field.is(b"from")).collect();
        let mut author = Self { fields: from.len(), ..Self::default() };
        author.read_loosely(message);
        author.fault = match from.as_slice() {
            [] => Some(AuthorFault::Missing),
            [only] => author.fault_of(&only.unfolded()),
            _ => Some(AuthorFault::SeveralFields),
        };
        author
    }

    /// The one domain of all its addresses, in its canonical form.
    pub fn domain(&self) -> Option<&str> {
        if self.fault.is_some() {
            return None;
        }
        self.addresses.first().and_then(|address| address.rsplit_once('@')).map(|(_, domain)| domain)
    }

    /// What the MIME parser makes of it: what a policy may want to look at even when it is wrong.
    fn read_loosely(&mut self, message: &[u8]) {
        let only_authors = MessageParser::new().header_address(HeaderName::From).default_header_ignore();
        let parsed = only_authors.parse_headers(message);
        let headers = parsed.iter().flat_map(|message| message.headers());
        let from = headers.filter(|header| header.name == HeaderName::From);
        let named = from.filter_map(|header| header.value.as_address()).flat_map(mail_parser::Address::iter);
        for one in named.take(ADDRESSES_MAX) {
            self.names.push(one.name.as_deref().unwrap_or_default().to_owned());
            let address = one.address.as_deref().unwrap_or_default().trim();
            self.addresses.push(canonical(address).unwrap_or_else(|| address.to_owned()));
        }
    }

    fn fault_of(&self, value: &str) -> Option<AuthorFault> {
        let Some(strict) = Grammar::new(value).address_list() else { return Some(AuthorFault::Unreadable) };
        let canonical: Option<Vec<String>> = strict.iter().map(|address| canonical(address)).collect();
        match canonical {
            Some(addresses) if !addresses.is_empty() && addresses == self.addresses => {
                let mut domains = addresses.iter().map(|one| one.rsplit_once('@').map(|(_, domain)| domain));
                let first = domains.next();
                domains.any(|other| Some(other) != first).then_some(AuthorFault::SeveralDomains)
            }
            _ => Some(AuthorFault::Unreadable),
        }
    }
}

fn canonical(address: &str) -> Option<String> {
    let address: Address = address.parse().ok()?;
    Some(format!("{}@{}", address.local_part(), address.domain()))
}

/// ```abnf
/// address-list = address *( "," address )                       ; RFC 5322 §3.4, without the obsolete forms
/// address      = mailbox / phrase ":" [ mailbox *( "," mailbox ) ] ";" [CFWS]
/// mailbox      = [phrase] "<" addr-spec ">" [CFWS] / addr-spec
/// ```
/// A quoted local part is refused with the rest: programs disagree about it, and nobody writes one. Quirk `from-phrase`: a phrase before `<` may hold dots, `@`, brackets and UTF-8 without quotes, as real mail does.
struct Grammar<'a> {
    rest: &'a str,
}

impl<'a> Grammar<'a> {
    const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The addresses, or `None` when the text is not one list from its beginning to its end.
    fn address_list(mut self) -> Option<Vec<String>> {
        let mut addresses = Vec::new();
        loop {
            self.address(&mut addresses)?;
            if addresses.len() > ADDRESSES_MAX {
                return None;
            }
            match self.next_octet() {
                None => return Some(addresses),
                Some(b',') => self.skip(1),
                Some(_) => return None,
            }
        }
    }

    fn address(&mut self, addresses: &mut Vec<String>) -> Option<()> {
        let words = self.words()?;
        match self.next_octet() {
            Some(b'<') => addresses.push(self.angle()?),
            Some(b':') if words.is_phrase => {
                self.skip(1);
                while self.next_octet()? != b';' {
                    let words = self.words()?;
                    match self.next_octet()? {
                        b'<' => addresses.push(self.angle()?),
                        _ => addresses.push(words.addr_spec?),
                    }
                    match self.next_octet()? {
                        b',' => self.skip(1),
                        b';' => {}
                        _ => return None,
                    }
                }
                self.skip(1);
                self.white_space()?;
            }
            _ => addresses.push(words.addr_spec?),
        }
        Some(())
    }

    /// `<addr-spec>`, without a route.
    fn angle(&mut self) -> Option<String> {
        self.skip(1);
        let words = self.words()?;
        let address = words.addr_spec?;
        if self.next_octet()? != b'>' {
            return None;
        }
        self.skip(1);
        self.white_space()?;
        Some(address)
    }

    /// Words up to something that ends them: what they are as an address, and whether they could be a phrase.
    fn words(&mut self) -> Option<Words> {
        let mut joined = String::new();
        let (mut count, mut quoted) = (0usize, 0usize);
        loop {
            self.white_space()?;
            let Some(first) = self.next_octet() else { break };
            let length = match first {
                b'<' | b'>' | b',' | b':' | b';' => break,
                b'"' => {
                    quoted += 1;
                    self.quoted_length()?
                }
                b'\\' | b')' => return None,
                _ => self.rest.bytes().take_while(|byte| is_word(*byte)).count().max(1),
            };
            count += 1;
            joined.push_str(self.rest.get(..length)?);
            self.skip(length);
        }
        // White space within an address is obsolete; so is one of several words, but for a quoted local part.
        let one = count == 1 && quoted == 0 || count == 2 && quoted == 1 && joined.starts_with('"');
        let addr_spec = (one && joined.contains('@')).then_some(joined);
        Some(Words { is_phrase: count > 0, addr_spec })
    }

    fn quoted_length(&self) -> Option<usize> {
        let mut escaped = false;
        for (at, byte) in self.rest.bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Some(at + 1),
                _ => {}
            }
        }
        None
    }

    /// White space and comments.
    fn white_space(&mut self) -> Option<()> {
        let (mut depth, mut escaped) = (0usize, false);
        let mut length = 0;
        for byte in self.rest.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => escaped = true,
                b' ' | b'\t' => {}
                _ if depth > 0 => {}
                _ => break,
            }
            if depth > COMMENT_DEPTH_MAX {
                return None;
            }
            length += 1;
        }
        if depth > 0 || escaped {
            return None;
        }
        self.skip(length);
        Some(())
    }

    fn next_octet(&self) -> Option<u8> {
        self.rest.bytes().next()
    }

    fn skip(&mut self, octets: usize) {
        self.rest = self.rest.get(octets..).unwrap_or_default();
    }
}

struct Words {
    is_phrase: bool,
    addr_spec: Option<String>,
}

fn is_word(byte: u8) -> bool {
    !byte.is_ascii_control() && !b" \"(),:;<>\\".contains(&byte)
}

pub(crate) fn fuzz(input: &[u8]) {
    let author = Author::read(input);
    if author.fault.is_none() {
        assert!(author.fields == 1 && author.domain().is_some(), "an author without fault has a domain");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, addresses: &[&str], fault: Option<AuthorFault>) {
        let author = Author::read(format!("{header}\r\n\r\ntext").as_bytes());
        assert_eq!(author.fault, fault, "{header}: {author:?}");
        if fault.is_none() {
            assert_eq!(author.addresses, addresses, "{header}");
        }
    }

    #[test]
    fn authors_of_real_mail() {
        check("From: ann@a.test", &["ann@a.test"], None);
        check("FROM: Ann <Ann@A.test>", &["Ann@a.test"], None);
        check("From : <ann@a.test>", &["ann@a.test"], None);
        check("From:\r\n \"Ann, B.\" <ann@a.test>", &["ann@a.test"], None);
        check("From: John Q. Public <ann@a.test>", &["ann@a.test"], None);
        check("From: boss@b.test <ann@a.test>", &["ann@a.test"], None);
        check("From: Ann [team] <ann@a.test>", &["ann@a.test"], None);
        check("From: =?utf-8?Q?=C3=84nn?= <ann@a.test>", &["ann@a.test"], None);
        check("From: \u{c4}nn <ann@a.test>", &["ann@a.test"], None);
        check("From: Ann <ann@a.test> (her (own) address)", &["ann@a.test"], None);
        check("From: ann@a.test (Ann)", &["ann@a.test"], None);
        check("From: Ann <ann@a.test>, Bob <bob@a.test>", &["ann@a.test", "bob@a.test"], None);
        check("From: team: ann@a.test, Bob <bob@a.test>;", &["ann@a.test", "bob@a.test"], None);
        check("From: <ann@xn--bcher-kva.test>", &["ann@xn--bcher-kva.test"], None);
    }

    /// What forgers put there (the cases of the espoofer paper that concern the From field, and some more).
    #[test]
    fn attack_from_fields_that_programs_read_differently() {
        use AuthorFault::{Missing, SeveralDomains, SeveralFields, Unreadable};
        check("Subject: x", &[], Some(Missing));
        check("From: a@evil.test\r\nFrom: boss@bank.test", &[], Some(SeveralFields));
        check("From: a@evil.test\r\nfrom : boss@bank.test", &[], Some(SeveralFields));
        check("From: a@evil.test, boss@bank.test", &[], Some(SeveralDomains));
        check("From: <a@evil.test>, <boss@bank.test>", &[], Some(SeveralDomains));
        for header in [
            "From:",
            "From: ",
            "From: <>",
            "From: Ann",
            "From: <ann>",
            "From: ann@",
            "From: @a.test",
            "From: <a@evil.test><boss@bank.test>",
            "From: <a@evil.test> <boss@bank.test>",
            "From: boss@bank.test a@evil.test",
            "From: <@evil.test:boss@bank.test>",
            "From: <@evil.test,@x.test:boss@bank.test>",
            "From: <boss@bank.test(>@evil.test>",
            "From: boss@bank.test(<a@evil.test>",
            "From: \"<boss@bank.test> <a@evil.test>",
            "From: <boss@bank.test>,",
            "From: <boss@bank.test>,,<boss@bank.test>",
            "From: <boss@bank.test>;",
            "From: team: boss@bank.test",
            "From: boss @bank.test",
            "From: \"boss\"@bank.test",
            "From: \"a b\"@bank.test",
            "From: <boss@bank.test",
            "From: boss@bank.test>",
            "From: <boss@bank.test>\\,<a@evil.test>",
            "From: <boss@bank.test>\u{b}<a@evil.test>",
            "From: <boss@bank.test@evil.test>",
            "From: <<boss@bank.test>>",
        ] {
            check(header, &[], Some(Unreadable));
        }
        check(&format!("From: {}boss@bank.test", "(".repeat(100_000)), &[], Some(Unreadable));
    }

    #[test]
    fn names_are_decoded() {
        let author = Author::read(b"From: =?utf-8?Q?The_B=C3=B6ss?= <a@evil.test>\r\n\r\n");
        assert_eq!(
            (author.names.as_slice(), author.domain()),
            (&["The B\u{f6}ss".to_owned()][..], Some("evil.test"))
        );
    }
}
