//! Who gets a report (RFC 9990 §4, RFC 7489 §7.1): addresses of the domain itself, and those of others that agree.
//!
//! ```text
//!  rua=mailto:d@b.test of a.test ──▶ TXT a.test._report._dmarc.b.test "v=DMARC1" ──▶ allowed
//!                                                   └ nothing there ──▶ refused; no answer ──▶ not now
//! ```

use envelope::{Address, Domain};
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::dmarc::Dmarc;

use crate::authentication::PublishedPolicy;
use crate::dns::{Dns, DnsError};

/// An address that gets reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportAddress {
    /// The address.
    pub address: Address,
    /// The largest report that it takes, in octets; 0: any.
    pub octets_max: u64,
}

/// What becomes of an address that a record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It gets the report.
    Allowed(ReportAddress),
    /// It does not.
    Refused {
        /// As it is published.
        address: String,
        /// Why.
        why: String,
    },
    /// It is not known now whether it does.
    Unknown {
        /// As it is published.
        address: String,
        /// Why.
        why: String,
    },
}

/// Looks at the addresses of a record, the first `addresses_max` of them.
pub async fn check_dmarc(dns: &dyn Dns, policy: &PublishedPolicy, addresses_max: usize) -> Vec<Checked> {
    let Ok(domain) = policy.domain.parse::<Domain>() else { return Vec::new() };
    let mut found = Vec::new();
    for uri in policy.reports_to.iter().take(addresses_max) {
        let published = uri.address.clone();
        found.push(match read(&published) {
            None => Checked::Refused { address: published, why: "no mail address".to_owned() },
            Some(address) => {
                let wanted = ReportAddress { address, octets_max: uri.octets_max };
                allowed(dns, policy, &domain, wanted).await
            }
        });
    }
    found
}

/// What stands behind `mailto:` (RFC 6068), without header fields.
pub(super) fn read(uri: &str) -> Option<Address> {
    let address: Address = uri.split('?').next()?.trim().parse().ok()?;
    (!address.domain().is_literal() && !address.needs_utf8()).then_some(address)
}

async fn allowed(dns: &dyn Dns, policy: &PublishedPolicy, domain: &Domain, wanted: ReportAddress) -> Checked {
    let (own, target) = (domain.as_str(), wanted.address.domain().as_str());
    if target == own || is_below(target, own) {
        return Checked::Allowed(wanted);
    }
    let unknown = |why: String| Checked::Unknown { address: wanted.address.to_string(), why };
    // RFC 9989 §4.10.2: what has a record above the domain, and no mark that says otherwise, is of the same organisation.
    if is_below(own, target) && !policy.is_organization {
        match records(dns, &format!("_dmarc.{target}")).await {
            Ok(found) if matches!(found.as_slice(), [one] if is_organization(one)) => {
                return Checked::Allowed(wanted);
            }
            Ok(_) => {}
            Err(why) => return unknown(why),
        }
    }
    match records(dns, &format!("{own}._report._dmarc.{target}")).await {
        Ok(found) if found.is_empty() => Checked::Refused {
            address: wanted.address.to_string(),
            why: format!("{target} does not say that it takes reports about {own}"),
        },
        Ok(found) => Checked::Allowed(elsewhere(&found, target).unwrap_or(wanted)),
        Err(why) => unknown(why),
    }
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|front| front.ends_with('.'))
}

/// Records of DMARC at a name.
async fn records(dns: &dyn Dns, name: &str) -> Result<Vec<Vec<u8>>, String> {
    match dns.txt(name).await {
        Ok(mut found) => {
            found.retain(|record| is_dmarc(record));
            Ok(found)
        }
        Err(error) if error.is_void() => Ok(Vec::new()),
        Err(DnsError::Failed(why)) => Err(format!("the DNS does not answer for {name}: {why}")),
        Err(error) => Err(error.to_string()),
    }
}

