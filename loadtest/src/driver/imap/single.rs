//! One operation over and over: what servers are compared by.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;

use crate::client::imap::{Imap, Selected};
use crate::message::{Draft, Shape};
use crate::random::Random;
use crate::recorder::Failure;

/// Messages of one FETCH ENVELOPE.
const PAGE: u32 = 50;
/// Octets of a message that is appended.
const APPENDED: usize = 5000;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Single {
    /// APPEND of a message of 5 KB to INBOX.
    Append,
    /// FETCH of ENVELOPE, flags and size of all messages.
    Envelopes,
    /// FETCH of one whole message.
    Fetch,
    /// Connection, login and logout.
    Login,
    /// NOOP.
    Noop,
    /// FETCH of ENVELOPE, flags and size of 50 messages.
    Page,
    /// SEARCH for a word in the subjects.
    Search,
    /// SELECT of INBOX.
    Select,
    /// STATUS of INBOX.
    Status,
    /// STORE of a flag on one message.
    Store,
}

/// Names on the command line, and operations in reports.
const NAMES: [(&str, Single, &str); 10] = [
    ("append", Single::Append, "imap.append"),
    ("envelopes", Single::Envelopes, "imap.envelopes"),
    ("fetch", Single::Fetch, "imap.fetch"),
    ("login", Single::Login, "imap.session"),
    ("noop", Single::Noop, "imap.noop"),
    ("page", Single::Page, "imap.page"),
    ("search", Single::Search, "imap.search"),
    ("select", Single::Select, "imap.select"),
    ("status", Single::Status, "imap.status"),
    ("store", Single::Store, "imap.store"),
];

impl FromStr for Single {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match NAMES.iter().find(|(name, ..)| *name == text) {
            Some((_, single, _)) => Ok(*single),
            None => bail!("`{text}` is none of {}", NAMES.map(|(name, ..)| name).join(", ")),
        }
    }
}

impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(_, single, _)| single == self).map_or("", |(name, ..)| name))
    }
}

impl Single {
    /// Its name in reports.
    pub(super) fn operation(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, single, _)| *single == self)
            .map_or("imap.other", |(_, _, operation)| operation)
    }

    pub(super) async fn perform(
        self,
        imap: &mut Imap,
        selected: Selected,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let exists = selected.exists;
        let mut any = || 1 + u32::try_from(random.below(u64::from(exists))).unwrap_or(0);
        if exists == 0 && matches!(self, Self::Envelopes | Self::Fetch | Self::Page | Self::Store) {
            return Err(Failure::new("the mailbox is empty"));
        }
        let command = match self {
            Self::Append => {
                let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                let number = random.next();
                let draft = Draft {
                    from: "<a@load.example>".to_owned(),
                    to: "<b@load.example>".to_owned(),
                    number,
                    run: "append",
                    at,
                };
                let text = draft.write(&Shape { octets: APPENDED, attachment: false }, random);
                return imap.append("INBOX", &text).await;
            }
            Self::Select => return imap.select("INBOX", false).await.map(|_| ()),
            Self::Envelopes => "FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE)".to_owned(),
            Self::Fetch => format!("FETCH {} (BODY.PEEK[])", any()),
            Self::Noop | Self::Login => "NOOP".to_owned(),
            Self::Page => {
                let first = any().min(exists.saturating_sub(PAGE - 1).max(1));
                format!("FETCH {first}:{} (UID FLAGS RFC822.SIZE ENVELOPE)", (first + PAGE - 1).min(exists))
            }
            Self::Search => "SEARCH SUBJECT \"yesterday\"".to_owned(),
            Self::Status => "STATUS INBOX (MESSAGES UIDNEXT UNSEEN)".to_owned(),
            Self::Store => {
                let (number, sign) = (any(), if random.chance(0.5) { '+' } else { '-' });
                format!("STORE {number} {sign}FLAGS (\\Flagged)")
            }
        };
        imap.command(&command, |_| ()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, single, operation) in NAMES {
            assert_eq!(name.parse::<Single>().unwrap(), single);
            assert_eq!(single.operation(), operation);
        }
        assert!("expunge".parse::<Single>().unwrap_err().to_string().contains("append, envelopes"));
    }
}
