//! Which milters there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

use crate::peer::{BreakerConfig, PeerAddress};
use crate::verdict::OnFailure;

/// A milter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MilterConfig {
    /// What it is called in logs, metrics and reasons.
    pub name: String,
    /// Where it listens: `unix:/path`, `inet:host:port` or `address:port`.
    pub address: PeerAddress,
    /// What it means when it can't be asked.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// The listeners whose mail it sees: `mx`, `submission`, `submissions`, `lmtp`. Empty: all.
    #[serde(default)]
    pub listeners: Vec<String>,
    /// Whose mail it sees.
    #[serde(default)]
    pub clients: Clients,
    /// How long it may take to connect and to agree on the protocol.
    #[serde(default = "defaults::connect_max")]
    pub connect_max: Span,
    /// How long it may take to answer one command.
    #[serde(default = "defaults::command_max")]
    pub command_max: Span,
    /// How long it may take for a message in all, from its first field to the answer at its end, with reports of progress.
    #[serde(default = "defaults::message_max")]
    pub message_max: Span,
    /// How much it may send.
    #[serde(default)]
    pub limits: MilterLimits,
    /// When it is let alone.
    #[serde(default)]
    pub breaker: BreakerConfig,
}

/// Whose mail a milter or a scanner sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Clients {
    /// Everybody's.
    #[default]
    All,
    /// Of those who logged in.
    Authenticated,
    /// Of those who did not.
    Strangers,
}

impl Clients {
    /// Whether it sees the mail of a client that has logged in, or has not.
    pub(crate) const fn include(self, authenticated: bool) -> bool {
        match self {
            Self::All => true,
            Self::Authenticated => authenticated,
            Self::Strangers => !authenticated,
        }
    }
}

/// How much a milter may send. Beyond it has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MilterLimits {
    /// Size of one packet.
    pub packet_max: ByteSize,
    /// Changes of one message; each piece of a new body (64 KiB) counts.
    pub modifications_max: usize,
    /// Size of all changes of one message.
    pub modifications_size_max: ByteSize,
    /// Reports of progress for one command.
    pub progress_max: u32,
}

impl Default for MilterLimits {
    fn default() -> Self {
        Self {
            packet_max: ByteSize::mib(1),
            modifications_max: 2000,
            modifications_size_max: ByteSize::mib(64),
            progress_max: 1000,
        }
    }
}

mod defaults {
    use units::Span;

    pub(super) const fn connect_max() -> Span {
        Span::secs(5)
    }

    pub(super) const fn command_max() -> Span {
        Span::secs(30)
    }

    pub(super) const fn message_max() -> Span {
        Span::mins(3)
    }
}

/// The listeners that a gateway has.
const LISTENERS: [&str; 4] = ["mx", "submission", "submissions", "lmtp"];

impl MilterConfig {
    /// A milter with the default limits and deadlines.
    pub fn new(name: impl Into<String>, address: PeerAddress) -> Self {
        Self {
            name: name.into(),
            address,
            on_failure: OnFailure::default(),
            listeners: Vec::new(),
            clients: Clients::default(),
            connect_max: defaults::connect_max(),
            command_max: defaults::command_max(),
            message_max: defaults::message_max(),
            limits: MilterLimits::default(),
            breaker: BreakerConfig::default(),
        }
    }

    /// Whether it sees mail of a listener.
    pub(crate) fn serves(&self, listener: &str) -> bool {
        serves(&self.listeners, listener)
    }

    pub(crate) fn limits(&self) -> milter_proto::Limits {
        milter_proto::Limits {
            packet_max: self.limits.packet_max.as_usize(),
            modifications_max: self.limits.modifications_max,
            modifications_octets_max: self.limits.modifications_size_max.as_usize(),
            progress_max: self.limits.progress_max,
        }
    }
}

/// Whether `listeners` names one; an empty list names all.
pub(crate) fn serves(listeners: &[String], listener: &str) -> bool {
    listeners.is_empty() || listeners.iter().any(|named| named == listener)
}

