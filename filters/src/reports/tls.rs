//! What is reported about the encryption of mail to other systems (RFC 8460).

use std::collections::BTreeMap;
use std::net::IpAddr;

use envelope::Domain;
use mail_auth::report::tlsrpt::{
    DateRange, FailureDetails, Policy, PolicyDetails, PolicyType, ResultType, Summary, TlsReport,
};
use serde::{Deserialize, Serialize};

use super::addresses::{Checked, ReportAddress, read};
use super::{Counts, Day, Submitter};
use crate::dns::Dns;

/// Lines of a policy, or patterns of servers, that a row has.
const LINES_MAX: usize = 20;
/// Octets of such a line.
const LINE_OCTETS_MAX: usize = 300;

/// What said how sessions were to be encrypted (RFC 8460 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsPolicyKind {
    /// DANE.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// Nothing.
    NoPolicyFound,
}

/// Why a session was not as it should be (RFC 8460 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsResult {
    /// The server offers no encryption.
    StarttlsNotSupported,
    /// Its certificate names another one.
    CertificateHostMismatch,
    /// Its certificate is over.
    CertificateExpired,
    /// Nobody who is trusted vouches for its certificate.
    CertificateNotTrusted,
    /// Something else.
    ValidationFailure,
    /// No TLSA record is usable.
    TlsaInvalid,
    /// The DNS does not say what is signed.
    DnssecInvalid,
    /// A policy that is announced can't be fetched.
    StsPolicyFetchError,
    /// What was fetched is no policy.
    StsPolicyInvalid,
    /// The server of the policy shows no good certificate.
    StsWebpkiInvalid,
}

/// A policy that sessions were judged by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TlsPolicy {
    /// Which kind.
    pub kind: TlsPolicyKind,
    /// Its lines, or its records.
    pub lines: Vec<String>,
    /// The servers that it names (MTA-STS).
    pub servers: Vec<String>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TlsFailure {
    /// What.
    pub result: TlsResult,
    /// The server's name; empty where it was not about a server.
    pub server: String,
    /// Its address.
    pub address: Option<IpAddr>,
}

/// What sessions have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TlsRow {
    /// Whose mail it was.
    pub domain: String,
    /// What it was judged by.
    pub policy: TlsPolicy,
    /// None: the session was as it should be.
    pub failure: Option<TlsFailure>,
}

impl TlsPolicy {
    /// Nothing said how.
    pub const fn none() -> Self {
        Self { kind: TlsPolicyKind::NoPolicyFound, lines: Vec::new(), servers: Vec::new() }
    }

    /// A policy, its lines and the servers that it names, as far as they fit into a row.
    pub fn new(kind: TlsPolicyKind, lines: Vec<String>, servers: Vec<String>) -> Self {
        let fit = |texts: Vec<String>| {
            let good = |text: &String| {
                text.len() <= LINE_OCTETS_MAX && text.bytes().all(|byte| (32..127).contains(&byte))
            };
            texts.into_iter().filter(good).take(LINES_MAX).collect()
        };
        Self { kind, lines: fit(lines), servers: fit(servers) }
    }
}

impl TlsRow {
    /// The row of a session with `server`; none where that is about no domain.
    pub fn new(domain: &Domain, policy: TlsPolicy, failure: Option<TlsFailure>) -> Option<Self> {
        let name = |text: &str| text.parse::<Domain>().map(|domain| domain.to_string()).unwrap_or_default();
        let failure = failure.map(|failure| TlsFailure { server: name(&failure.server), ..failure });
        (!domain.is_literal()).then(|| Self { domain: domain.to_string(), policy, failure })
    }
}

/// Everything about the sessions for one domain on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSubject {
    /// The domain.
    pub domain: String,
    /// How many sessions there were.
    pub sessions: u64,
    /// By policy.
    pub policies: Vec<TlsPolicySubject>,
}

