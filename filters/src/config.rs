//! The room's configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::ByteSize;

use crate::authentication::AuthenticationConfig;
use crate::dns::DnsConfig;
use crate::milter::MilterConfig;
use crate::policy::PolicyConfig;
use crate::reports::ReportsConfig;
use crate::reputation::ReputationConfig;
use crate::scanner::ScannerConfig;

/// A boundary, and a file's name in pieces with its letters escaped.
const TYPE_FIELD_LEAST: ByteSize = ByteSize::kib(2);

/// What is checked about mail on its way in, in this order: reputation, authentication, milters and scanners, policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Size of a Content-Type or Content-Disposition field, of a message or of one of its parts: readers take time with the square of its
    /// parameters. A message with a larger one is refused.
    pub type_field_max: ByteSize,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            type_field_max: ByteSize::kib(8),
            dns: DnsConfig::default(),
            reputation: ReputationConfig::default(),
            authentication: AuthenticationConfig::default(),
            milters: Vec::new(),
            scanners: Vec::new(),
            policy: PolicyConfig::default(),
            reports: ReportsConfig::default(),
        }
    }
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let sections = [
            ("dns", self.dns.faults()),
            ("reputation", self.reputation.faults()),
            ("authentication", self.authentication.faults()),
            ("milters", crate::milter::faults(&self.milters)),
            ("scanners", crate::scanner::faults(&self.scanners)),
            ("policy", self.policy.faults()),
            ("reports", self.reports.faults()),
        ];
        let named = sections.into_iter().flat_map(|(section, faults)| {
            faults.into_iter().map(move |(key, problem)| (format!("{section}.{key}"), problem))
        });
        let mut faults: Vec<(String, String)> = named.collect();
        if self.type_field_max < TYPE_FIELD_LEAST {
            let problem = format!("must be at least {TYPE_FIELD_LEAST}: real mail has more");
            faults.push(("type_field_max".to_owned(), problem));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use units::Span;

    use super::*;
    use crate::scanner::ScannerKind;

    #[test]
    fn faults_are_said_with_the_whole_path_of_their_key() {
        let milter = || MilterConfig::new("m", "127.0.0.1:1".parse().unwrap());
        let scanner = || ScannerConfig::new("s", ScannerKind::Clamd, "127.0.0.1:1".parse().unwrap());
        let mut config = Config {
            milters: vec![milter(), milter()],
            scanners: vec![scanner(), scanner()],
            ..Config::default()
        };
        config.milters[1].connect_max = Span::secs(0);
        config.scanners[1].scan_max = Span::secs(0);
        let faults = config.faults();
        let keys: Vec<&str> = faults.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            ["milters.1.name", "milters.1.connect_max", "scanners.1.name", "scanners.1.scan_max"]
        );
    }
}