/// What is wrong with names and listeners of a list of milters or scanners: pairs of key path and problem.
pub(crate) fn list_faults<'a>(each: impl Iterator<Item = (&'a str, &'a [String])>) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for (index, (name, listeners)) in each.enumerate() {
        let key = |field: &str| format!("{index}.{field}");
        let fine = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if name.is_empty() || !fine {
            faults.push((key("name"), "letters, digits, `-`, `_` and `.`".to_owned()));
        }
        if names.contains(&name) {
            faults.push((key("name"), format!("`{name}` is there twice")));
        }
        names.push(name);
        for listener in listeners.iter().filter(|listener| !LISTENERS.contains(&listener.as_str())) {
            faults.push((key("listeners"), format!("`{listener}` is none of {}", LISTENERS.join(", "))));
        }
    }
    faults
}

/// What is wrong with a list of milters: pairs of key path, from the list on, and problem.
pub fn faults(milters: &[MilterConfig]) -> Vec<(String, String)> {
    let mut faults =
        list_faults(milters.iter().map(|milter| (milter.name.as_str(), milter.listeners.as_slice())));
    for (index, milter) in milters.iter().enumerate() {
        let mut check = |fine: bool, key: &str, problem: &str| {
            if !fine {
                faults.push((format!("{index}.{key}"), problem.to_owned()));
            }
        };
        let spans = [
            ("connect_max", milter.connect_max),
            ("command_max", milter.command_max),
            ("message_max", milter.message_max),
        ];
        for (key, span) in spans {
            check(!span.as_duration().is_zero(), key, "must be longer than nothing");
        }
        check(
            milter.message_max <= Span::mins(8),
            "message_max",
            "must be at most 8m: after 10m clients give up and send again",
        );
        // libmilter sends pieces of 65,535 octets.
        check(milter.limits.packet_max >= ByteSize::kib(64), "limits.packet_max", "must be at least 64 KiB");
        check(milter.limits.packet_max <= ByteSize::mib(64), "limits.packet_max", "must be at most 64 MiB");
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milter(name: &str) -> MilterConfig {
        MilterConfig::new(name, "unix:/run/x".parse().unwrap())
    }

    #[test]
    fn a_name_and_an_address_are_enough() {
        let json = r#"{"name":"a","address":"inet:localhost:8893"}"#;
        let config: MilterConfig = serde_json::from_str(json).unwrap();
        assert_eq!(config, MilterConfig::new("a", "inet:localhost:8893".parse().unwrap()));
        assert_eq!(config.on_failure, OnFailure::Tempfail);
        assert_eq!(faults(&[config]), []);
        for wrong in
            [r#"{"name":"a"}"#, r#"{"name":"a","address":"x"}"#, r#"{"name":"a","address":"unix:/x","y":1}"#]
        {
            assert!(serde_json::from_str::<MilterConfig>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn faults_name_their_keys() {
        let mut odd = milter("a b");
        odd.listeners = vec!["mx".to_owned(), "sumbission".to_owned()];
        odd.command_max = Span::secs(0);
        odd.message_max = Span::mins(9);
        odd.limits.packet_max = ByteSize::kib(63);
        let keys: Vec<String> =
            faults(&[milter("a"), milter("a"), odd]).into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            ["1.name", "2.name", "2.listeners", "2.command_max", "2.message_max", "2.limits.packet_max"]
        );
    }

    #[test]
    fn whose_mail() {
        for (clients, strangers, authenticated) in [
            (Clients::All, true, true),
            (Clients::Authenticated, false, true),
            (Clients::Strangers, true, false),
        ] {
            assert_eq!((clients.include(false), clients.include(true)), (strangers, authenticated));
        }
        assert!(
            serves(&[], "mx")
                && serves(&["mx".to_owned()], "mx")
                && !serves(&["mx".to_owned()], "submission")
        );
    }
}
