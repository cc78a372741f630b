//! Mailbox names and the Maildir++ directories they live in.
//!
//! `Work/Q&A/v1.2` is the directory `.Work.Q&-A.v1%2e2`: levels joined by dots, each in modified UTF-7 (RFC 3501
//! §5.1.3) as Dovecot and Courier have it, so that any Maildir tool lists it. A dot or percent sign inside a level
//! becomes `%` and two hex digits, which other tools show as it is.

mod mutf7;

/// A mailbox's name: `INBOX` or a path with `/` between levels, Unicode (not modified UTF-7).
/// Construct by parsing; refuses `..`, NUL, control characters, empty levels, too long or too deep names. INBOX in any case is INBOX.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

/// Why a text is not a mailbox name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailboxNameError {
    /// The reason, for people.
    #[error("the mailbox name is not allowed: {0}")]
    NotAllowed(&'static str),
}

/// A directory name has at most 255 octets; some are kept for the suffix of a mailbox that is being removed.
const DIRECTORY_NAME_MAX: usize = 230;
const DEPTH_MAX: usize = 50;

impl MailboxName {
    /// The mailbox that every account has.
    pub fn inbox() -> Self {
        Self("INBOX".to_owned())
    }

    /// Reads a name as clients send it.
    pub fn parse(name: &str) -> Result<Self, MailboxNameError> {
        let refuse = |why| Err(MailboxNameError::NotAllowed(why));
        if name.len() > 4 * DIRECTORY_NAME_MAX {
            return refuse("it is too long");
        }
        let mut levels: Vec<&str> = name.split('/').collect();
        if levels.len() > DEPTH_MAX {
            return refuse("it has too many levels");
        }
        if levels.iter().any(|level| level.is_empty()) {
            return refuse("a level is empty");
        }
        if levels.iter().any(|level| matches!(*level, "." | "..")) {
            return refuse("a level is `.` or `..`");
        }
        if name.chars().any(char::is_control) {
            return refuse("it has a control character");
        }
        if let Some(first) = levels.first_mut().filter(|first| first.eq_ignore_ascii_case("INBOX")) {
            *first = "INBOX";
        }
        let name = Self(levels.join("/"));
        if name.directory().len() > DIRECTORY_NAME_MAX {
            return refuse("it is too long");
        }
        Ok(name)
    }

    /// As clients see it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is INBOX itself.
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// `a/b` of `a/b/c`.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// Number of levels.
    pub(crate) fn depth(&self) -> usize {
        self.0.split('/').count()
    }

    /// `c/d` when this is `a/b/c/d` and `ancestor` is `a/b`.
    pub(crate) fn below(&self, ancestor: &Self) -> Option<&str> {
        self.0.strip_prefix(&ancestor.0)?.strip_prefix('/')
    }

    /// `self/rest`.
    pub(crate) fn child(&self, rest: &str) -> Result<Self, MailboxNameError> {
        Self::parse(&format!("{}/{rest}", self.0))
    }

    /// The directory's name below the account's; empty for INBOX, which is the account's directory itself.
    pub(crate) fn directory(&self) -> String {
        if self.is_inbox() {
            return String::new();
        }
        self.0.split('/').fold(String::new(), |directory, level| directory + "." + &encode_level(level))
    }

    /// The mailbox of a directory; `None` when it is not one that we or a Maildir++ tool would make.
    pub(crate) fn from_directory(directory: &str) -> Option<Self> {
        let levels: Option<Vec<String>> = directory.strip_prefix('.')?.split('.').map(decode_level).collect();
        let name = Self::parse(&levels?.join("/")).ok()?;
        (!name.is_inbox() && name.directory() == directory).then_some(name)
    }

    /// The levels as they are written in `subscriptions`.
    pub(crate) fn encoded_levels(&self) -> Vec<String> {
        self.0.split('/').map(encode_level).collect()
    }

    /// The reverse of [`Self::encoded_levels`].
    pub(crate) fn from_encoded_levels<'a>(levels: impl Iterator<Item = &'a str>) -> Option<Self> {
        let levels: Option<Vec<String>> = levels.map(decode_level).collect();
        Self::parse(&levels?.join("/")).ok()
    }
}

impl std::fmt::Display for MailboxName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn encode_level(level: &str) -> String {
    mutf7::encode(level).replace('%', "%25").replace('.', "%2e")
}

fn decode_level(level: &str) -> Option<String> {
    let mut plain = String::new();
    let mut pieces = level.split('%');
    plain.push_str(pieces.next()?);
    for piece in pieces {
        match piece.get(..2) {
            Some("25") => plain.push('%'),
            Some("2e" | "2E") => plain.push('.'),
            // A foreign folder whose name has a percent sign of its own.
            _ => return None,
        }
        plain.push_str(piece.get(2..)?);
    }
    mutf7::decode(&plain).filter(|level| !level.contains('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directories_are_those_of_maildir_plus_plus() {
        for (name, directory) in [
            ("INBOX", ""),
            ("inbox/x", ".INBOX.x"),
            ("Sent", ".Sent"),
            ("a/b/c", ".a.b.c"),
            ("Entwürfe", ".Entw&APw-rfe"),
            ("Q&A", ".Q&-A"),
            ("v1.2 100%", ".v1%2e2 100%25"),
            ("台北/日本語", ".&U,BTFw-.&ZeVnLIqe-"),
            ("🙂", ".&2D3eQg-"),
        ] {
            let name = MailboxName::parse(name).unwrap();
            assert_eq!(name.directory(), directory);
            if !name.is_inbox() {
                assert_eq!(MailboxName::from_directory(directory), Some(name));
            }
        }
    }

    #[test]
    fn refuses_what_could_leave_the_account_or_confuse() {
        let long = "x".repeat(230);
        let deep = vec!["x"; 51].join("/");
        for name in ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".", "a\0b", "a\r\nb", &long, &deep] {
            assert!(MailboxName::parse(name).is_err(), "{name:?}");
        }
        assert!(MailboxName::parse(&"x".repeat(229)).is_ok());
        for directory in ["", "cur", ".", "..", "...", ".a..b", ".a%b", ".INBOX", ".&AGE-", ".&"] {
            assert_eq!(MailboxName::from_directory(directory), None, "{directory}");
        }
    }

    proptest! {
        #[test]
        fn directories_round_trip(name in "[^\\x00-\\x1f]{1,30}") {
            if let Ok(name) = MailboxName::parse(&name) && !name.is_inbox() {
                let directory = name.directory();
                prop_assert!(directory.starts_with('.') && !directory.contains('/'));
                prop_assert_eq!(MailboxName::from_directory(&directory), Some(name));
            }
        }
    }
}
