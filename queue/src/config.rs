//! What operators may set.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

mod rabbitmq;

pub use rabbitmq::RabbitConfig;

/// Where messages wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// In logs in a directory of this machine; no other service.
    #[default]
    Embedded,
    /// In RabbitMQ, for gateways and workers on different machines.
    Rabbitmq,
}

/// The queue between gateways and workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where messages wait.
    pub backend: Backend,
    /// The broker; read when it is the backend.
    pub rabbitmq: RabbitConfig,
    /// The directory of the embedded queue (with RabbitMQ: of what a gateway accepts while the broker is away), on a local disk; gateways and workers of one machine share it. A relative path starts in the data folder.
    pub dir: PathBuf,
    /// A message body up to this size is kept in memory and in the log; a larger one gets a file of its own.
    pub inline_max: ByteSize,
    /// Space reserved for a file of the log; a new one is begun when it is full. As much again is made ready for that one, where eight times as much is free on the disk.
    pub segment_size: ByteSize,
    /// At most this much is written to the log before one sync answers all publishers in it.
    pub batch_max: ByteSize,
    /// How often the worker looks for messages that gateways in other processes published.
    pub poll_interval: Span,
    /// How often a worker that stands by looks whether the active one is gone.
    pub standby_interval: Span,
    /// How often files that hold nothing live any more are removed.
    pub cleanup_interval: Span,
    /// How long a message waits whose body could not be read for now.
    pub unreadable_retry: Span,
    /// With less free space than this on the disk of the queue, messages are refused for now (452).
    pub free_space_min: ByteSize,
    /// With more than this in the directory of the queue, messages are refused for now (452).
    pub queued_bytes_max: ByteSize,
    /// How many messages may wait for the same sync; more wait their turn.
    pub publishers_max: usize,
    /// How long an order of an operator (`sluice queue hold` and the like) waits for the worker to begin with it, and once more for its end.
    pub order_wait_max: Span,
    /// With RabbitMQ: once the oldest message that a gateway accepted while the broker was away is older than this, it accepts no more (452).
    pub spill_age_max: Span,
    /// After so many ends of the worker's process (a crash, a kill) while a worker had it, a message becomes a dead letter. RabbitMQ has `rabbitmq.delivery_limit` for that.
    pub ends_max: u32,
    /// Messages that workers had at several ends are tried at moments so far from each other, to find which of them it is.
    pub ends_apart: Span,
    /// How much of what was just published is kept in memory, so that a worker need not read it again.
    pub tail_cache_max: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            rabbitmq: RabbitConfig::default(),
            dir: PathBuf::from("queue"),
            inline_max: ByteSize::kib(256),
            segment_size: ByteSize::mib(64),
            batch_max: ByteSize::mib(8),
            poll_interval: Span::millis(20),
            standby_interval: Span::millis(500),
            cleanup_interval: Span::secs(1),
            unreadable_retry: Span::secs(30),
            free_space_min: ByteSize::mib(256),
            queued_bytes_max: ByteSize::mib(16 << 10),
            publishers_max: 1024,
            order_wait_max: Span::secs(30),
            spill_age_max: Span::hours(12),
            ends_max: 5,
            ends_apart: Span::millis(250),
            tail_cache_max: ByteSize::mib(32),
        }
    }
}

impl Config {
    /// What is wrong with the values: (key, problem).
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |key: &str, wrong: bool, problem: &str| {
            if wrong {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        check("dir", self.dir.as_os_str().is_empty(), "must not be empty");
        check("inline_max", self.inline_max > ByteSize::mib(16), "must be at most 16 MiB");
        check("segment_size", self.segment_size < ByteSize::kib(64), "must be at least 64 KiB");
        check("segment_size", self.segment_size > ByteSize::mib(4096), "must be at most 4096 MiB");
        check("batch_max", self.batch_max > ByteSize::mib(1024), "must be at most 1024 MiB");
        check("poll_interval", self.poll_interval < Span::millis(1), "must be at least 1ms");
        check("standby_interval", self.standby_interval < Span::millis(10), "must be at least 10ms");
        check("cleanup_interval", self.cleanup_interval < Span::millis(10), "must be at least 10ms");
        check("queued_bytes_max", self.queued_bytes_max < self.segment_size, "must be at least segment_size");
        check("ends_max", self.ends_max < 2, "must be at least 2");
        check("publishers_max", self.publishers_max == 0, "must be at least 1");
        faults.extend(self.rabbitmq.faults());
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_fault_and_each_bound_is_held() {
        assert_eq!(Config::default().faults(), []);
        let bad = Config {
            dir: PathBuf::new(),
            inline_max: ByteSize::bytes((16 << 20) + 1),
            segment_size: ByteSize::bytes((64 << 10) - 1),
            poll_interval: Span::millis(0),
            publishers_max: 0,
            ends_max: 1,
            ..Config::default()
        };
        let keys: Vec<String> = bad.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            ["dir", "inline_max", "segment_size", "poll_interval", "ends_max", "publishers_max"]
        );
    }
}
