//! What an operator says: one small file.

use std::path::PathBuf;

use filters::{AuthenticationConfig, DnsConfig, PolicyConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Network, Span};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the mail server finds the milter: `unix:/path`, `inet:port@host` or `inet6:port@host`.
    pub(crate) socket: String,
    /// The name in Authentication-Results, as a rule the mail server's own. It also completes addresses without a domain.
    pub(crate) hostname: String,
    /// The folder for what must be known after a restart: the last good set of rules, and those that were taken back.
    pub(crate) state_folder: PathBuf,
    /// Names of listeners (`{daemon_name}`) whose mail comes from one's own people, logged in or not.
    pub(crate) originating: Vec<String>,
    /// Networks whose mail comes from one's own people, as `mynetworks` of Postfix may say.
    pub(crate) own_networks: Vec<Network>,
    /// What is logged: error, warn, info, debug or trace.
    pub(crate) log_level: String,
    /// What one message, and all of them together, may take.
    pub(crate) limits: Limits,
    /// The DNS that checks ask.
    pub(crate) dns: DnsConfig,
    /// SPF, DKIM, ARC, DMARC.
    pub(crate) authentication: AuthenticationConfig,
    /// The rules.
    pub(crate) policy: PolicyConfig,
}

/// What one message, and all of them together, may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Octets of one message; a larger one is refused for good. At least the mail server's own limit.
    pub(crate) message_size_max: ByteSize,
    /// Octets of all messages that are held at once; one that does not fit is refused for now.
    pub(crate) memory_max: ByteSize,
    /// Connections of the mail server at once; one more is told to come back.
    pub(crate) connections_max: usize,
    /// Recipients of one message.
    pub(crate) recipients_max: usize,
    /// How long the checks of one message may take; the mail server must wait longer (`milter_content_timeout`).
    pub(crate) message_max: Span,
    /// How often the mail server hears that a message is still being checked.
    pub(crate) progress_interval: Span,
    /// How long a connection lives on which the mail server says nothing.
    pub(crate) silence_max: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: "unix:/run/sluice-milter/milter.sock".to_owned(),
            hostname: String::new(),
            state_folder: PathBuf::from("/var/lib/sluice-milter"),
            originating: vec!["ORIGINATING".to_owned()],
            own_networks: Vec::new(),
            log_level: "info".to_owned(),
            limits: Limits::default(),
            dns: DnsConfig::default(),
            authentication: AuthenticationConfig::default(),
            policy: PolicyConfig::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size_max: ByteSize::mib(64),
            memory_max: ByteSize::mib(512),
            connections_max: 500,
            recipients_max: 1000,
            message_max: Span::secs(60),
            progress_interval: Span::secs(5),
            silence_max: Span::hours(2),
        }
    }
}

impl config::Validate for Config {
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |good: bool, key: &str, problem: &str| {
            if !good {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        check(is_socket(&self.socket), "socket", "write unix:/path, inet:port@host or inet6:port@host");
        check(
            self.hostname.parse::<envelope::Domain>().is_ok(),
            "hostname",
            "the mail server's name, such as mx.example.org",
        );
        check(
            self.log_level.parse::<tracing::Level>().is_ok(),
            "log_level",
            "error, warn, info, debug or trace",
        );
        let limits = &self.limits;
        check(limits.message_size_max >= ByteSize::kib(64), "limits.message_size_max", "at least 64 KiB");
        check(
            limits.memory_max >= limits.message_size_max,
            "limits.memory_max",
            "at least one message (message_size_max)",
        );
        check(limits.connections_max > 0, "limits.connections_max", "at least 1");
        check(
            limits.recipients_max >= 100,
            "limits.recipients_max",
            "at least 100 (RFC 5321 section 4.5.3.1.8)",
        );
        for (key, span) in
            [("message_max", limits.message_max), ("progress_interval", limits.progress_interval)]
        {
            check(!span.as_duration().is_zero(), &format!("limits.{key}"), "must be longer than nothing");
        }
        let silence = limits.silence_max.as_duration().as_secs();
        check((1..=604_800).contains(&silence), "limits.silence_max", "1s to a week");
        let all = filters::Config {
            dns: self.dns.clone(),
            authentication: self.authentication.clone(),
            policy: self.policy.clone(),
            ..filters::Config::default()
        };
        faults.extend(all.faults());
        faults
    }
}

/// Whether libmilter would take it. A path must be absolute, for the mail server looks from elsewhere.
fn is_socket(text: &str) -> bool {
    let Some((kind, rest)) = text.split_once(':') else { return false };
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    match kind {
        "unix" | "local" => rest.starts_with('/') && !rest.contains('\0'),
        "inet" | "inet6" => rest.split_once('@').is_some_and(|(port, host)| {
            is_port(port) && !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic())
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets() {
        let check = |text: &str, expected: bool| assert_eq!(is_socket(text), expected, "{text}");
        check("unix:/run/a.sock", true);
        check("local:/run/a.sock", true);
        check("inet:8891@127.0.0.1", true);
        check("inet6:8891@::1", true);
        for wrong in
            ["", "/run/a.sock", "unix:a.sock", "inet:8891", "inet:0@a", "inet:65536@a", "inet:1@", "tcp:1@a"]
        {
            check(wrong, false);
        }
    }

    #[test]
    fn every_fault_at_once() {
        let check = |text: &str, expected: &[&str]| {
            let keys: Vec<String> = match config::load_text::<Config>("a", text, []) {
                Ok(_) => Vec::new(),
                Err(faults) => faults.0.into_iter().map(|fault| fault.key).collect(),
            };
            assert_eq!(keys, expected, "{text}");
        };
        let named = "hostname = \"mx.a.test\"\n";
        check(named, &[]);
        check("", &["hostname"]);
        check(&format!("{named}socket = \"a\"\nlog_level = \"loud\"\n"), &["socket", "log_level"]);
        check(&format!("{named}[limits]\nmessage_size_max = \"63 KiB\"\n"), &["limits.message_size_max"]);
        check(&format!("{named}[limits]\nmessage_size_max = \"64 KiB\"\nmemory_max = \"64 KiB\"\n"), &[]);
        check(&format!("{named}[limits]\nmemory_max = \"1 MiB\"\n"), &["limits.memory_max"]);
        check(&format!("{named}[limits]\nrecipients_max = 99\n"), &["limits.recipients_max"]);
        check(&format!("{named}[policy]\nrules_max = 0\n"), &["policy.rules_max"]);
        check(&format!("{named}[milters]\n"), &["milters"]);
    }
}
