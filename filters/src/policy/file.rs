//! The form of a rule file.
//!
//! ```toml
//! [list.chiefs]                                  # values that rules look up; or file = "chiefs.txt", one a line
//! values = ["Carla Chief", "Ben Boss"]
//!
//! [[rule]]
//! name = "executive-impersonation"               # unique; in logs, metrics and the quarantine
//! owner = "security@example.test"                # whom to ask about it
//! when = '''in_list(message.from_name, "chiefs") && !connection.authenticated && auth.dmarc != "pass"'''
//! then = [{ action = "quarantine", reason = "the name of a chief, from outside" }]
//! mode = "enforce"                               # "shadow": counted and logged, nothing else
//! canary = 10                                    # in percent of messages; elsewhere it is a shadow
//! direction = "inbound"                          # "outbound": what people here submit; "any"
//! expires = "2027-03-31"                         # the last day on which it does anything
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use envelope::Address;
use serde::Deserialize;
use toml::Spanned;
use units::Span;

/// What one file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    #[serde(default)]
    pub(super) list: BTreeMap<String, Spanned<ListSource>>,
    #[serde(default)]
    pub(super) rule: Vec<RuleSource>,
}

/// A named list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListSource {
    #[serde(default)]
    pub(super) values: Vec<String>,
    /// Beside the rule file; one value a line, `#` begins a comment.
    pub(super) file: Option<PathBuf>,
}

/// A rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleSource {
    pub(super) name: Spanned<String>,
    pub(super) owner: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) when: Spanned<String>,
    pub(super) then: Vec<Effect>,
    #[serde(default)]
    pub(super) mode: Mode,
    pub(super) canary: Option<u8>,
    #[serde(default)]
    pub(super) direction: Direction,
    pub(super) expires: Option<String>,
}

/// Whether a rule does anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It does what it says.
    #[default]
    Enforce,
    /// It is counted and logged.
    Shadow,
}

/// Which mail a rule is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// All.
    Any,
    /// From other systems.
    #[default]
    Inbound,
    /// From people who logged in.
    Outbound,
}

/// What a rule does when it fits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Effect {
    /// Rules below are not looked at.
    Accept,
    /// A copy to somebody else, as a further recipient.
    Copy {
        /// To whom.
        to: Address,
    },
    /// The message is accepted and goes nowhere.
    Discard,
    /// A field on top of the message.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A report with sender, recipients and the whole message, to an archive.
    Journal {
        /// The archive.
        to: Address,
    },
    /// The message is kept back for an operator.
    Quarantine {
        /// Why; the rule's name stands before it.
        #[serde(default)]
        reason: String,
    },
    /// More than `limit` messages in `window` with the same key: `exceeded` follows.
    Rate {
        /// What is counted.
        key: RateKey,
        /// How many are let through.
        limit: u64,
        /// From the first one on.
        window: Span,
        /// What follows.
        #[serde(default)]
        exceeded: Exceeded,
        /// What the sender is told.
        #[serde(default)]
        text: String,
    },
    /// Other recipients instead.
    Redirect {
        /// The only recipient from then on.
        to: Address,
    },
    /// The message is refused for good.
    Reject {
        /// What the sender is told.
        text: String,
    },
    /// All fields of a name are removed.
    RemoveHeader {
        /// The name.
        name: String,
    },
    /// Points.
    Score {
        /// Positive: bad.
        points: f64,
    },
    /// A word in the message's `X-Sluice-Tags` field.
    Tag {
        /// The word.
        value: String,
    },
    /// The message is refused for now.
    Tempfail {
        /// What the sender is told.
        text: String,
    },
}

/// What a rate counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateKey {
    /// Who logged in.
    Account,
    /// The peer's address, of IPv6 its /64.
    Address,
    /// The domain of the From field.
    FromDomain,
    /// Sender in the envelope.
    Sender,
    /// Its domain.
    SenderDomain,
    /// The subject: the same one from many places.
    Subject,
}

impl RateKey {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
            Self::FromDomain => "from-domain",
            Self::Sender => "sender",
            Self::SenderDomain => "sender-domain",
            Self::Subject => "subject",
        }
    }
}

/// What follows when a rate is exceeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exceeded {
    /// It is kept back.
    Quarantine,
    /// It is refused for good.
    Reject,
    /// It is refused for now.
    #[default]
    Tempfail,
}

impl Effect {
    /// In few words, for logs and explanations.
    pub fn describe(&self) -> String {
        match self {
            Self::Accept => "accept: rules below are not looked at".to_owned(),
            Self::Copy { to } => format!("copy to {to}"),
            Self::Discard => "discard".to_owned(),
            Self::Header { name, value } => format!("header {name}: {value}"),
            Self::Journal { to } => format!("journal to {to}"),
            Self::Quarantine { reason } if reason.is_empty() => "quarantine".to_owned(),
            Self::Quarantine { reason } => format!("quarantine: {reason}"),
            Self::Rate { key, limit, window, .. } => {
                format!("at most {limit} by {} in {window}", key.name())
            }
            Self::Redirect { to } => format!("redirect to {to}"),
            Self::Reject { text } => format!("reject: {text}"),
            Self::RemoveHeader { name } => format!("remove header {name}"),
            Self::Score { points } => format!("score {points:+}"),
            Self::Tag { value } => format!("tag {value}"),
            Self::Tempfail { text } => format!("tempfail: {text}"),
        }
    }
}
