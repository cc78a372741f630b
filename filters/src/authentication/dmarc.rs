//! DMARC (RFC 9989): does the author's domain stand behind the message?

use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::dmarc::{Alignment, Dmarc, Policy, Psd, Report};
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DmarcResult as Outcome, MessageAuthenticator, Parameters, SpfOutput,
    SpfResult,
};

use super::Author;
use super::dkim::Verified;
use super::lookup::Known;
use super::results::{DmarcPolicy, DmarcResult, PublishedPolicy, ReportUri, SpfFinding, Word};

/// Addresses for reports that are kept of one record.
pub(super) const REPORTS_TO_MAX: usize = 20;

/// Domains of which it must be known whether they belong to the owner of the author's domain: those that passed, share its last two labels and are
/// not the same.
pub(super) fn candidates(author: &Author, spf: &SpfFinding, dkim: &[Verified<'_>]) -> Vec<String> {
    let Some(domain) = author.domain() else { return Vec::new() };
    let signers = dkim.iter().filter(|one| matches!(one.result.result, Word::Pass | Word::TempError));
    let signers = signers.map(|one| one.result.domain.as_str());
    let sender = matches!(spf.result, Word::Pass | Word::TempError).then_some(spf.domain.as_str());
    let near = |other: &&str| *other != domain && tail(other) == tail(domain);
    let mut found: Vec<String> = signers.chain(sender).filter(near).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

fn tail(domain: &str) -> Option<&str> {
    let (front, last) = domain.rsplit_once('.')?;
    let second = front.rsplit_once('.').map_or(front, |(_, label)| label);
    domain.get(domain.len() - last.len() - 1 - second.len()..)
}

/// Checks a message whose other results are known.
pub(super) async fn verify<'a>(
    library: &MessageAuthenticator,
    message: &'a AuthenticatedMessage<'a>,
    known: &'a Known,
    author: &Author,
    spf: &SpfFinding,
    dkim: &[Verified<'a>],
) -> DmarcResult {
    let Some(domain) = author.domain() else { return DmarcResult::default() };
    let outputs: Vec<DkimOutput<'a>> = dkim.iter().map(|one| one.output.clone()).collect();
    let spf_output = SpfOutput::new(spf.domain.clone()).with_result(match spf.result {
        Word::Pass => SpfResult::Pass,
        Word::TempError => SpfResult::TempError,
        _ => SpfResult::Fail,
    });
    let parameters = DmarcParameters::new(message, &outputs, &spf.domain, &spf_output);
    let output = library.verify_dmarc(Parameters::new(parameters).with_txt_cache(known)).await;
    let policy = word(output.policy());
    let (spf_aligned, dkim_aligned) =
        (output.spf_result() == &Outcome::Pass, output.dkim_result() == &Outcome::Pass);
    let temporary = |one: &Outcome| matches!(one, Outcome::TempError(_));
    let permanent = |one: &Outcome| matches!(one, Outcome::PermError(_));
    let result = if spf_aligned || dkim_aligned {
        Word::Pass
    } else if temporary(output.spf_result()) || temporary(output.dkim_result()) {
        Word::TempError
    } else if permanent(output.spf_result()) || permanent(output.dkim_result()) {
        Word::PermError
    } else if output.dmarc_record().is_none() {
        Word::None
    } else {
        Word::Fail
    };
    let record = output.dmarc_record_cloned();
    let published = record.and_then(|record| {
        let (domain, record) = known.published(&record)?;
        Some(published(domain, record))
    });
    DmarcResult { result, domain: domain.to_owned(), policy, spf_aligned, dkim_aligned, published }
}

const fn word(policy: Policy) -> DmarcPolicy {
    match policy {
        Policy::None | Policy::Unspecified => DmarcPolicy::None,
        Policy::Quarantine => DmarcPolicy::Quarantine,
        Policy::Reject => DmarcPolicy::Reject,
    }
}

fn published(domain: &str, record: &Dmarc) -> PublishedPolicy {
    let uris = record.rua.iter().take(REPORTS_TO_MAX);
    PublishedPolicy {
        domain: domain.to_owned(),
        policy: word(record.p),
        subdomain_policy: word(record.sp),
        missing_domain_policy: word(record.np),
        strict_dkim: record.adkim == Alignment::Strict,
        strict_spf: record.aspf == Alignment::Strict,
        testing: record.t,
        is_organization: record.psd == Psd::No,
        failure_options: match record.fo {
            Report::All => "0",
            Report::Any => "1",
            Report::Dkim => "d",
            Report::Spf => "s",
            Report::DkimSpf => "d:s",
        }
        .to_owned(),
        reports_to: uris
            .map(|uri| ReportUri { address: uri.uri().to_owned(), octets_max: uri.max_size() as u64 })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_labels() {
        let check = |domain: &str, expected: Option<&str>| assert_eq!(tail(domain), expected, "{domain}");
        check("test", None);
        check("a.test", Some("a.test"));
        check("b.a.test", Some("a.test"));
        check("c.b.a.test", Some("a.test"));
    }
}
