//! What operators may set.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// Where the shared state is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// In this process alone: other nodes are found out by looking.
    #[default]
    Memory,
    /// In Redis.
    Redis,
}

/// What nodes tell each other: change signals and counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it is.
    pub backend: Backend,
    /// Redis; read when it is the backend.
    pub redis: RedisConfig,
    /// Signals that may wait to be sent, and that a subscriber may be behind.
    pub signals_max: usize,
    /// Counters that the memory holds at once; those that counted least give way to new ones.
    pub counters_max: usize,
    /// Small values that the memory holds at once, for greylisting and the like; those that end soonest give way to new ones.
    pub values_max: usize,
}

/// The Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `host:port`, or the path of a unix socket.
    pub address: String,
    /// Who logs in; empty: nobody, or by the password alone.
    pub user: String,
    /// A file that holds the password in its first line; empty: none. A relative path starts in the data folder.
    pub password_file: PathBuf,
    /// Keys and the channel begin with this.
    pub prefix: String,
    /// How long a connection may take.
    pub connect_max: Span,
    /// How long an answer may take.
    pub call_max: Span,
    /// How long a list of keys may take; what was found until then is shown.
    pub list_max: Span,
    /// How often it is asked whether the subscription lives.
    pub ping_interval: Span,
    /// The first wait before a lost connection is tried again; it doubles up to `reconnect_wait_max`.
    pub reconnect_wait_min: Span,
    /// The longest wait before a lost connection is tried again.
    pub reconnect_wait_max: Span,
    /// How long the end of a process waits for signals to be sent.
    pub close_max: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            redis: RedisConfig::default(),
            signals_max: 10_000,
            counters_max: 100_000,
            values_max: 100_000,
        }
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:6379".to_owned(),
            user: String::new(),
            password_file: PathBuf::new(),
            prefix: "sluice".to_owned(),
            connect_max: Span::secs(2),
            call_max: Span::secs(1),
            list_max: Span::secs(10),
            ping_interval: Span::secs(2),
            reconnect_wait_min: Span::millis(100),
            reconnect_wait_max: Span::secs(5),
            close_max: Span::secs(1),
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
        let redis = &self.redis;
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        check("signals_max", self.signals_max == 0, "must be at least 1");
        check("counters_max", self.counters_max == 0, "must be at least 1");
        check("values_max", self.values_max == 0, "must be at least 1");
        check("redis.list_max", redis.list_max < redis.call_max, "must not be shorter than call_max");
        check("redis.address", redis.address.is_empty(), "must be host:port or the path of a socket");
        check(
            "redis.prefix",
            redis.prefix.is_empty() || !plain(&redis.prefix),
            "must be letters, digits, - _ .",
        );
        check("redis.call_max", redis.call_max < Span::millis(10), "must be at least 10ms");
        check("redis.ping_interval", redis.ping_interval < Span::millis(100), "must be at least 100ms");
        check(
            "redis.reconnect_wait_min",
            redis.reconnect_wait_min < Span::millis(10),
            "must be at least 10ms",
        );
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_fault_and_each_bound_is_held() {
        assert_eq!(Config::default().faults(), []);
        let redis =
            RedisConfig { prefix: "a b".to_owned(), call_max: Span::millis(1), ..RedisConfig::default() };
        let bad = Config { signals_max: 0, redis, ..Config::default() };
        let keys: Vec<String> = bad.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["signals_max", "redis.prefix", "redis.call_max"]);
    }
}
