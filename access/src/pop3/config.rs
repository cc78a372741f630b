//! How POP3 is served.

use std::net::SocketAddr;

use sasl::Mechanism;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Network, Span};

use crate::login::PlaintextLogin;

/// How POP3 is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where plain connections with STLS are accepted, such as `0.0.0.0:110`; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// Where connections that begin with TLS are accepted, such as `0.0.0.0:995`; nowhere when absent.
    pub listen_tls: Option<SocketAddr>,
    /// On which connections without TLS a password is taken: `loopback` or `never`.
    pub plaintext_login: PlaintextLogin,
    /// How people may log in, in the order in which it is announced. What can't work is left out by itself: SCRAM-SHA-256-PLUS without TLS,
    /// OAUTHBEARER and XOAUTH2 without `directory.oauth`. Without PLAIN and LOGIN the commands USER and PASS are refused too.
    pub mechanisms: Vec<Mechanism>,
    /// Addresses and networks of load balancers in front. Their connections must begin with a PROXY header (version 1 or 2), and the address in it counts as the peer.
    pub proxy_protocol_from: Vec<Network>,
    /// The most connections that each listener serves at once.
    pub connections_max: usize,
    /// The most connections from one IPv4 address or one IPv6 /64 network.
    pub connections_per_address_max: usize,
    /// How long a connection may take from its start to its login.
    pub login_timeout: Span,
    /// How long a session that is logged in may stay silent (RFC 1939 §3 wants at least 10 minutes).
    pub idle_timeout: Span,
    /// How long the peer may take to receive one buffer of output.
    pub write_timeout: Span,
    /// How long an answer to a failed login is held back.
    pub failed_login_delay: Span,
    /// How many failed logins end the connection.
    pub failed_logins_max: u32,
    /// How many commands that are refused, with no good one between them, end the connection.
    pub bad_commands_max: u32,
    /// The longest line that a client may send, a SASL response included.
    pub line_max: ByteSize,
    /// How much of a message or a listing is in memory at once for each connection.
    pub piece_size: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            listen_tls: None,
            plaintext_login: PlaintextLogin::Loopback,
            mechanisms: Mechanism::ALL.to_vec(),
            proxy_protocol_from: Vec::new(),
            connections_max: 10_000,
            connections_per_address_max: 200,
            login_timeout: Span::secs(60),
            idle_timeout: Span::mins(10),
            write_timeout: Span::mins(5),
            failed_login_delay: Span::secs(2),
            failed_logins_max: 3,
            bad_commands_max: 20,
            line_max: ByteSize::kib(16),
            piece_size: ByteSize::kib(256),
        }
    }
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let at_least_one = "must be at least 1";
        let checks = [
            (self.connections_max == 0, "connections_max", at_least_one),
            (self.connections_per_address_max == 0, "connections_per_address_max", at_least_one),
            (self.mechanisms.is_empty(), "mechanisms", "must name at least one"),
            (self.failed_logins_max == 0, "failed_logins_max", at_least_one),
            (self.bad_commands_max == 0, "bad_commands_max", at_least_one),
            (self.line_max < ByteSize::bytes(255), "line_max", "must be at least 255 B (RFC 2449 §4)"),
            (self.line_max > ByteSize::mib(1), "line_max", "must be at most 1 MiB"),
            (self.piece_size < ByteSize::kib(4), "piece_size", "must be at least 4 KiB"),
            (self.idle_timeout < Span::mins(10), "idle_timeout", "must be at least 10m (RFC 1939 §3)"),
            (self.login_timeout == Span::secs(0), "login_timeout", "must be longer than zero"),
            (self.write_timeout == Span::secs(0), "write_timeout", "must be longer than zero"),
        ];
        let wrong = checks.into_iter().filter(|(is_wrong, _, _)| *is_wrong);
        wrong.map(|(_, key, problem)| (key.to_owned(), problem.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults() {
        assert!(Config::default().faults().is_empty());
        let short = Config {
            idle_timeout: Span::millis(599_999),
            line_max: ByteSize::bytes(254),
            mechanisms: Vec::new(),
            ..Config::default()
        };
        let keys: Vec<String> = short.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["mechanisms", "line_max", "idle_timeout"]);
    }
}