/// The sessions under one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPolicySubject {
    /// The policy.
    pub policy: TlsPolicy,
    /// Sessions that were as they should be.
    pub good: u64,
    /// Sessions that were not.
    pub bad: u64,
    /// What went wrong, as much of it as a report has.
    pub failures: Vec<(TlsFailure, u64)>,
}

/// The domains of a day, with at most `rows_max` failures each.
pub fn tls_subjects(counts: &Counts, rows_max: usize) -> Vec<TlsSubject> {
    let mut domains: BTreeMap<String, BTreeMap<TlsPolicy, TlsPolicySubject>> = BTreeMap::new();
    for (row, count) in counts.rows::<TlsRow>() {
        let policies = domains.entry(row.domain).or_default();
        let fresh = || TlsPolicySubject { policy: row.policy.clone(), good: 0, bad: 0, failures: Vec::new() };
        let one = policies.entry(row.policy.clone()).or_insert_with(fresh);
        match row.failure {
            None => one.good = one.good.saturating_add(count),
            Some(failure) => {
                one.bad = one.bad.saturating_add(count);
                one.failures.push((failure, count));
            }
        }
    }
    let subject = |(domain, policies): (String, BTreeMap<TlsPolicy, TlsPolicySubject>)| {
        let mut policies: Vec<TlsPolicySubject> = policies.into_values().collect();
        let sessions =
            policies.iter().fold(0_u64, |sum, one| sum.saturating_add(one.good).saturating_add(one.bad));
        policies.sort_by_key(|one| std::cmp::Reverse(one.good.saturating_add(one.bad)));
        policies.truncate(rows_max);
        let mut room = rows_max;
        for one in &mut policies {
            one.failures.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            one.failures.truncate(room);
            room -= one.failures.len();
        }
        TlsSubject { domain, sessions, policies }
    };
    domains.into_iter().map(subject).collect()
}

impl TlsSubject {
    /// Different findings in the report.
    pub(super) fn rows(&self) -> usize {
        self.policies.iter().map(|one| one.failures.len().max(1)).sum()
    }

    /// The report.
    pub(super) fn report(&self, submitter: &Submitter, day: Day, report_id: &str) -> TlsReport {
        let seconds = |moment: u64| i64::try_from(moment).unwrap_or_default();
        TlsReport {
            organization_name: Some(submitter.organization.clone()),
            date_range: DateRange::from_timestamps(seconds(day.begin()), seconds(day.end())),
            contact_info: Some(submitter.contact.to_string()),
            report_id: report_id.to_owned(),
            policies: self.policies.iter().map(|one| one.policy(&self.domain)).collect(),
        }
    }
}

impl TlsPolicySubject {
    fn policy(&self, domain: &str) -> Policy {
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Policy {
            policy: PolicyDetails {
                policy_type: match self.policy.kind {
                    TlsPolicyKind::Tlsa => PolicyType::Tlsa,
                    TlsPolicyKind::Sts => PolicyType::Sts,
                    TlsPolicyKind::NoPolicyFound => PolicyType::NoPolicyFound,
                },
                policy_string: self.policy.lines.clone(),
                policy_domain: domain.to_owned(),
                mx_host: self.policy.servers.clone(),
            },
            summary: Summary { total_success: number(self.good), total_failure: number(self.bad) },
            failure_details: self
                .failures
                .iter()
                .map(|(failure, count)| FailureDetails {
                    result_type: result_type(failure.result),
                    receiving_mx_hostname: Some(failure.server.clone()).filter(|name| !name.is_empty()),
                    receiving_ip: failure.address,
                    failed_session_count: number(*count),
                    ..FailureDetails::default()
                })
                .collect(),
        }
    }
}

