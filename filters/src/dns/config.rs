//! What an operator says about the DNS that checks ask.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// The DNS for SPF, DKIM, DMARC, ARC and block lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// The DNS servers to ask, as address and port; none: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// Whether answers are validated here (RFC 4035). The DNS servers must pass signatures on.
    pub dnssec: bool,
    /// The keys that validation begins with, in a file of DNSKEY records; none: those of the root that are built in.
    pub trust_anchors: PathBuf,
    /// Answers that are kept.
    pub cache_entries: u32,
    /// Memory for texts (SPF, DKIM, DMARC) in the form in which they are used, besides these.
    pub texts_memory_max: ByteSize,
    /// The longest time that an answer is kept, whatever it says itself.
    pub cache_age_max: Span,
    /// How long one question may take in all, tries included.
    pub question_max: Span,
    /// How long one try of a question waits for its answer.
    pub try_max: Span,
    /// Records of one answer that are looked at.
    pub records_max: u32,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            dnssec: false,
            trust_anchors: PathBuf::new(),
            cache_entries: 32_768,
            texts_memory_max: ByteSize::mib(16),
            cache_age_max: Span::hours(24),
            question_max: Span::secs(8),
            try_max: Span::secs(3),
            records_max: 100,
        }
    }
}

impl DnsConfig {
    /// What is wrong with the values: pairs of key and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |good: bool, key: &str, problem: &str| {
            if !good {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        check(self.cache_entries > 0, "cache_entries", "at least 1");
        check(self.texts_memory_max >= ByteSize::kib(64), "texts_memory_max", "at least 64 KiB");
        check(self.records_max >= 10, "records_max", "at least 10: SPF looks at ten mail servers");
        check(!self.question_max.as_duration().is_zero(), "question_max", "must be longer than nothing");
        check(!self.try_max.as_duration().is_zero(), "try_max", "must be longer than nothing");
        let anchors = self.trust_anchors.as_os_str().is_empty() || self.dnssec;
        check(anchors, "trust_anchors", "only with dnssec = true");
        faults
    }
}
