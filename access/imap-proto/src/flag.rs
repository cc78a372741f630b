//! Flags as commands name them.

use std::fmt;

/// Longest keyword taken, in octets. It must fit in a line of the index and in a FLAGS response.
pub const KEYWORD_LENGTH_MAX: usize = 128;

/// A keyword: an atom that is no system flag (RFC 3501 §2.3.2). Case is kept as written; keywords
/// are compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// ```abnf
    /// flag-keyword = atom            ; RFC 3501 §9
    /// ```
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let good = |octet: &u8| crate::chars::is_atom_char(*octet);
        if octets.is_empty() || octets.len() > KEYWORD_LENGTH_MAX || !octets.iter().all(good) {
            return None;
        }
        std::str::from_utf8(octets).ok().map(|text| Self(text.into()))
    }

    /// The keyword as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A flag that a client may set. `\Recent` is the server's alone and can't be named here; the parser
/// drops it from STORE and APPEND (docs/quirks.md).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Deleted`
    Deleted,
    /// `\Draft`
    Draft,
    /// `\Flagged`
    Flagged,
    /// `\Seen`
    Seen,
    /// A keyword such as `$Forwarded`.
    Keyword(Keyword),
}

impl Flag {
    /// The flag as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Answered => "\\Answered",
            Self::Deleted => "\\Deleted",
            Self::Draft => "\\Draft",
            Self::Flagged => "\\Flagged",
            Self::Seen => "\\Seen",
            Self::Keyword(keyword) => keyword.as_str(),
        }
    }
}

/// The uses of a mailbox (RFC 6154 §2, `\Important` by RFC 8457).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\All`: every message of the account.
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`: every message with the flag.
    Flagged,
    /// `\Important`
    Important,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// Every use.
    pub const EVERY: [Self; 8] = [
        Self::All,
        Self::Archive,
        Self::Drafts,
        Self::Flagged,
        Self::Important,
        Self::Junk,
        Self::Sent,
        Self::Trash,
    ];

    /// The attribute as it stands in LIST responses, with its backslash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Important => "\\Important",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }

    /// Takes the attribute with its backslash, in any case.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        Self::EVERY.into_iter().find(|each| each.as_str().as_bytes().eq_ignore_ascii_case(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_atoms() {
        for good in ["$Junk", "a", "NonJunk", "$MDNSent", "a[b", "&"] {
            assert_eq!(Keyword::parse(good.as_bytes()).unwrap().as_str(), good);
        }
        for bad in ["", "\\Seen", "a b", "a]", "(", "é", "a\"", "%", "*", "{", "\x01"] {
            assert_eq!(Keyword::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn keyword_length_limit() {
        assert!(Keyword::parse(&[b'k'; KEYWORD_LENGTH_MAX - 1]).is_some());
        assert!(Keyword::parse(&[b'k'; KEYWORD_LENGTH_MAX]).is_some());
        assert!(Keyword::parse(&[b'k'; KEYWORD_LENGTH_MAX + 1]).is_none());
    }

    #[test]
    fn special_uses_in_any_case() {
        for special_use in SpecialUse::EVERY {
            assert_eq!(SpecialUse::parse(special_use.as_str().to_uppercase().as_bytes()), Some(special_use));
        }
        assert_eq!(SpecialUse::parse(b"Sent"), None);
    }
}