fn is_dmarc(record: &[u8]) -> bool {
    let text: Vec<u8> = record.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(9).collect();
    text == b"v=DMARC1" || text == b"v=DMARC1;"
}

fn is_organization(record: &[u8]) -> bool {
    Dmarc::parse(record).is_ok_and(|record| record.psd != mail_auth::dmarc::Psd::Yes)
}

/// Who agrees may name another address of its own (RFC 7489 §7.1, step 7).
fn elsewhere(records: &[Vec<u8>], target: &str) -> Option<ReportAddress> {
    let parsed = records.iter().find_map(|record| Dmarc::parse(record).ok())?;
    let uri = parsed.rua.first()?;
    let address = read(uri.uri())?;
    (address.domain().as_str() == target)
        .then(|| ReportAddress { address, octets_max: uri.max_size() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::ReportUri;
    use crate::dns::zone::Zone;

    async fn check(domain: &str, rua: &str, is_organization: bool, expected: &str) {
        let zone = Zone::default()
            .with("TXT", "a.test._report._dmarc.agrees.test", "v=DMARC1")
            .with("TXT", "a.test._report._dmarc.moved.test", "v=DMARC1; rua=mailto:new@moved.test!5k")
            .with("TXT", "a.test._report._dmarc.sly.test", "v=DMARC1; rua=mailto:victim@other.test")
            .with("TXT", "a.test._report._dmarc.odd.test", "hello")
            .with("TXT", "a.test._report._dmarc.near.test", "v=DMARC12")
            .with("TXT", "_dmarc.a.test", "v=DMARC1; p=none")
            .with("TXT", "_dmarc.suffix.test", "v=DMARC1; p=none; psd=y")
            .failing("a.test._report._dmarc.down.test");
        let policy = PublishedPolicy {
            domain: domain.to_owned(),
            is_organization,
            reports_to: vec![ReportUri { address: rua.to_owned(), octets_max: 7 }],
            ..PublishedPolicy::default()
        };
        let said = check_dmarc(&zone, &policy, 5).await;
        let said: Vec<String> = said
            .iter()
            .map(|one| match one {
                Checked::Allowed(one) => format!("{} {}", one.address, one.octets_max),
                Checked::Refused { address, .. } => format!("{address} refused"),
                Checked::Unknown { address, .. } => format!("{address} unknown"),
            })
            .collect();
        assert_eq!(said, [expected], "{domain} {rua}");
        assert!(check_dmarc(&zone, &policy, 0).await.is_empty());
    }

    #[tokio::test]
    async fn others_must_agree() {
        check("a.test", "d@a.test", false, "d@a.test 7").await;
        check("a.test", "d@below.a.test", false, "d@below.a.test 7").await;
        check("a.test", "d@nota.test", false, "d@nota.test refused").await;
        check("a.test", "d@agrees.test", false, "d@agrees.test 7").await;
        check("b.test", "d@agrees.test", false, "d@agrees.test refused").await;
        check("a.test", "d@moved.test", false, "new@moved.test 5120").await;
        check("a.test", "d@sly.test", false, "d@sly.test 7").await;
        check("a.test", "d@odd.test", false, "d@odd.test refused").await;
        check("a.test", "d@near.test", false, "d@near.test refused").await;
        check("a.test", "d@down.test", false, "d@down.test unknown").await;
        // The same organisation, or not.
        check("mail.a.test", "d@a.test", false, "d@a.test 7").await;
        check("mail.a.test", "d@a.test", true, "d@a.test refused").await;
        check("evil.suffix.test", "d@suffix.test", false, "d@suffix.test refused").await;
        check("evil.bare.test", "d@bare.test", false, "d@bare.test refused").await;
        // No addresses.
        check("a.test", "nothing", false, "nothing refused").await;
        check("a.test", "d@[192.0.2.1]", false, "d@[192.0.2.1] refused").await;
        check("a.test", "d@a.test?subject=x", false, "d@a.test 7").await;
    }
}
