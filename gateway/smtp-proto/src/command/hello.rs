//! `EHLO name`, `HELO name` (RFC 5321 §4.1.1.1) and `LHLO name` (RFC 2033 §4.1).

use std::fmt;

use envelope::Domain;

/// Longest name in octets, as of a domain (RFC 5321 §4.5.3.1.2).
const LENGTH_MAX: usize = 255;

/// What a client calls itself. It proves nothing; it is kept for logs and the `Received` field, in a form
/// that can't break either: printable ASCII, no space, no comment and no quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName {
    text: Box<str>,
    ascii: bool,
}

impl ClientName {
    /// ```abnf
    /// ehlo = "EHLO" SP ( Domain / address-literal )          ; RFC 5321 §4.1.1.1
    /// lhlo = "LHLO" SP ( Domain / address-literal )          ; RFC 2033 §4.1
    /// ```
    ///
    /// Quirk `client-name`: clients that are no domain (`My PC`, `localhost`, a lone bracket) are served; what is
    /// not a letter, a digit or one of `-._:[]` becomes `?`.
    pub(super) fn parse(argument: &str) -> Option<Self> {
        if argument.is_empty() || argument.len() > LENGTH_MAX {
            return None;
        }
        let ascii = argument.is_ascii();
        if let Ok(domain) = argument.parse::<Domain>() {
            return Some(Self { text: domain.as_str().into(), ascii });
        }
        let safe = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        Some(Self { text: argument.chars().map(|c| if safe(c) { c } else { '?' }).collect(), ascii })
    }

    /// The name, safe to print.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the client wrote it in ASCII, as it must (RFC 6531 §3.7.1).
    pub const fn is_ascii(&self) -> bool {
        self.ascii
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argument: &str, expected: Option<&str>) {
        assert_eq!(ClientName::parse(argument).as_ref().map(ClientName::as_str), expected, "{argument}");
    }

    #[test]
    fn names() {
        check("Client.Example.", Some("client.example"));
        check("[192.0.2.1]", Some("[192.0.2.1]"));
        check("bücher.example", Some("xn--bcher-kva.example"));
        check("", None);
    }

    #[test]
    fn quirk_client_name() {
        check("My PC", Some("My?PC"));
        check("a(b)\"c\\d;e", Some("a?b??c?d?e"));
        check("[fe80::1]", Some("[fe80::1]"));
        for (length, good) in [(254, true), (255, true), (256, false)] {
            assert_eq!(ClientName::parse(&"a".repeat(length)).is_some(), good, "{length}");
        }
    }
}
