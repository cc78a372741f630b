//! The directory's configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

use crate::oauth::OAuthConfig;
use crate::srs::SrsConfig;

/// Where accounts, aliases and domains are kept, and how logins are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The SQLite file; on a local disk, never on NFS. It holds password hashes: only the service's user should read it.
    pub path: PathBuf,
    /// How long one statement waits for another process's lock on the file.
    pub busy_timeout: Span,
    /// How long a question may take in all, waiting for a connection included; after that the answer is "can't say".
    pub query_timeout: Span,
    /// How many connections to the file read at once.
    pub connections: usize,
    /// How many passwords are verified at once; each takes a core and the memory of one hash.
    pub verify_workers: usize,
    /// How long a login waits for a free verifier; after that the answer is "can't say".
    pub verify_timeout: Span,
    /// What separates a tag from the local part, as in `user+tag`; empty for no tags.
    pub tag_separator: String,
    /// What is remembered of the answers.
    pub cache: CacheConfig,
    /// How guessing passwords is slowed down.
    pub throttle: ThrottleConfig,
    /// What a new password hash costs.
    pub password_cost: PasswordCost,
    /// How often a password is hashed for SCRAM: at least 4096. The client does the work, at every login. A secret of another count is
    /// made anew when its owner logs in with the password itself.
    pub scram_iterations: u32,
    /// Logins with tokens of an authorization server.
    pub oauth: OAuthConfig,
    /// How the sender of forwarded mail is rewritten.
    pub srs: SrsConfig,
}

/// What is remembered of the answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// How many answers are kept, of each kind.
    pub entries_max: usize,
    /// How long a positive answer is used without asking again; a change to the file ends it earlier.
    pub ttl: Span,
    /// How long a negative answer is used without asking again; a change to the file ends it earlier.
    pub negative_ttl: Span,
    /// How long positive answers go on being used while the file is unavailable.
    pub stale_max: Span,
    /// How often, at most, the file is looked at for changes by other processes.
    pub change_check: Span,
    /// How long a verified password is accepted again, from the same network, without a new verification.
    pub login_ttl: Span,
}

/// How guessing passwords is slowed down. Failures are counted for each login name and for each network (an IPv4
/// address or an IPv6 /64); above the free ones each further failure doubles the time in which no password is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThrottleConfig {
    /// Failures of one login name without a delay.
    pub account_failures_free: u32,
    /// Failures from one network without a delay.
    pub network_failures_free: u32,
    /// The delay after the first failure above the free ones.
    pub delay_first: Span,
    /// The longest delay.
    pub delay_max: Span,
    /// After this time without a failure all is forgotten.
    pub forget_after: Span,
    /// How many login names and networks are remembered, each; the oldest go first.
    pub entries_max: usize,
}

/// What a password hash (argon2id) costs to make and to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("directory.sqlite"),
            busy_timeout: Span::secs(1),
            query_timeout: Span::secs(3),
            connections: 4,
            verify_workers: 2,
            verify_timeout: Span::secs(10),
            tag_separator: "+".to_owned(),
            cache: CacheConfig::default(),
            throttle: ThrottleConfig::default(),
            password_cost: PasswordCost::default(),
            scram_iterations: sasl::scram::ITERATIONS_MIN,
            oauth: OAuthConfig::default(),
            srs: SrsConfig::default(),
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            entries_max: 100_000,
            ttl: Span::mins(5),
            negative_ttl: Span::mins(1),
            stale_max: Span::hours(4),
            change_check: Span::millis(500),
            login_ttl: Span::mins(10),
        }
    }
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            account_failures_free: 5,
            network_failures_free: 20,
            delay_first: Span::secs(1),
            delay_max: Span::mins(5),
            forget_after: Span::mins(30),
            entries_max: 100_000,
        }
    }
}

impl Default for PasswordCost {
    fn default() -> Self {
        let sasl::password::Cost { memory_kib, iterations, lanes } = sasl::password::Cost::RECOMMENDED;
        Self { memory_kib, iterations, lanes }
    }
}

impl From<PasswordCost> for sasl::password::Cost {
    fn from(PasswordCost { memory_kib, iterations, lanes }: PasswordCost) -> Self {
        Self { memory_kib, iterations, lanes }
    }
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, key: &str, problem: &str| {
            if wrong {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        let cost = self.password_cost;
        let at_least_one = "must be at least 1";
        fault(self.path.as_os_str().is_empty(), "path", "must name a file");
        fault(self.connections == 0, "connections", at_least_one);
        fault(self.verify_workers == 0, "verify_workers", at_least_one);
        fault(
            self.busy_timeout > self.query_timeout,
            "busy_timeout",
            "must not be longer than query_timeout",
        );
        let separator_wrong = self.tag_separator.chars().count() > 1
            || self.tag_separator.contains(|c: char| c == '@' || c.is_alphanumeric() || c.is_control());
        fault(separator_wrong, "tag_separator", "must be one character such as \"+\" or \"-\", or empty");
        fault(self.cache.entries_max == 0, "cache.entries_max", at_least_one);
        fault(self.throttle.entries_max == 0, "throttle.entries_max", at_least_one);
        let delays = &self.throttle;
        fault(
            delays.delay_first > delays.delay_max,
            "throttle.delay_first",
            "must not be longer than throttle.delay_max",
        );
        fault(cost.lanes == 0 || cost.lanes > 16, "password_cost.lanes", "must be between 1 and 16");
        fault(
            cost.iterations == 0 || cost.iterations > 32,
            "password_cost.iterations",
            "must be between 1 and 32",
        );
        let memory_wrong = cost.memory_kib < cost.lanes.saturating_mul(8) || cost.memory_kib > 1 << 20;
        fault(memory_wrong, "password_cost.memory_kib", "must be between 8 for each lane and 1048576");
        let scram = sasl::scram::ITERATIONS_MIN..=sasl::scram::ITERATIONS_MAX;
        fault(
            !scram.contains(&self.scram_iterations),
            "scram_iterations",
            "must be between 4096 and 1000000 (RFC 7677 §4)",
        );
        faults.extend(self.oauth.faults());
        faults.extend(self.srs.faults());
        faults
    }

    pub(crate) fn separator(&self) -> Option<char> {
        self.tag_separator.chars().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Config), expected: &[&str]) {
        let mut config = Config::default();
        change(&mut config);
        let faults = config.faults();
        let keys: Vec<&str> = faults.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, expected);
    }

    #[test]
    fn faults() {
        check(|_| {}, &[]);
        check(|c| c.tag_separator.clear(), &[]);
        check(|c| c.tag_separator = "+-".to_owned(), &["tag_separator"]);
        check(|c| c.tag_separator = "a".to_owned(), &["tag_separator"]);
        check(|c| c.connections = 0, &["connections"]);
        check(|c| c.password_cost.memory_kib = 7, &["password_cost.memory_kib"]);
        check(|c| c.scram_iterations = 4095, &["scram_iterations"]);
        check(|c| c.scram_iterations = 1_000_001, &["scram_iterations"]);
        check(|c| c.oauth.issuer = "i".to_owned(), &["oauth.audience", "oauth.jwks_file"]);
        check(|c| c.password_cost.lanes = 17, &["password_cost.lanes"]);
    }
}
