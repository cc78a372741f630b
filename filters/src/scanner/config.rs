//! Which scanners there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

use crate::milter::{Clients, list_faults, serves};
use crate::peer::{BreakerConfig, PeerAddress};
use crate::verdict::OnFailure;

/// A scanner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScannerConfig {
    /// What it is called in logs, metrics and reasons.
    pub name: String,
    /// What it speaks.
    pub kind: ScannerKind,
    /// Where it listens: `unix:/path`, `inet:host:port` or `address:port`.
    pub address: PeerAddress,
    /// What it means when it can't be asked.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What becomes of a message in which clamd finds something. (What rspamd finds, it decides itself.)
    #[serde(default)]
    pub on_found: Found,
    /// What becomes of a message that is too big to be scanned.
    #[serde(default)]
    pub on_oversize: Oversize,
    /// The largest message that is scanned; not more than the scanner itself takes (clamd: `StreamMaxLength`, rspamd: `max_message`).
    #[serde(default = "defaults::size_max")]
    pub size_max: ByteSize,
    /// The listeners whose mail it sees: `mx`, `submission`, `submissions`, `lmtp`. Empty: all.
    #[serde(default)]
    pub listeners: Vec<String>,
    /// Whose mail it sees.
    #[serde(default)]
    pub clients: Clients,
    /// How long it may take to connect.
    #[serde(default = "defaults::connect_max")]
    pub connect_max: Span,
    /// How long it may take for a message in all.
    #[serde(default = "defaults::scan_max")]
    pub scan_max: Span,
    /// The largest answer that is read.
    #[serde(default = "defaults::answer_max")]
    pub answer_max: ByteSize,
    /// Changes of one message that rspamd may want; beyond it has failed.
    #[serde(default = "defaults::modifications_max")]
    pub modifications_max: usize,
    /// Connections to rspamd that are kept for the next message.
    #[serde(default = "defaults::idle_connections_max")]
    pub idle_connections_max: usize,
    /// For how long they are kept without a message.
    #[serde(default = "defaults::idle_connection_age_max")]
    pub idle_connection_age_max: Span,
    /// When it is let alone.
    #[serde(default)]
    pub breaker: BreakerConfig,
}

/// What a scanner speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScannerKind {
    /// rspamd's HTTP protocol (`/checkv2`), of a normal worker.
    Rspamd,
    /// clamd's `INSTREAM`.
    Clamd,
}

/// What becomes of a message in which something was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// It is refused.
    #[default]
    Reject,
    /// It is kept back for an operator.
    Quarantine,
    /// It is accepted and dropped.
    Discard,
}

/// What becomes of a message that is too big to be scanned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Oversize {
    /// It is refused for good: trying again would not make it smaller.
    #[default]
    Refuse,
    /// It passes unseen.
    Accept,
}

mod defaults {
    use units::{ByteSize, Span};

    pub(super) const fn size_max() -> ByteSize {
        ByteSize::mib(50)
    }

    pub(super) const fn connect_max() -> Span {
        Span::secs(5)
    }

    pub(super) const fn scan_max() -> Span {
        Span::mins(2)
    }

    pub(super) const fn answer_max() -> ByteSize {
        ByteSize::mib(4)
    }

    pub(super) const fn modifications_max() -> usize {
        2000
    }

    pub(super) const fn idle_connections_max() -> usize {
        8
    }

    pub(super) const fn idle_connection_age_max() -> Span {
        Span::secs(30)
    }
}

impl ScannerConfig {
    /// A scanner with the default limits and deadlines.
    pub fn new(name: impl Into<String>, kind: ScannerKind, address: PeerAddress) -> Self {
        Self {
            name: name.into(),
            kind,
            address,
            on_failure: OnFailure::default(),
            on_found: Found::default(),
            on_oversize: Oversize::default(),
            size_max: defaults::size_max(),
            listeners: Vec::new(),
            clients: Clients::default(),
            connect_max: defaults::connect_max(),
            scan_max: defaults::scan_max(),
            answer_max: defaults::answer_max(),
            modifications_max: defaults::modifications_max(),
            idle_connections_max: defaults::idle_connections_max(),
            idle_connection_age_max: defaults::idle_connection_age_max(),
            breaker: BreakerConfig::default(),
        }
    }

    pub(super) fn sees(&self, listener: &str, authenticated: bool) -> bool {
        serves(&self.listeners, listener) && self.clients.include(authenticated)
    }
}

/// What is wrong with a list of scanners: pairs of key path, from the list on, and problem.
pub fn faults(scanners: &[ScannerConfig]) -> Vec<(String, String)> {
    let mut faults =
        list_faults(scanners.iter().map(|scanner| (scanner.name.as_str(), scanner.listeners.as_slice())));
    for (index, scanner) in scanners.iter().enumerate() {
        let mut check = |fine: bool, key: &str, problem: &str| {
            if !fine {
                faults.push((format!("{index}.{key}"), problem.to_owned()));
            }
        };
        for (key, span) in [("connect_max", scanner.connect_max), ("scan_max", scanner.scan_max)] {
            check(!span.as_duration().is_zero(), key, "must be longer than nothing");
        }
        check(
            scanner.scan_max <= Span::mins(8),
            "scan_max",
            "must be at most 8m: after 10m clients give up and send again",
        );
        check(scanner.answer_max >= ByteSize::kib(4), "answer_max", "must be at least 4 KiB");
    }
    faults
}
