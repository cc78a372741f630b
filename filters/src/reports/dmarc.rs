//! What is reported about mail (RFC 9990, RFC 7489 §7.2 and appendix C).

use std::collections::BTreeMap;
use std::net::IpAddr;

use envelope::{Domain, Envelope};
use mail_auth::report::{
    ActionDisposition, Alignment, AuthResult, DKIMAuthResult, DateRange, Discovery,
    Disposition as PolicyWord, DkimResult, DmarcResult, Identifier, PolicyEvaluated, PolicyOverride,
    PolicyOverrideReason, PolicyPublished, Record, Report, ReportMetadata, Row, SPFAuthResult,
    SPFDomainScope, SpfResult,
};
use serde::{Deserialize, Serialize};

use super::{Counts, Day, Submitter};
use crate::authentication::{Authentication, DmarcPolicy, PublishedPolicy, Word};

/// Signatures of one message that a row has.
const SIGNATURES_MAX: usize = 5;

/// What was done with a message because of DMARC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// Nothing.
    #[default]
    None,
    /// It passed.
    Pass,
    /// It was kept back.
    Quarantine,
    /// It was refused.
    Reject,
}

/// Why something else was done than the domain asked for (RFC 9990 §3.1.1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Override {
    /// A rule of ours.
    LocalPolicy,
    /// Somebody whom we believe saw it pass (ARC).
    TrustedForwarder,
    /// The domain only tries its policy (`t=y`).
    PolicyTestMode,
}

/// What was done, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// What.
    pub disposition: Disposition,
    /// Why it is not what was asked for.
    pub reason: Option<Override>,
}

/// What messages have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DmarcRow {
    /// The record that was found.
    pub policy: PublishedPolicy,
    /// From where they came.
    pub source: IpAddr,
    /// What was done.
    pub disposition: Disposition,
    /// Why it is not what was asked for.
    pub reason: Option<Override>,
    /// Whether a signature passed for a domain of the same owner.
    pub dkim_aligned: bool,
    /// Whether SPF passed for a domain of the same owner.
    pub spf_aligned: bool,
    /// The From field's domain.
    pub header_from: String,
    /// The domain of the envelope's sender; empty for the null sender.
    pub envelope_from: String,
    /// The domain of all recipients, where it is one; else empty.
    pub envelope_to: String,
    /// Signatures.
    pub dkim: Vec<RowSignature>,
    /// SPF.
    pub spf: Option<RowSpf>,
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowSignature {
    /// Who signed.
    pub domain: String,
    /// With which key.
    pub selector: String,
    /// The result.
    pub result: Word,
}

/// SPF's result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowSpf {
    /// For which domain.
    pub domain: String,
    /// The result.
    pub result: Word,
}

impl DmarcRow {
    /// The row of a message; none where no policy was found, where nobody wants reports, or where the DNS left it open whether the message passes.
    pub(crate) fn of(found: &Authentication, envelope: &Envelope, applied: Applied) -> Option<Self> {
        let dmarc = &found.dmarc;
        let policy = dmarc.published.clone().filter(|policy| !policy.reports_to.is_empty())?;
        let applied = match dmarc.result {
            Word::Pass => Applied { disposition: Disposition::Pass, reason: None },
            Word::Fail if policy.testing && applied.reason.is_none() && asks_for_something(&policy) => {
                Applied { reason: Some(Override::PolicyTestMode), ..applied }
            }
            Word::Fail => applied,
            _ => return None,
        };
        let mut domains = envelope.recipients.iter().map(|one| one.address.domain());
        let envelope_to = domains.next().filter(|first| domains.all(|other| other == *first));
        let signatures = found.dkim.iter().filter_map(|one| {
            let (domain, selector) = (name(&one.domain)?, name(&one.selector)?);
            Some(RowSignature { domain, selector, result: one.result })
        });
        Some(Self {
            policy: PublishedPolicy { domain: name(&policy.domain)?, ..policy },
            source: envelope.origin.peer?.to_canonical(),
            disposition: applied.disposition,
            reason: applied.reason,
            dkim_aligned: dmarc.dkim_aligned,
            spf_aligned: dmarc.spf_aligned,
            header_from: name(&dmarc.domain)?,
            envelope_from: envelope
                .reverse_path
                .address()
                .and_then(|sender| name(sender.domain().as_str()))
                .unwrap_or_default(),
            envelope_to: envelope_to.and_then(|domain| name(domain.as_str())).unwrap_or_default(),
            dkim: signatures.take(SIGNATURES_MAX).collect(),
            spf: name(&found.spf.domain).map(|domain| RowSpf { domain, result: found.spf.result }),
        })
    }