const fn result_type(result: TlsResult) -> ResultType {
    match result {
        TlsResult::StarttlsNotSupported => ResultType::StartTlsNotSupported,
        TlsResult::CertificateHostMismatch => ResultType::CertificateHostMismatch,
        TlsResult::CertificateExpired => ResultType::CertificateExpired,
        TlsResult::CertificateNotTrusted => ResultType::CertificateNotTrusted,
        TlsResult::ValidationFailure => ResultType::ValidationFailure,
        TlsResult::TlsaInvalid => ResultType::TlsaInvalid,
        TlsResult::DnssecInvalid => ResultType::DnssecInvalid,
        TlsResult::StsPolicyFetchError => ResultType::StsPolicyFetchError,
        TlsResult::StsPolicyInvalid => ResultType::StsPolicyInvalid,
        TlsResult::StsWebpkiInvalid => ResultType::StsWebpkiInvalid,
    }
}

/// The report as JSON, without members that say nothing.
pub(super) fn json(report: &TlsReport) -> String {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    let policies = value.get_mut("policies").and_then(|policies| policies.as_array_mut());
    for policy in policies.into_iter().flatten() {
        let failures = policy.get_mut("failure-details").and_then(|failures| failures.as_array_mut());
        for failure in failures.into_iter().flatten().filter_map(|failure| failure.as_object_mut()) {
            failure.retain(|_, member| !member.is_null());
        }
    }
    value.to_string()
}

/// Who wants reports about the sessions for a domain, the first `addresses_max` of them.
///
/// ```abnf
/// tlsrpt-record = tlsrpt-version 1*(field-delim tlsrpt-field) [field-delim]   ; RFC 8460 §3
/// tlsrpt-rua    = "rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)
/// ```
/// Reports over HTTPS are not sent.
pub(super) async fn check_tls(dns: &dyn Dns, domain: &str, addresses_max: usize) -> Vec<Checked> {
    let name = format!("_smtp._tls.{domain}");
    let records = match dns.txt(&name).await {
        Ok(records) => records,
        Err(error) if error.is_void() => return Vec::new(),
        Err(error) => {
            let why = format!("the DNS does not answer for {name}: {error}");
            return vec![Checked::Unknown { address: String::new(), why }];
        }
    };
    let uris = uris(&records).into_iter().take(addresses_max);
    uris.map(|uri| {
        let after = |scheme: &str| {
            uri.get(..scheme.len())
                .filter(|front| front.eq_ignore_ascii_case(scheme))
                .and(uri.get(scheme.len()..))
        };
        match after("mailto:").map(read) {
            Some(Some(address)) => Checked::Allowed(ReportAddress { address, octets_max: 0 }),
            Some(None) => Checked::Refused { address: uri, why: "no mail address".to_owned() },
            None => Checked::Refused { address: uri, why: "reports are sent by mail only".to_owned() },
        }
    })
    .collect()
}

/// The addresses of the one record; several records are none.
fn uris(records: &[Vec<u8>]) -> Vec<String> {
    let texts = records.iter().filter_map(|record| std::str::from_utf8(record).ok());
    let mut ours = texts.filter(|text| {
        text.strip_prefix("v=TLSRPTv1").is_some_and(|rest| rest.trim_start().starts_with(';'))
    });
    let (Some(record), None) = (ours.next(), ours.next()) else { return Vec::new() };
    let mut fields = record.split(';').skip(1).map(str::trim);
    let Some(rua) = fields.find_map(|field| field.strip_prefix("rua=")) else { return Vec::new() };
    rua.split(',').map(|uri| uri.trim().to_owned()).filter(|uri| !uri.is_empty()).collect()
}

/// Feeds arbitrary octets to the reader of records: what it gives is text of the one record, without its separators.
pub fn fuzz_tls_record(input: &[u8]) {
    let records: Vec<Vec<u8>> = input.split(|octet| *octet == 0).map(<[u8]>::to_vec).collect();
    for uri in uris(&records) {
        assert!(!uri.is_empty() && !uri.contains([',', ';']) && uri.trim() == uri);
        if let Some(address) = read(uri.trim_start_matches("mailto:")) {
            assert!(!address.domain().is_literal() && !address.needs_utf8());
        }
    }
}

#[cfg(test)]
mod tests;
