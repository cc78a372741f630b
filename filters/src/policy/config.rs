//! What an operator says about policy.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

use crate::OnFailure;

/// Rules of the security team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// The folder of rule files. Empty: `policy` in the data directory. No folder there: no rules.
    pub folder: PathBuf,
    /// How often the files are looked at; a set with faults is not taken, and the one before goes on.
    pub reload_interval: Span,
    /// What a rule means that fails on a message (a number out of range, an element that is not there).
    pub on_failure: OnFailure,
    /// Rules of all files.
    pub rules_max: u32,
    /// Octets of all files.
    pub files_size_max: ByteSize,
    /// Octets of text that `message.text` has, and that links are looked for in.
    pub text_max: ByteSize,
    /// Elements of `parts`.
    pub parts_max: usize,
    /// Elements of `urls`.
    pub urls_max: usize,
    /// Elements of `envelope.recipients` and of the lists of addresses.
    pub addresses_max: usize,
    /// File names of archives that `contains` has, for each part.
    pub archive_names_max: usize,
    /// Points from which a message is kept back; 0: none.
    pub quarantine_score: u32,
    /// Points from which a message is refused; 0: none.
    pub reject_score: u32,
    /// What brings the former set of rules back.
    pub guard: GuardConfig,
}

/// A new set of rules that refuses or keeps back too much is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// How long a new set is watched; 0: not at all.
    pub watch: Span,
    /// Messages that must have been judged before the share says anything.
    pub messages_min: u64,
    /// The share of messages that rules may refuse, discard or keep back, in percent.
    pub stopped_max: u32,
    /// By how much that share may exceed the share under the former set, in percent of all messages.
    pub increase_max: u32,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            reload_interval: Span::secs(10),
            on_failure: OnFailure::Tempfail,
            rules_max: 1000,
            files_size_max: ByteSize::mib(16),
            text_max: ByteSize::kib(64),
            parts_max: 100,
            urls_max: 200,
            addresses_max: 500,
            archive_names_max: 200,
            quarantine_score: 0,
            reject_score: 0,
            guard: GuardConfig::default(),
        }
    }
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { watch: Span::mins(30), messages_min: 200, stopped_max: 50, increase_max: 20 }
    }
}

impl PolicyConfig {
    /// What is wrong with the values: pairs of key and problem.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |good: bool, key: &str, problem: &str| {
            if !good {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        check(self.reload_interval >= Span::secs(1), "reload_interval", "at least 1s");
        check(self.rules_max > 0, "rules_max", "at least 1");
        for (value, key) in [
            (self.parts_max, "parts_max"),
            (self.urls_max, "urls_max"),
            (self.addresses_max, "addresses_max"),
            (self.archive_names_max, "archive_names_max"),
        ] {
            check((1..=1000).contains(&value), key, "1 to 1000: two loops over it are a million steps");
        }
        check(self.text_max <= ByteSize::mib(1), "text_max", "at most 1 MiB");
        check(self.guard.stopped_max <= 100, "guard.stopped_max", "at most 100, percent");
        check(self.guard.increase_max <= 100, "guard.increase_max", "at most 100, percent");
        faults
    }
}