    fn record(&self, count: u64) -> Record {
        let aligned = |is: bool| if is { DmarcResult::Pass } else { DmarcResult::Fail };
        let reason = self.reason.map(|reason| PolicyOverrideReason {
            type_: match reason {
                Override::LocalPolicy => PolicyOverride::LocalPolicy,
                Override::TrustedForwarder => PolicyOverride::TrustedForwarder,
                Override::PolicyTestMode => PolicyOverride::PolicyTestMode,
            },
            comment: None,
        });
        let spf = self.spf.iter().map(|spf| SPFAuthResult {
            domain: spf.domain.clone(),
            // A null sender counts as a sender of HELO's domain (RFC 7208 §2.4).
            scope: SPFDomainScope::MailFrom,
            result: spf_word(spf.result),
            human_result: None,
        });
        Record {
            row: Row {
                source_ip: Some(self.source),
                count: u32::try_from(count).unwrap_or(u32::MAX),
                policy_evaluated: PolicyEvaluated {
                    disposition: match self.disposition {
                        Disposition::None => ActionDisposition::None,
                        Disposition::Pass => ActionDisposition::Pass,
                        Disposition::Quarantine => ActionDisposition::Quarantine,
                        Disposition::Reject => ActionDisposition::Reject,
                    },
                    dkim: aligned(self.dkim_aligned),
                    spf: aligned(self.spf_aligned),
                    reason: reason.into_iter().collect(),
                },
            },
            identifiers: Identifier {
                envelope_to: Some(self.envelope_to.clone()).filter(|domain| !domain.is_empty()),
                envelope_from: self.envelope_from.clone(),
                header_from: self.header_from.clone(),
            },
            auth_results: AuthResult {
                dkim: self.dkim.iter().map(RowSignature::result).collect(),
                spf: spf.collect(),
            },
            extensions: Vec::new(),
        }
    }
}

impl RowSignature {
    fn result(&self) -> DKIMAuthResult {
        DKIMAuthResult {
            domain: self.domain.clone(),
            selector: self.selector.clone(),
            result: dkim_word(self.result),
            human_result: None,
        }
    }
}

fn asks_for_something(policy: &PublishedPolicy) -> bool {
    let words = [policy.policy, policy.subdomain_policy, policy.missing_domain_policy];
    words.iter().any(|word| *word != DmarcPolicy::None)
}

/// What strangers wrote, if it is a domain: nothing else gets into a row.
fn name(text: &str) -> Option<String> {
    let domain: Domain = text.parse().ok()?;
    (!domain.is_literal()).then(|| domain.to_string())
}

/// Everything about one domain's mail of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmarcSubject {
    /// The record that most of the messages met.
    pub policy: PublishedPolicy,
    /// How many messages there were.
    pub messages: u64,
    /// The rows, the most frequent first; at most as many as a report has.
    pub rows: Vec<(DmarcRow, u64)>,
    /// Messages that are in no row, since there are too many rows.
    pub left_out: u64,
}

/// The domains of a day, with at most `rows_max` rows each.
pub fn dmarc_subjects(counts: &Counts, rows_max: usize) -> Vec<DmarcSubject> {
    let mut domains: BTreeMap<String, Vec<(DmarcRow, u64)>> = BTreeMap::new();
    for (row, count) in counts.rows::<DmarcRow>() {
        domains.entry(row.policy.domain.clone()).or_default().push((row, count));
    }
    domains.into_values().filter_map(|rows| subject(rows, rows_max)).collect()
}

