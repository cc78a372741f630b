//! The whole configuration: one section a room. Only here are all rooms known (docs/decisions/001).

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

use crate::arguments::Place;

/// Work that blocks a thread: files and password hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Blocking {
    /// Pieces of work on files at once in this process.
    pub(crate) slots: usize,
    /// How long a piece of work waits for its slot before its session gets a temporary refusal.
    pub(crate) wait_max: Span,
}

impl Default for Blocking {
    fn default() -> Self {
        Self { slots: 64, wait_max: Span::secs(30) }
    }
}

/// What `sluice.toml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The name by which this node speaks: in greetings, `Received` fields, reports and the self-signed certificate.
    pub(crate) hostname: String,
    /// How long a process that was told to end waits for its sessions and messages.
    pub(crate) drain_grace: Span,
    /// Threads for files.
    pub(crate) blocking: Blocking,
    /// What is logged, and how.
    pub(crate) log: runtime::LogConfig,
    /// Metrics and health.
    pub(crate) health: runtime::HealthConfig,
    /// The certificate.
    pub(crate) tls: runtime::TlsConfig,
    /// The queue between gateways and workers.
    pub(crate) queue: queue::Config,
    /// The mailboxes.
    pub(crate) store: store::Config,
    /// Domains, accounts, aliases.
    pub(crate) directory: directory::Config,
    /// SMTP in.
    pub(crate) gateway: gateway::Config,
    /// The delivery worker.
    pub(crate) delivery: delivery::Config,
    /// IMAP, POP3 and webmail.
    pub(crate) access: access::Config,
    /// Where the webmail of a process without a gateway submits what people write. In a process with one, its own gateway.
    #[schemars(with = "Option<String>")]
    pub(crate) submission: Option<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            drain_grace: Span::secs(30),
            blocking: Blocking::default(),
            log: runtime::LogConfig::default(),
            health: runtime::HealthConfig::default(),
            tls: runtime::TlsConfig::default(),
            queue: queue::Config::default(),
            store: store::Config::default(),
            directory: directory::Config::default(),
            gateway: gateway::Config::default(),
            delivery: delivery::Config::default(),
            access: access::Config::default(),
            submission: None,
        }
    }
}
