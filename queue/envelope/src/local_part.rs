//! The part of an address before the `@`.

use std::fmt;

/// Longest local part in octets (RFC 5321 §4.5.3.1.1).
const LENGTH_MAX: usize = 64;

/// A local part, unquoted: `"a b"@example.test` holds `a b`. Printing adds the quotes where needed,
/// so that there is one form for comparing and one for the wire.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalPart(Box<str>);

/// Why a text is not a local part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocalPartError {
    /// There is nothing, quoted or not.
    #[error("the part before the @ is empty")]
    Empty,
    /// A control character, or a character that must be quoted and is not.
    #[error("the part before the @ holds a character that is not allowed there")]
    Forbidden,
    /// More than 64 octets.
    #[error("the part before the @ is longer than 64 octets")]
    TooLong,
}

impl LocalPart {
    /// Takes the unquoted text. Control characters are refused: they have no use but to confuse.
    pub fn from_unquoted(text: &str) -> Result<Self, LocalPartError> {
        if text.is_empty() {
            return Err(LocalPartError::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(LocalPartError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(LocalPartError::Forbidden);
        }
        Ok(Self(text.into()))
    }

    /// Parses the wire form.
    ///
    /// ```abnf
    /// Local-part    = Dot-string / Quoted-string          ; RFC 5321 §4.1.2, UTF-8 by RFC 6531 §3.3
    /// Dot-string    = Atom *("." Atom)
    /// Quoted-string = DQUOTE *(qtextSMTP / quoted-pairSMTP) DQUOTE
    /// ```
    pub fn parse(text: &str) -> Result<Self, LocalPartError> {
        let Some(rest) = text.strip_prefix('"') else {
            return if text.is_empty() {
                Err(LocalPartError::Empty)
            } else if is_dot_string(text) {
                Self::from_unquoted(text)
            } else {
                Err(LocalPartError::Forbidden)
            };
        };
        let inner = rest.strip_suffix('"').ok_or(LocalPartError::Forbidden)?;
        let mut unquoted = String::with_capacity(inner.len());
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => unquoted.push(characters.next().ok_or(LocalPartError::Forbidden)?),
                '"' => return Err(LocalPartError::Forbidden),
                other => unquoted.push(other),
            }
        }
        Self::from_unquoted(&unquoted)
    }

    /// The unquoted text, in the case it was written in.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` needs no quotes.
fn is_dot_string(text: &str) -> bool {
    let is_atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_not_part_of_the_value() {
        let plain = LocalPart::parse("alice").unwrap();
        assert_eq!(LocalPart::parse("\"alice\"").unwrap(), plain);
        assert_eq!(LocalPart::parse("\"a\\\"b\"").unwrap().as_str(), "a\"b");
        assert_eq!(LocalPart::parse("\"a b\"").unwrap().to_string(), "\"a b\"");
    }

    #[test]
    fn refused_forms() {
        for text in [
            "",
            "\"\"",
            "a b",
            "a..b",
            ".a",
            "a.",
            "a@b",
            "\"a",
            "a\"",
            "\"a\"b\"",
            "\"a\\\"",
            "a\0",
            "\"a\r\nb\"",
            "(a)",
        ] {
            assert!(LocalPart::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn length_limit() {
        assert!(LocalPart::parse(&"a".repeat(63)).is_ok());
        assert!(LocalPart::parse(&"a".repeat(64)).is_ok());
        assert_eq!(LocalPart::parse(&"a".repeat(65)), Err(LocalPartError::TooLong));
    }
}
