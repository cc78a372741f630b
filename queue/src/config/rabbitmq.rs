//! The broker, and how it is used.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// The queue on RabbitMQ, shared by gateways and workers on different machines (`queue.backend = "rabbitmq"`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RabbitConfig {
    /// The broker's nodes as `host:port`; tried in turn, from a random one on.
    pub addresses: Vec<String>,
    /// The virtual host.
    pub vhost: String,
    /// Who logs in.
    pub user: String,
    /// A file that holds the password in its first line. A relative path starts in the data folder.
    pub password_file: PathBuf,
    /// A file with the certificates (PEM) that vouch for the broker: with one, connections are encrypted and the broker is checked; empty: no encryption.
    pub tls_ca_file: PathBuf,
    /// The queues' names begin with this.
    pub prefix: String,
    /// Nodes that hold each message, as far as the cluster has so many.
    pub replicas: u8,
    /// A directory that all gateways and workers mount, for bodies larger than `inline_max`. A relative path starts in the data folder.
    pub spool_dir: PathBuf,
    /// How long a connection and its log-in may take.
    pub connect_max: Span,
    /// The first wait before a lost connection is tried again; it doubles up to `reconnect_wait_max`.
    pub reconnect_wait_min: Span,
    /// The longest wait before a lost connection is tried again.
    pub reconnect_wait_max: Span,
    /// After two of these without a sign of life a connection counts as lost, on both sides.
    pub heartbeat: Span,
    /// How long a message that was not sent yet waits for a connection.
    pub away_max: Span,
    /// How long a message waits for the broker's confirmation, a new connection included. A connection by which a queue says nothing for so long is
    /// given up for another.
    pub confirm_max: Span,
    /// How long an answer of the broker to anything else may take.
    pub answer_max: Span,
    /// Messages that a worker has at hand for each lane, besides those it works on.
    pub prefetch: u16,
    /// After so many tries that ended with the worker (a crash, a lost connection) a message becomes a dead letter.
    pub delivery_limit: u16,
    /// How often it is checked whether messages wait that a consumer does not get.
    pub watchdog_interval: Span,
    /// Messages of each queue that a listing looks at, and the hourly look for what is kept back no longer.
    pub browse_max: u32,
}

impl Default for RabbitConfig {
    fn default() -> Self {
        Self {
            addresses: vec!["127.0.0.1:5672".to_owned()],
            vhost: "/".to_owned(),
            user: "guest".to_owned(),
            password_file: PathBuf::new(),
            tls_ca_file: PathBuf::new(),
            prefix: "sluice".to_owned(),
            replicas: 3,
            spool_dir: PathBuf::from("spool"),
            connect_max: Span::secs(10),
            reconnect_wait_min: Span::millis(100),
            reconnect_wait_max: Span::secs(5),
            heartbeat: Span::secs(10),
            away_max: Span::secs(2),
            confirm_max: Span::secs(20),
            answer_max: Span::secs(10),
            prefetch: 64,
            delivery_limit: 20,
            watchdog_interval: Span::secs(10),
            browse_max: 10_000,
        }
    }
}

impl RabbitConfig {
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |key: &str, wrong: bool, problem: &str| {
            if wrong {
                faults.push((format!("rabbitmq.{key}"), problem.to_owned()));
            }
        };
        check("addresses", self.addresses.is_empty(), "must name at least one node");
        let no_port =
            |address: &String| address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err());
        check("addresses", self.addresses.iter().any(no_port), "must look like host:5672");
        check("user", self.user.is_empty(), "must not be empty");
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        check(
            "prefix",
            self.prefix.is_empty() || self.prefix.len() > 64 || !plain(&self.prefix),
            "must be 1 to 64 letters, digits, - _ .",
        );
        check("replicas", self.replicas == 0, "must be at least 1");
        check("spool_dir", self.spool_dir.as_os_str().is_empty(), "must not be empty");
        check(
            "heartbeat",
            self.heartbeat < Span::secs(1) || self.heartbeat > Span::secs(300),
            "must be 1s to 5m",
        );
        check("reconnect_wait_min", self.reconnect_wait_min < Span::millis(10), "must be at least 10ms");
        check(
            "reconnect_wait_max",
            self.reconnect_wait_max < self.reconnect_wait_min,
            "must be at least reconnect_wait_min",
        );
        check("prefetch", self.prefetch == 0, "must be at least 1");
        check("delivery_limit", self.delivery_limit < 2, "must be at least 2");
        check("watchdog_interval", self.watchdog_interval < Span::millis(100), "must be at least 100ms");
        check("browse_max", self.browse_max == 0, "must be at least 1");
        faults
    }
}
