//! What travels with a message's body: sender, recipients, origin.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{AccountId, Address, MessageId, Notify, OriginalRecipient, Return, ReversePath};

/// A moment, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment that many milliseconds after 1970.
    pub const fn from_unix_milliseconds(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since 1970.
    pub const fn unix_milliseconds(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `duration` later, at most the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The moment `duration` earlier, at most the beginning of time.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    /// A time before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        let milliseconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        Self(u64::try_from(milliseconds).unwrap_or(u64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH.checked_add(Duration::from_millis(timestamp.0)).unwrap_or(UNIX_EPOCH)
    }
}

/// One accepted message without its body. One SMTP transaction makes one of these, whatever the
/// number of recipients. It is written to the queue as JSON, so that operators can read it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The message's name everywhere in Sluice.
    pub id: MessageId,
    /// When the gateway accepted it.
    pub received_at: Timestamp,
    /// Where failure reports go.
    pub reverse_path: ReversePath,
    /// To whom; never empty while the message is queued.
    pub recipients: Vec<Recipient>,
    /// How it came in.
    pub origin: Origin,
    /// Octets of the body as queued (headers and text, CRLF line ends).
    pub size: u64,
    /// Whether the message was declared SMTPUTF8 (RFC 6531).
    #[serde(default)]
    pub smtp_utf8: bool,
    /// The sender's name for this transaction (ENVID, RFC 3461 §4.4), decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<String>,
    /// How much of the message a report of failure returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Return>,
    /// Whether it may wait while other mail is under way.
    #[serde(default, skip_serializing_if = "Priority::is_interactive")]
    pub priority: Priority,
    /// Whether it may only travel over verified TLS (RFC 8689).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_tls: bool,
    /// The mailing list whose members the recipients are; the reverse path is its owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<List>,
    /// What filters had to say of it, where they said anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<Filtered>,
}

/// What filters said of a message that was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filtered {
    /// Why it is kept back or was changed: names of rules, milters and checks with what they said.
    pub reasons: Vec<String>,
    /// SPF, DKIM and DMARC in one line; empty where they were not looked at.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub authentication: String,
    /// Which text of the rules judged it; empty without rules.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rules: String,
}

/// A mailing list that passed a message on to its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Its address.
    pub address: Address,
    /// What the owner's address names a member behind ([`Address::verp`]): then each has a sender of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
}

impl Envelope {
    /// The sender under which this recipient gets the message elsewhere, and who hears of its failure.
    pub fn reverse_path_for(&self, recipient: &Recipient) -> ReversePath {
        let separator = self.list.as_ref().and_then(|list| list.separator);
        match (&self.reverse_path, separator) {
            (ReversePath::Address(sender), Some(separator)) => {
                ReversePath::Address(sender.verp(separator, &recipient.address))
            }
            _ => self.reverse_path.clone(),
        }
    }
}

/// What goes first when mail has to wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// From one person to another, as far as can be told.
    #[default]
    Interactive,
    /// Mailing lists, newsletters and the like.
    Bulk,
}

impl Priority {
    const fn is_interactive(&self) -> bool {
        matches!(self, Self::Interactive)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        })
    }
}

/// One RCPT of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The address as given in RCPT.
    pub address: Address,
    /// Addresses whose expansion led to this one, outermost first: guards against loops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expanded_from: Vec<Address>,
    /// When the sender wants to hear of it; none when nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// The address that the first sender wrote, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalRecipient>,
    /// The sender was told that it takes long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delay_reported: bool,
}

impl Recipient {
    /// Whether the sender hears of a failure: unless it said otherwise (RFC 3461 §4.1).
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.failure)
    }

    /// Whether the sender hears of the delivery: only when it asked.
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.success)
    }
}

impl From<Address> for Recipient {
    fn from(address: Address) -> Self {
        Self { address, expanded_from: Vec::new(), notify: None, original: None, delay_reported: false }
    }
}

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Which door it used.
    pub entrance: Entrance,
    /// The peer's address; none for messages made here.
    pub peer: Option<IpAddr>,
    /// What the peer called itself in EHLO, escaped for logs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub helo: String,
    /// Who logged in, on submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<AccountId>,
    /// Whether the session was encrypted.
    #[serde(default)]
    pub tls: bool,
}

/// The door through which a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entrance {
    /// Made by Sluice itself: bounces, reports.
    Internal,
    /// LMTP, from mail systems of our own.
    Lmtp,
    /// Port 25, from other mail systems.
    Mx,
    /// Port 587 or 465, from a person who logged in.
    Submission,
}

impl fmt::Display for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internal => "internal",
            Self::Lmtp => "lmtp",
            Self::Mx => "mx",
            Self::Submission => "submission",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_of_older_queue_files_are_read() {
        let old: Recipient = serde_json::from_str(r#"{"address":"a@b.test"}"#).unwrap();
        assert_eq!(old, Recipient::from("a@b.test".parse::<Address>().unwrap()));
        assert_eq!(serde_json::to_string(&old).unwrap(), r#"{"address":"a@b.test"}"#);
        assert!(old.wants_failure() && !old.wants_success());
        let asked = Recipient {
            notify: Some(Notify { success: true, ..Notify::default() }),
            original: Some(OriginalRecipient { kind: "rfc822".to_owned(), address: "x@y.test".to_owned() }),
            delay_reported: true,
            ..old
        };
        assert!(!asked.wants_failure() && asked.wants_success());
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(serde_json::from_str::<Recipient>(&text).unwrap(), asked);
    }
}
