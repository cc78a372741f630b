//! What an operator says about SPF.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// Limits of one SPF check (RFC 7208 §4.6.4). What goes beyond them is `permerror`, and beyond the time `temperror`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpfLimits {
    /// Terms that ask the DNS, in all records together. RFC 7208 says 10; senders rely on it.
    pub lookups_max: u32,
    /// Terms that ask the DNS for something that is not there.
    pub void_max: u32,
    /// Mail servers of one `mx` term, and names of the peer's address.
    pub names_max: u32,
    /// How long a check may take, questions to the DNS included.
    pub time_max: Span,
    /// Octets of one record.
    pub record_max: ByteSize,
    /// Terms of one record.
    pub terms_max: u32,
    /// Octets that the macros of one term may come to, before what is too long for a name is cut off.
    pub expansion_max: ByteSize,
    /// Octets of the text that a domain gives for a refusal; a longer one is not told.
    pub explanation_max: ByteSize,
}

impl Default for SpfLimits {
    fn default() -> Self {
        Self {
            lookups_max: 10,
            void_max: 2,
            names_max: 10,
            time_max: Span::secs(20),
            record_max: ByteSize::kib(16),
            terms_max: 1000,
            expansion_max: ByteSize::kib(4),
            explanation_max: ByteSize::bytes(400),
        }
    }
}

impl SpfLimits {
    /// What is wrong with the values: pairs of key and problem.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |good: bool, key: &str, problem: &str| {
            if !good {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        check((1..=100).contains(&self.lookups_max), "lookups_max", "1 to 100; 10 by RFC 7208 section 4.6.4");
        check(self.void_max <= 100, "void_max", "at most 100; 2 by RFC 7208 section 4.6.4");
        check((1..=100).contains(&self.names_max), "names_max", "1 to 100; 10 by RFC 7208 section 4.6.4");
        check(!self.time_max.as_duration().is_zero(), "time_max", "must be longer than nothing");
        let record = ByteSize::bytes(512)..=ByteSize::kib(64);
        check(record.contains(&self.record_max), "record_max", "512 B to 64 KiB");
        check((1..=10_000).contains(&self.terms_max), "terms_max", "1 to 10000");
        let expansion = ByteSize::bytes(512)..=ByteSize::kib(64);
        check(expansion.contains(&self.expansion_max), "expansion_max", "512 B to 64 KiB");
        check(
            self.explanation_max <= ByteSize::kib(1),
            "explanation_max",
            "at most 1 KiB: it goes into a reply",
        );
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |change: &dyn Fn(&mut SpfLimits), expected: Option<&str>| {
            let mut limits = SpfLimits::default();
            change(&mut limits);
            let faults = limits.faults();
            assert_eq!(faults.first().map(|(key, _)| key.as_str()), expected, "{faults:?}");
        };
        check(&|_| {}, None);
        check(&|limits| limits.lookups_max = 0, Some("lookups_max"));
        check(&|limits| limits.lookups_max = 100, None);
        check(&|limits| limits.lookups_max = 101, Some("lookups_max"));
        check(&|limits| limits.void_max = 0, None);
        check(&|limits| limits.void_max = 101, Some("void_max"));
        check(&|limits| limits.names_max = 0, Some("names_max"));
        check(&|limits| limits.time_max = Span::secs(0), Some("time_max"));
        check(&|limits| limits.record_max = ByteSize::bytes(511), Some("record_max"));
        check(&|limits| limits.record_max = ByteSize::bytes(512), None);
        check(&|limits| limits.terms_max = 0, Some("terms_max"));
        check(&|limits| limits.expansion_max = ByteSize::kib(65), Some("expansion_max"));
        check(&|limits| limits.explanation_max = ByteSize::bytes(1025), Some("explanation_max"));
    }
}
