//! Mail addresses and reverse paths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Domain, DomainError, LocalPart, LocalPartError};

/// `local-part@domain`. The one parser for envelope, policy, routing and login, so that no two
/// rooms disagree about where a message goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local_part: LocalPart,
    domain: Domain,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The part behind the `@` is no domain.
    #[error("the address has no usable domain")]
    Domain(#[source] DomainError),
    /// The part before the `@` is no local part.
    #[error("the address has no usable local part")]
    LocalPart(#[source] LocalPartError),
    /// There is no `@` outside quotes.
    #[error("an address looks like name@example.test")]
    NoAt,
}

impl Address {
    /// Joins the two parts.
    pub const fn new(local_part: LocalPart, domain: Domain) -> Self {
        Self { local_part, domain }
    }

    /// The part before the `@`.
    pub const fn local_part(&self) -> &LocalPart {
        &self.local_part
    }

    /// The part behind the `@`.
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether the wire form needs SMTPUTF8 (RFC 6531).
    pub fn needs_utf8(&self) -> bool {
        !self.local_part.as_str().is_ascii()
    }

    /// The address under which mail systems compare: the local part in lower case. RFC 5321 §2.4 lets
    /// the owner of a domain decide; like every large system we do not tell `Alice` from `alice`.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let lower = self.local_part.as_str().to_lowercase();
        let local_part = LocalPart::from_unquoted(&lower).unwrap_or_else(|_| self.local_part.clone());
        Self { local_part, domain: self.domain.clone() }
    }

    /// Splits `user+tag` at the first `separator`: the address without the tag, and the tag.
    /// Nothing to split, or an empty user, gives `None`.
    pub fn split_tag(&self, separator: char) -> Option<(Self, String)> {
        let (user, tag) = self.local_part.as_str().split_once(separator)?;
        let local_part = LocalPart::from_unquoted(user).ok()?;
        Some((Self { local_part, domain: self.domain.clone() }, tag.to_owned()))
    }

    /// This address with the other in its tag (variable envelope return path): `owner+ann=a.test@lists.test`. Where that is too long
    /// (RFC 5321 §4.5.3.1.1) or goes beyond ASCII it is this address as it stands.
    #[must_use]
    pub fn verp(&self, separator: char, recipient: &Self) -> Self {
        let (owner, user) = (self.local_part.as_str(), recipient.local_part.as_str());
        let tagged = format!("{owner}{separator}{user}={}", recipient.domain);
        match LocalPart::from_unquoted(&tagged) {
            Ok(local_part) if tagged.is_ascii() => Self { local_part, domain: self.domain.clone() },
            _ => self.clone(),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let at = if text.starts_with('"') { closing_quote(text) } else { text.find('@') };
        let at = at.filter(|at| text.as_bytes().get(*at) == Some(&b'@')).ok_or(AddressError::NoAt)?;
        let (local, domain) = text.split_at(at);
        Ok(Self {
            local_part: LocalPart::parse(local).map_err(AddressError::LocalPart)?,
            domain: domain.get(1..).unwrap_or_default().parse().map_err(AddressError::Domain)?,
        })
    }
}

/// Where the byte behind the closing quote of a quoted string at the start of `text` is.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where failure reports go: an address, or nowhere for a message that is a report itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReversePath {
    /// `<user@example.test>`
    Address(Address),
    /// `<>`: never bounced (RFC 5321 §4.5.5).
    Null,
}

impl ReversePath {
    /// The address, unless the path is null.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Address(address) => Some(address),
            Self::Null => None,
        }
    }
}

impl fmt::Display for ReversePath {
    /// Without angle brackets; the null path prints as nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().map_or(Ok(()), |address| fmt::Display::fmt(address, f))
    }
}

impl Serialize for ReversePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReversePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::Null);
        }
        text.parse().map(Self::Address).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(input: &str, expected: Option<(&str, &str)>) {
        let got = input.parse::<Address>();
        let parts = got.as_ref().ok().map(|a| (a.local_part().as_str(), a.domain().as_str()));
        assert_eq!(parts, expected, "{input}: {got:?}");
    }

    #[test]
    fn parts() {
        check("alice@example.test", Some(("alice", "example.test")));
        check("Alice@EXAMPLE.test.", Some(("Alice", "example.test")));
        check("\"a@b.com x\"@c.com", Some(("a@b.com x", "c.com")));
        check("\"../../etc\"@d.test", Some(("../../etc", "d.test")));
        check("üser@bücher.example", Some(("üser", "xn--bcher-kva.example")));
    }

    #[test]
    fn refused() {
        for input in [
            "",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "\"\"@d.test",
            "a b@c.test",
            "<a@b.test>",
            "\"a\"b@c.test",
            "a@b\r\nX: y",
        ] {
            check(input, None);
        }
    }

    #[test]
    fn case_is_folded_in_the_canonical_form_only() {
        let address: Address = "Alice@Example.Test".parse().unwrap();
        assert_eq!(address.to_string(), "Alice@example.test");
        assert_eq!(address.canonical().to_string(), "alice@example.test");
    }

    #[test]
    fn tags() {
        let split =
            |text: &str| text.parse::<Address>().unwrap().split_tag('+').map(|(a, t)| (a.to_string(), t));
        assert_eq!(split("a+b+c@d.test"), Some(("a@d.test".to_owned(), "b+c".to_owned())));
        assert_eq!(split("a@d.test"), None);
        assert_eq!(split("+b@d.test"), None);
        assert_eq!(split("a+@d.test"), Some(("a@d.test".to_owned(), String::new())));
    }

    #[test]
    fn a_list_s_owner_names_a_member() {
        let owner: Address = "owner@lists.test".parse().unwrap();
        let verp = |member: &str| owner.verp('+', &member.parse().unwrap()).to_string();
        assert_eq!(verp("Ann@A.test"), "owner+Ann=a.test@lists.test");
        assert_eq!(verp("a+b=c@d.test"), "owner+a+b=c=d.test@lists.test");
        assert_eq!(verp(&format!("{}@d.test", "a".repeat(51))).len(), "@lists.test".len() + 64);
        assert_eq!(verp(&format!("{}@d.test", "a".repeat(52))), "owner@lists.test");
        assert_eq!(verp("jürgen@d.test"), "owner@lists.test");
        let (home, tag) = owner.verp('+', &"ann@a.test".parse().unwrap()).split_tag('+').unwrap();
        assert_eq!((home, tag.as_str()), (owner, "ann=a.test"));
    }

    #[test]
    fn null_reverse_path_survives_json() {
        let json = serde_json::to_string(&ReversePath::Null).unwrap();
        assert_eq!(json, "\"\"");
        assert_eq!(serde_json::from_str::<ReversePath>(&json).unwrap(), ReversePath::Null);
    }

    proptest! {
        #[test]
        fn parse_of_print_is_identity(local in "[^\u{0}-\u{1f}\u{7f}-\u{9f}]{1,16}", domain in "[a-z0-9]{1,8}(\\.[a-z0-9]{1,8}){0,3}") {
            let address = Address::new(LocalPart::from_unquoted(&local).unwrap(), domain.parse().unwrap());
            prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Address>();
        }
    }
}
