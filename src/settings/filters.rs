//! The section of the checks.

use ::filters::{DnsConfig, ReputationConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is decided about mail on its way in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filters {
    /// The DNS that checks ask.
    pub(crate) dns: DnsConfig,
    /// What is asked about peers, and what is remembered of them.
    pub(crate) reputation: ReputationConfig,
}

impl Filters {
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let dns = config::within("dns", self.dns.faults());
        dns.into_iter().chain(config::within("reputation", self.reputation.faults())).collect()
    }
}
