//! How IMAP is served.

use std::net::SocketAddr;

use sasl::Mechanism;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Network, Span};

use crate::login::PlaintextLogin;

/// How IMAP is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where plain connections with STARTTLS are accepted, such as `0.0.0.0:143`; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// Where connections that begin with TLS are accepted, such as `0.0.0.0:993`; nowhere when absent.
    pub listen_tls: Option<SocketAddr>,
    /// On which connections without TLS a password is taken: `loopback` or `never`.
    pub plaintext_login: PlaintextLogin,
    /// How people may log in, in the order in which it is announced. What can't work is left out by itself: SCRAM-SHA-256-PLUS without TLS,
    /// OAUTHBEARER and XOAUTH2 without `directory.oauth`. Without PLAIN and LOGIN the command LOGIN is refused too.
    pub mechanisms: Vec<Mechanism>,
    /// Addresses and networks of load balancers in front. Their connections must begin with a PROXY header (version 1 or 2), and the address in it counts as the peer.
    pub proxy_protocol_from: Vec<Network>,
    /// The most connections that each listener serves at once.
    pub connections_max: usize,
    /// The most connections from one IPv4 address or one IPv6 /64 network.
    pub connections_per_address_max: usize,
    /// The most connections that are logged in to one account on this node.
    pub connections_per_account_max: usize,
    /// How long a connection may take from its start to its login.
    pub login_timeout: Span,
    /// How long a session that is logged in may stay silent (RFC 3501 §5.4 wants at least 30 minutes).
    pub idle_timeout: Span,
    /// How long the peer may take to send the rest of a command that it has begun.
    pub command_timeout: Span,
    /// How long the peer may take to receive one buffer of output.
    pub write_timeout: Span,
    /// How long an answer to a failed login is held back.
    pub failed_login_delay: Span,
    /// How many failed logins end the connection.
    pub failed_logins_max: u32,
    /// How many commands that make no sense, with no good one between them, end the connection.
    pub bad_commands_max: u32,
    /// How long a session relies on what this process knows of its mailbox before a command looks at the disk for
    /// changes that other processes made.
    pub poll_interval: Span,
    /// How often a session in IDLE looks at the disk for changes that other processes made; those of this process wake it at once.
    pub idle_poll_interval: Span,
    /// How long an IDLE may last before the connection is closed: at least 30 minutes (RFC 3501 §5.4). Clients renew theirs
    /// after 29 minutes (RFC 2177 §3), and not to the second.
    pub idle_command_timeout: Span,
    /// The longest command before login, literals counted in.
    pub command_before_login_max: ByteSize,
    /// The longest command line, literals not counted in.
    pub line_max: ByteSize,
    /// The longest literal in a command other than APPEND's message.
    pub literal_max: ByteSize,
    /// The largest message that APPEND takes.
    pub append_max: ByteSize,
    /// The memory for messages that are being appended, over all connections of this node.
    pub append_memory_max: ByteSize,
    /// How long a client waits for that memory when it is short, before it is refused.
    pub append_memory_wait: Span,
    /// The most ranges in one set of message numbers.
    pub sequence_ranges_max: usize,
    /// The most keys in one SEARCH.
    pub search_keys_max: usize,
    /// The most octets of one message that SEARCH BODY and SEARCH TEXT look into.
    pub search_message_max: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            listen_tls: None,
            plaintext_login: PlaintextLogin::Loopback,
            mechanisms: Mechanism::ALL.to_vec(),
            proxy_protocol_from: Vec::new(),
            connections_max: 20_000,
            connections_per_address_max: 200,
            connections_per_account_max: 50,
            login_timeout: Span::secs(60),
            idle_timeout: Span::mins(30),
            command_timeout: Span::mins(5),
            write_timeout: Span::mins(5),
            failed_login_delay: Span::secs(2),
            failed_logins_max: 3,
            bad_commands_max: 10,
            poll_interval: Span::secs(1),
            idle_poll_interval: Span::secs(5),
            idle_command_timeout: Span::mins(32),
            command_before_login_max: ByteSize::kib(16),
            line_max: ByteSize::kib(64),
            literal_max: ByteSize::kib(64),
            append_max: ByteSize::mib(50),
            append_memory_max: ByteSize::mib(512),
            append_memory_wait: Span::secs(10),
            sequence_ranges_max: 10_000,
            search_keys_max: 1000,
            search_message_max: ByteSize::mib(16),
        }
    }
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, problem: &str| faults.push((key.to_owned(), problem.to_owned()));
        if self.mechanisms.is_empty() {
            fault("mechanisms", "must name at least one");
        }
        for (key, value) in [
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
            ("connections_per_account_max", self.connections_per_account_max),
            ("sequence_ranges_max", self.sequence_ranges_max),
            ("search_keys_max", self.search_keys_max),
        ] {
            if value == 0 {
                fault(key, "must be at least 1");
            }
        }
        for (key, value) in [
            ("login_timeout", self.login_timeout),
            ("command_timeout", self.command_timeout),
            ("write_timeout", self.write_timeout),
            ("idle_poll_interval", self.idle_poll_interval),
        ] {
            if value < Span::millis(1) {
                fault(key, "must be longer than nothing");
            }
        }
        for (key, value) in
            [("idle_timeout", self.idle_timeout), ("idle_command_timeout", self.idle_command_timeout)]
        {
            if value < Span::mins(30) {
                fault(key, "must be at least 30m (RFC 3501 §5.4)");
            }
        }
        for (key, value) in
            [("command_before_login_max", self.command_before_login_max), ("line_max", self.line_max)]
        {
            if value < ByteSize::kib(1) {
                fault(key, "must be at least 1 KiB, or no client can log in");
            }
        }
        if self.append_memory_max < self.append_max {
            fault("append_memory_max", "must be at least append_max, or a message of that size never fits");
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sound() {
        assert_eq!(Config::default().faults(), []);
    }

    /// RFC 3501 §5.4: the autologout timer is 30 minutes at least; and clients that renew IDLE after 29 (RFC 2177 §3) come in time.
    #[test]
    fn nobody_is_logged_out_early() {
        let config = Config::default();
        assert!(config.idle_timeout >= Span::mins(30) && config.idle_command_timeout > Span::mins(30));
        for (minutes, expected) in [(29, 2), (30, 0)] {
            let short = Span::mins(minutes);
            let config = Config { idle_timeout: short, idle_command_timeout: short, ..config.clone() };
            assert_eq!(config.faults().len(), expected, "{minutes}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let config = Config {
            append_memory_max: ByteSize::mib(1),
            connections_max: 0,
            mechanisms: Vec::new(),
            idle_poll_interval: Span::millis(0),
            ..Config::default()
        };
        let keys: Vec<String> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["mechanisms", "connections_max", "idle_poll_interval", "append_memory_max"]);
    }
}
