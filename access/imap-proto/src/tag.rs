//! The word that ties an answer to its command.

use std::fmt;

/// Longest tag taken. The RFC names no limit; clients use at most a dozen octets.
const LENGTH_MAX: usize = 64;

/// A command's tag.
///
/// ```abnf
/// tag = 1*<any ASTRING-CHAR except "+">          ; RFC 3501 §9
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// Takes the octets of a tag, at most 64.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let good = |octet: &u8| crate::chars::is_astring_char(*octet) && *octet != b'+';
        if octets.is_empty() || octets.len() > LENGTH_MAX || !octets.iter().all(good) {
            return None;
        }
        std::str::from_utf8(octets).ok().map(|text| Self(text.into()))
    }

    /// The tag as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_astring_characters_without_plus() {
        for good in ["a", "A001", ".", "a]b", "*1".trim_start_matches('*')] {
            assert_eq!(Tag::parse(good.as_bytes()).unwrap().as_str(), good);
        }
        for bad in ["", "+", "a+", "*", "a b", "\"a\"", "{1}", "a\\", "%", "(", "é", "a\0", "\x7f"] {
            assert_eq!(Tag::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn length_limit() {
        assert!(Tag::parse(&[b'a'; 63]).is_some());
        assert!(Tag::parse(&[b'a'; 64]).is_some());
        assert!(Tag::parse(&[b'a'; 65]).is_none());
    }
}