/// A record that changed during the day is reported as most messages met it: a domain whose DNS says something else each time gets one report.
fn subject(rows: Vec<(DmarcRow, u64)>, rows_max: usize) -> Option<DmarcSubject> {
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
    let messages = sum(&mut rows.iter().map(|(_, count)| *count));
    let mut policies: BTreeMap<&PublishedPolicy, u64> = BTreeMap::new();
    for (row, count) in &rows {
        let met = policies.entry(&row.policy).or_default();
        *met = met.saturating_add(*count);
    }
    let policy = (*policies.iter().max_by_key(|(_, met)| **met)?.0).clone();
    let mut together: BTreeMap<DmarcRow, u64> = BTreeMap::new();
    for (row, count) in rows {
        let same = together.entry(DmarcRow { policy: policy.clone(), ..row }).or_default();
        *same = same.saturating_add(count);
    }
    let mut rows: Vec<(DmarcRow, u64)> = together.into_iter().collect();
    rows.sort_by(|(one, few), (other, many)| many.cmp(few).then_with(|| one.cmp(other)));
    let left_out = sum(&mut rows.iter().skip(rows_max).map(|(_, count)| *count));
    rows.truncate(rows_max);
    Some(DmarcSubject { policy, messages, rows, left_out })
}

impl DmarcSubject {
    /// The report.
    pub(super) fn report(&self, submitter: &Submitter, day: Day, report_id: &str) -> Report {
        let alignment = |strict: bool| if strict { Alignment::Strict } else { Alignment::Relaxed };
        let left_out = (self.left_out > 0).then(|| {
            format!("{} messages are in no record: there are too many kinds of them", self.left_out)
        });
        Report {
            // RFC 9990 §3.1.1.2
            version: 1.0,
            report_metadata: ReportMetadata {
                org_name: submitter.organization.clone(),
                email: submitter.contact.to_string(),
                extra_contact_info: None,
                report_id: report_id.to_owned(),
                date_range: DateRange { begin: day.begin(), end: day.end() },
                error: left_out.into_iter().collect(),
                generator: Some(concat!("Sluice ", env!("CARGO_PKG_VERSION")).to_owned()),
            },
            policy_published: PolicyPublished {
                domain: self.policy.domain.clone(),
                version_published: None,
                adkim: alignment(self.policy.strict_dkim),
                aspf: alignment(self.policy.strict_spf),
                p: policy_word(self.policy.policy),
                sp: policy_word(self.policy.subdomain_policy),
                np: policy_word(self.policy.missing_domain_policy),
                testing: self.policy.testing,
                discovery_method: Discovery::Treewalk,
                fo: Some(self.policy.failure_options.clone()),
            },
            record: self.rows.iter().map(|(row, count)| row.record(*count)).collect(),
            extensions: Vec::new(),
        }
    }
}

const fn policy_word(policy: DmarcPolicy) -> PolicyWord {
    match policy {
        DmarcPolicy::None => PolicyWord::None,
        DmarcPolicy::Quarantine => PolicyWord::Quarantine,
        DmarcPolicy::Reject => PolicyWord::Reject,
    }
}

const fn dkim_word(word: Word) -> DkimResult {
    match word {
        Word::None => DkimResult::None,
        Word::Pass => DkimResult::Pass,
        Word::Fail | Word::SoftFail => DkimResult::Fail,
        Word::Neutral => DkimResult::Neutral,
        Word::Policy => DkimResult::Policy,
        Word::TempError => DkimResult::TempError,
        Word::PermError => DkimResult::PermError,
    }
}

const fn spf_word(word: Word) -> SpfResult {
    match word {
        Word::None => SpfResult::None,
        Word::Pass => SpfResult::Pass,
        Word::Fail => SpfResult::Fail,
        Word::SoftFail => SpfResult::SoftFail,
        Word::Neutral | Word::Policy => SpfResult::Neutral,
        Word::TempError => SpfResult::TempError,
        Word::PermError => SpfResult::PermError,
    }
}

#[cfg(test)]
mod tests;
