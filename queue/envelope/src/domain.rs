//! Mail domains.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest domain in octets (RFC 5321 §4.5.3.1.2).
const LENGTH_MAX: usize = 255;
/// Longest label in octets (RFC 1035 §2.3.4).
const LABEL_MAX: usize = 63;

/// A domain name in its one canonical form (lower-case A-labels, no trailing dot) or an address literal.
/// Two spellings of one domain compare equal: `Bücher.Example` is `xn--bcher-kva.example`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Box<str>);

/// Why a text is not a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// There is nothing.
    #[error("the domain is empty")]
    Empty,
    /// A label is empty, too long, or begins or ends with a hyphen, or holds a forbidden character.
    #[error("`{0}` is not a domain name")]
    Label(String),
    /// `[…]` holds no IP address.
    #[error("`{0}` is not an address literal, such as [192.0.2.1] or [IPv6:2001:db8::1]")]
    Literal(String),
    /// More than 255 octets.
    #[error("the domain is longer than 255 octets")]
    TooLong,
}

impl Domain {
    /// The canonical text: A-labels in lower case, or `[…]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an address literal (RFC 5321 §4.1.3).
    pub fn is_literal(&self) -> bool {
        self.0.starts_with('[')
    }

    /// The address of an address literal.
    pub fn literal(&self) -> Option<IpAddr> {
        let inner = self.0.strip_prefix('[')?.strip_suffix(']')?;
        match inner.strip_prefix("IPv6:") {
            Some(v6) => v6.parse().ok().map(IpAddr::V6),
            None => inner.parse().ok().map(IpAddr::V4),
        }
    }

    fn parse_literal(text: &str) -> Result<Self, DomainError> {
        let wrong = || DomainError::Literal(text.chars().take(80).collect());
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(wrong)?;
        let tagged = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"));
        let canonical = if tagged {
            let address: Ipv6Addr = inner.get(5..).and_then(|v6| v6.parse().ok()).ok_or_else(wrong)?;
            format!("[IPv6:{address}]")
        } else {
            let address: Ipv4Addr = inner.parse().map_err(|_| wrong())?;
            format!("[{address}]")
        };
        Ok(Self(canonical.into()))
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(DomainError::TooLong);
        }
        if text.starts_with('[') {
            return Self::parse_literal(text);
        }
        let wrong = || DomainError::Label(text.chars().take(80).collect());
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| wrong())?
        };
        // One trailing dot is the DNS root and means the same domain (RFC 1034 §3.1).
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        if name.len() > LENGTH_MAX {
            return Err(DomainError::TooLong);
        }
        let good = |label: &str| {
            (1..=LABEL_MAX).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(good) {
            return Err(wrong());
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Domain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Option<&str>) {
        let got = input.parse::<Domain>();
        assert_eq!(got.as_ref().ok().map(Domain::as_str), expected, "{input}: {got:?}");
    }

    #[test]
    fn canonical_forms() {
        check("Example.TEST", Some("example.test"));
        check("example.test.", Some("example.test"));
        check("localhost", Some("localhost"));
        check("Bücher.Example", Some("xn--bcher-kva.example"));
        check("_dmarc.example", Some("_dmarc.example"));
        check("[192.0.2.1]", Some("[192.0.2.1]"));
        check("[ipv6:2001:DB8::1]", Some("[IPv6:2001:db8::1]"));
    }

    #[test]
    fn refused_forms() {
        for input in [
            "",
            ".",
            "..",
            "a..b",
            "-a.b",
            "a-.b",
            "a b",
            "a/b",
            "a\0b",
            "a\r\nb",
            "[1.2.3]",
            "[010.0.0.1]",
            "[IPv6:zz]",
            "[192.0.2.1",
            "exa\u{200d}mple!.test",
        ] {
            check(input, None);
        }
        check(&"a".repeat(63), Some(&"a".repeat(63)));
        check(&"a".repeat(64), None);
        check(&"a.".repeat(128), None);
    }

    #[test]
    fn literals_give_their_address() {
        let domain: Domain = "[IPv6:2001:db8::1]".parse().unwrap();
        assert_eq!(domain.literal(), Some("2001:db8::1".parse().unwrap()));
        assert!("example.test".parse::<Domain>().unwrap().literal().is_none());
    }
}
