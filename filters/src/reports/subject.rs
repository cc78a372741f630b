//! What one report is about, whatever its kind.

use super::{
    Checked, Counts, Day, DmarcSubject, Draft, ReportKind, ReportsConfig, Submitter, check_dmarc,
    dmarc_subjects,
};
use crate::dns::Dns;

/// A domain that gets a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// About mail in its name.
    Dmarc(DmarcSubject),
}

/// The domains of a day.
pub fn subjects(kind: ReportKind, counts: &Counts, config: &ReportsConfig) -> Vec<Subject> {
    let rows_max = usize::try_from(config.domain_rows_max).unwrap_or(usize::MAX);
    match kind {
        ReportKind::Dmarc => dmarc_subjects(counts, rows_max).into_iter().map(Subject::Dmarc).collect(),
        ReportKind::Tls => Vec::new(),
    }
}

impl Subject {
    /// The domain.
    pub fn domain(&self) -> &str {
        match self {
            Self::Dmarc(subject) => &subject.policy.domain,
        }
    }

    /// Messages or sessions that it is about.
    pub const fn total(&self) -> u64 {
        match self {
            Self::Dmarc(subject) => subject.messages,
        }
    }

    /// Different findings in the report.
    pub const fn rows(&self) -> usize {
        match self {
            Self::Dmarc(subject) => subject.rows.len(),
        }
    }

    /// Who wants it, as far as the DNS says so.
    pub async fn addresses(&self, dns: &dyn Dns, config: &ReportsConfig) -> Vec<Checked> {
        let addresses_max = usize::try_from(config.addresses_max).unwrap_or(usize::MAX);
        match self {
            Self::Dmarc(subject) => check_dmarc(dns, &subject.policy, addresses_max).await,
        }
    }

    /// The report. `times`: how often it was sent before.
    pub fn draft(&self, submitter: &Submitter, day: Day, times: usize) -> Draft {
        match self {
            Self::Dmarc(subject) => Draft::dmarc(submitter, day, subject, times),
        }
    }
}
