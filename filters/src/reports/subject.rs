//! What one report is about, whatever its kind.

use std::collections::BTreeSet;

use super::{
    Checked, Counts, Day, DmarcSubject, Draft, ReportKind, ReportsConfig, Submitter, TlsSubject, check_dmarc,
    dmarc_subjects, tls, tls_subjects,
};
use crate::dns::Dns;

/// A domain that gets a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// About mail in its name.
    Dmarc(DmarcSubject),
    /// About sessions for its mail.
    Tls(TlsSubject),
}

/// The domains of a day.
pub fn subjects(kind: ReportKind, counts: &Counts, config: &ReportsConfig) -> Vec<Subject> {
    let rows_max = usize::try_from(config.domain_rows_max).unwrap_or(usize::MAX);
    match kind {
        ReportKind::Dmarc => dmarc_subjects(counts, rows_max).into_iter().map(Subject::Dmarc).collect(),
        ReportKind::Tls => tls_subjects(counts, rows_max).into_iter().map(Subject::Tls).collect(),
    }
}

impl Subject {
    /// The domain.
    pub fn domain(&self) -> &str {
        match self {
            Self::Dmarc(subject) => &subject.policy.domain,
            Self::Tls(subject) => &subject.domain,
        }
    }

    /// Messages or sessions that it is about.
    pub const fn total(&self) -> u64 {
        match self {
            Self::Dmarc(subject) => subject.messages,
            Self::Tls(subject) => subject.sessions,
        }
    }

    /// Different findings in the report.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dmarc(subject) => subject.rows.len(),
            Self::Tls(subject) => subject.rows(),
        }
    }

    /// Who wants it, as far as the DNS says so.
    pub async fn addresses(&self, dns: &dyn Dns, config: &ReportsConfig) -> Vec<Checked> {
        let addresses_max = usize::try_from(config.addresses_max).unwrap_or(usize::MAX);
        let mut found = match self {
            Self::Dmarc(subject) => check_dmarc(dns, &subject.policy, addresses_max).await,
            Self::Tls(subject) => tls::check_tls(dns, &subject.domain, addresses_max).await,
        };
        let mut seen = BTreeSet::new();
        found.retain(|one| match one {
            // Who is named twice gets one.
            Checked::Allowed(to) => seen.insert(to.address.canonical().to_string()),
            Checked::Refused { .. } | Checked::Unknown { .. } => true,
        });
        found
    }

    /// The report. `times`: how often it was sent before.
    pub fn draft(&self, submitter: &Submitter, day: Day, times: usize) -> Draft {
        match self {
            Self::Dmarc(subject) => Draft::dmarc(submitter, day, subject, times),
            Self::Tls(subject) => Draft::tls(submitter, day, subject, times),
        }
    }
}
