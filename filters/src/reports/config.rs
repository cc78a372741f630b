//! What an operator says about aggregate reports.

use envelope::{Address, Domain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// Aggregate reports about mail from other systems (RFC 9990) and about the encryption of mail to them (RFC 8460). Nothing is counted until
/// `organization` and `contact` are set; nothing is sent but by `sluice reports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportsConfig {
    /// Who reports: the name of an organisation.
    pub organization: String,
    /// The address that reports come from, and where their readers find a person. Its domain signs them (`delivery.dkim`).
    pub contact: String,
    /// How often counts are written and synced; a crash loses those since.
    pub sync_interval: Span,
    /// How many different findings of a day a process tells apart; what comes beyond is not counted.
    pub rows_max: u32,
    /// How many of them may be about one domain; a report has no more either.
    pub domain_rows_max: u32,
    /// Octets of a day's file, and of the findings of a day in memory.
    pub octets_max: ByteSize,
    /// How long a day's files are kept.
    pub keep: Span,
    /// Addresses of one domain that get its report (`rua`).
    pub addresses_max: u32,
    /// Mails that one run of `sluice reports send` makes; the next run makes the others.
    pub mails_max: u32,
    /// The largest mail with a report; `rua` may ask for less.
    pub mail_octets_max: ByteSize,
}

impl Default for ReportsConfig {
    fn default() -> Self {
        Self {
            organization: String::new(),
            contact: String::new(),
            sync_interval: Span::mins(1),
            rows_max: 50_000,
            domain_rows_max: 5_000,
            octets_max: ByteSize::mib(64),
            keep: Span::hours(14 * 24),
            addresses_max: 5,
            mails_max: 1000,
            mail_octets_max: ByteSize::mib(10),
        }
    }
}

impl ReportsConfig {
    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        !self.organization.is_empty() && self.contact().is_some()
    }

    /// From whom reports come.
    pub fn contact(&self) -> Option<Address> {
        let address: Address = self.contact.parse().ok()?;
        (!address.needs_utf8() && !address.domain().is_literal()).then_some(address)
    }

    /// The domain that reports.
    pub fn submitter(&self) -> Option<Domain> {
        self.contact().map(|address| address.domain().clone())
    }

    /// What is wrong with the values: pairs of key and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        /// Octets of an organisation's name.
        const ORGANIZATION_MAX: usize = 200;
        let mut faults = Vec::new();
        let mut check = |good: bool, key: &str, problem: &str| {
            if !good {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        let name = &self.organization;
        check(
            name.len() <= ORGANIZATION_MAX && !name.chars().any(char::is_control),
            "organization",
            "a line of at most 200 octets",
        );
        check(self.contact.is_empty() || self.contact().is_some(), "contact", "a mail address in ASCII");
        check(name.is_empty() == self.contact.is_empty(), "contact", "only together with `organization`");
        check(self.sync_interval >= Span::secs(1), "sync_interval", "at least 1s");
        check(self.sync_interval <= Span::hours(1), "sync_interval", "at most 1h");
        check(self.rows_max > 0, "rows_max", "at least 1");
        check(self.domain_rows_max > 0, "domain_rows_max", "at least 1");
        check(self.octets_max >= ByteSize::kib(64), "octets_max", "at least 64KiB");
        check(self.keep >= Span::hours(48), "keep", "at least 48h: a day is reported when it is over");
        check((1..=20).contains(&self.addresses_max), "addresses_max", "1 to 20");
        check(self.mails_max > 0, "mails_max", "at least 1");
        check(self.mail_octets_max >= ByteSize::kib(16), "mail_octets_max", "at least 16KiB");
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_with_a_name_and_an_address() {
        let check = |organization: &str, contact: &str, on: bool, faulty: &[&str]| {
            let config = ReportsConfig {
                organization: organization.to_owned(),
                contact: contact.to_owned(),
                ..ReportsConfig::default()
            };
            let keys: Vec<String> = config.faults().into_iter().map(|(key, _)| key).collect();
            assert_eq!((config.is_on(), keys), (on, faulty.iter().map(|key| (*key).to_owned()).collect()));
        };
        check("", "", false, &[]);
        check("Ours", "reports@ours.test", true, &[]);
        check("Ours", "", false, &["contact"]);
        check("", "reports@ours.test", false, &["contact"]);
        check("Ours", "nobody", false, &["contact"]);
        check("Ours", "r@[192.0.2.1]", false, &["contact"]);
        check("Ou\rrs", "reports@ours.test", true, &["organization"]);
        check(&"o".repeat(200), "reports@ours.test", true, &[]);
        check(&"o".repeat(201), "reports@ours.test", true, &["organization"]);
    }
}
