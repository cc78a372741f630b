//! How much one peer may ask.

use runtime::ConnectionLimits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smtp_proto::{DataLimits, LineLimits, SessionLimits};
use units::{ByteSize, Network};

/// How often a message may be in memory while it is judged: as it came, as it is changed, and in a journal report.
pub(crate) const COPIES_MAX: u64 = 3;

/// Limits. At each the peer gets a clear refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections that one listener serves at once; more get 421.
    pub connections_max: usize,
    /// Hundredths of `connections_max` that are kept for addresses and networks that have no connection yet: when only so many
    /// places are left, who has one already gets 421.
    pub connections_reserve_percent: u8,
    /// Connections that one listener serves at once for one IPv4 address or one IPv6 /64 network; more get 421.
    pub connections_per_address_max: usize,
    /// Size of a message: announced with SIZE, and held to whatever the sender announced.
    pub message_size_max: ByteSize,
    /// Size of a message's header section.
    pub header_size_max: ByteSize,
    /// Fields in a message's header section.
    pub header_fields_max: usize,
    /// Received fields in a message's header section: a message with more runs in a loop.
    pub received_fields_max: usize,
    /// Octets in one line of a message. RFC 5321 allows 998; real mail has longer ones.
    pub text_line_max: ByteSize,
    /// Octets in one command line.
    pub command_line_max: ByteSize,
    /// Octets in one line of a login.
    pub auth_line_max: ByteSize,
    /// Octets of a login name.
    pub login_name_max: usize,
    /// Octets of a password.
    pub password_max: usize,
    /// Recipients of one message; more get 452 and are sent separately.
    pub recipients_max: usize,
    /// Messages begun in one session (RFC 9422: MAILMAX); the next MAIL gets 421.
    pub transactions_max: u32,
    /// Refusals before a session is closed with 421.
    pub errors_max: u32,
    /// Refusals in a session that are answered at once; each further one is answered late.
    pub errors_prompt: u32,
    /// Commands that move no mail (NOOP, RSET, VRFY, EHLO) before a session is closed with 421; a message sets the
    /// count back.
    pub idle_commands_max: u32,
    /// Failed logins before a session is closed with 421.
    pub login_failures_max: u32,
    /// Unknown recipients in a session that are answered at once; each further one is answered late.
    pub unknown_recipients_prompt: u32,
    /// Octets of a refused message or chunk that are still read, so that its sender can be told; beyond that the connection is closed.
    pub discard_max: ByteSize,
    /// Memory that messages on their way in may take together. What a message has beyond `queue.inline_max` and its header is
    /// on disk, until it is judged: then it counts three times, as it came, as it is changed, and in a journal report. A
    /// sender waits `timeouts.message_memory` for it, then gets 452.
    pub message_memory_max: ByteSize,
    /// Memory that binary messages (BINARYMIME, on submission) may take together until they are text: two and a half times their size. It
    /// is beside `message_memory_max`, so that slow ones hold up nobody else. A sender waits `timeouts.message_memory` for it, then gets 452.
    pub binary_memory_max: ByteSize,
    /// Octets a second that a sender must reach within a message, on average.
    pub data_rate_min: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_reserve_percent: 10,
            connections_per_address_max: 50,
            message_size_max: ByteSize::mib(50),
            header_size_max: ByteSize::kib(256),
            header_fields_max: 1000,
            received_fields_max: 50,
            text_line_max: ByteSize::kib(128),
            command_line_max: ByteSize::kib(2),
            auth_line_max: ByteSize::kib(12),
            login_name_max: 320,
            password_max: 1024,
            recipients_max: 1000,
            transactions_max: 100_000,
            errors_max: 20,
            errors_prompt: 10,
            idle_commands_max: 100,
            login_failures_max: 3,
            unknown_recipients_prompt: 5,
            discard_max: ByteSize::mib(50),
            message_memory_max: ByteSize::mib(512),
            binary_memory_max: ByteSize::mib(128),
            data_rate_min: ByteSize::bytes(500),
        }
    }
}

impl Limits {
    /// What is wrong with the values.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut at_least = |key: &str, value: u64, least: u64, why: &str| {
            if value < least {
                faults.push((key.to_owned(), format!("must be at least {least}: {why}")));
            }
        };
        at_least("connections_max", self.connections_max as u64, 1, "nobody could connect");
        at_least("transactions_max", self.transactions_max.into(), 1, "nobody could send");
        at_least(
            "connections_per_address_max",
            self.connections_per_address_max as u64,
            1,
            "nobody could connect",
        );
        at_least("message_size_max", self.message_size_max.as_u64(), 64 << 10, "RFC 5321 section 4.5.3.1.7");
        at_least("header_size_max", self.header_size_max.as_u64(), 4 << 10, "real mail has more");
        at_least("header_fields_max", self.header_fields_max as u64, 50, "real mail has more");
        at_least("received_fields_max", self.received_fields_max as u64, 10, "real mail has more");
        at_least("text_line_max", self.text_line_max.as_u64(), 998, "RFC 5321 section 4.5.3.1.6");
        at_least("command_line_max", self.command_line_max.as_u64(), 512, "RFC 5321 section 4.5.3.1.4");
        at_least("auth_line_max", self.auth_line_max.as_u64(), 512, "logins would fail");
        let copies = self.message_size_max.as_u64().saturating_mul(COPIES_MAX);
        at_least(
            "message_memory_max",
            self.message_memory_max.as_u64(),
            copies.max(16 << 20),
            "a message of `message_size_max` is judged in three copies",
        );
        at_least("recipients_max", self.recipients_max as u64, 100, "RFC 5321 section 4.5.3.1.8");
        if self.connections_reserve_percent > 90 {
            let problem = "must be at most 90: an address could have one connection only";
            faults.push(("connections_reserve_percent".to_owned(), problem.to_owned()));
        }
        faults
    }

    pub(crate) fn connections(&self, balancers: &[Network]) -> ConnectionLimits {
        ConnectionLimits {
            total: self.connections_max,
            per_address: self.connections_per_address_max,
            proxies: Vec::new(),
            proxy_protocol_from: balancers.to_vec(),
            reserve: Some(self.connections_max.saturating_mul(self.connections_reserve_percent.into()) / 100),
        }
    }

    pub(crate) fn lines(&self) -> LineLimits {
        LineLimits { command_max: self.command_line_max.as_usize(), auth_max: self.auth_line_max.as_usize() }
    }

    pub(crate) fn data(&self) -> DataLimits {
        DataLimits { line_max: self.text_line_max.as_usize(), message_max: self.message_size_max.as_u64() }
    }

    pub(crate) const fn session(&self) -> SessionLimits {
        SessionLimits {
            recipients_max: self.recipients_max,
            transactions_max: self.transactions_max,
            errors_max: self.errors_max,
            idle_commands_max: self.idle_commands_max,
            message_max: self.message_size_max.as_u64(),
            auth_failures_max: self.login_failures_max,
        }
    }

    pub(crate) fn sasl(&self) -> sasl::Limits {
        sasl::Limits {
            response_octets_max: self.auth_line_max.as_usize(),
            login_octets_max: self.login_name_max,
            password_octets_max: self.password_max,
        }
    }
}
