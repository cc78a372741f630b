//! The room's configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authentication::AuthenticationConfig;
use crate::dns::DnsConfig;
use crate::milter::MilterConfig;
use crate::policy::PolicyConfig;
use crate::reports::ReportsConfig;
use crate::reputation::ReputationConfig;
use crate::scanner::ScannerConfig;

/// What is checked about mail on its way in, in this order: reputation, authentication, milters and scanners, policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The DNS that checks ask.
    pub dns: DnsConfig,
    /// Block lists, greylisting, rates.
    pub reputation: ReputationConfig,
    /// SPF, DKIM, ARC, DMARC.
    pub authentication: AuthenticationConfig,
    /// Filters of others, asked at each step of a session, in this order.
    pub milters: Vec<MilterConfig>,
    /// rspamd and clamd by their own protocols, asked about whole messages side by side.
    pub scanners: Vec<ScannerConfig>,
    /// Rules of the security team.
    pub policy: PolicyConfig,
    /// Aggregate reports to other systems.
    pub reports: ReportsConfig,
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let sections = [
            ("dns", self.dns.faults()),
            ("reputation", self.reputation.faults()),
            ("authentication", self.authentication.faults()),
            ("policy", self.policy.faults()),
            ("reports", self.reports.faults()),
        ];
        let named = sections.into_iter().flat_map(|(section, faults)| {
            faults.into_iter().map(move |(key, problem)| (format!("{section}.{key}"), problem))
        });
        let mut faults: Vec<(String, String)> = named.collect();
        faults.extend(crate::milter::faults(&self.milters));
        faults.extend(crate::scanner::faults(&self.scanners));
        faults
    }
}
