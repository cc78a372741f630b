//! Questions to the DNS, and what an answer is worth.

use std::net::IpAddr;

use async_trait::async_trait;
use filters::{Asking, ResolverError};
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError as LibraryError, NetError};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use runtime::Tlsa;

use super::RemoteConfig;

/// What the DNS has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer<T> {
    pub(crate) records: Vec<T>,
    /// Every record of it is signed, up to the root.
    pub(crate) secure: bool,
    /// Nothing of it could not be found out.
    pub(crate) complete: bool,
}

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DnsError {
    /// There is no such name.
    #[error("no such name")]
    NoName,
    /// There is the name, but nothing of the kind.
    #[error("no such record")]
    NoRecord,
    /// It is not known.
    #[error("{0}")]
    Failed(String),
}

/// A mail server and how much it is wanted: the less, the more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mx {
    pub(crate) preference: u16,
    /// Without the trailing dot; empty: the null MX (RFC 7505).
    pub(crate) host: String,
}

/// Whom routing asks.
#[async_trait]
pub(crate) trait Dns: Send + Sync + 'static {
    /// Without records: there is the domain, and none of them; secure when that is signed.
    async fn mx(&self, domain: &str) -> Result<Answer<Mx>, DnsError>;
    /// IPv6 before IPv4.
    async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsError>;
    /// What mail can make use of; an answer without any is one. That there is none counts only when it is signed.
    async fn tlsa(&self, host: &str, port: u16) -> Result<Answer<Tlsa>, DnsError>;
    /// Texts, the strings of each put together.
    async fn txt(&self, name: &str) -> Result<Answer<String>, DnsError>;
}

/// The DNS of the internet.
pub(crate) struct Resolver {
    resolver: TokioResolver,
}

impl Resolver {
    /// Nothing is asked yet.
    pub(crate) fn new(config: &RemoteConfig) -> Result<Self, ResolverError> {
        let asking = Asking {
            resolvers: &config.resolvers,
            dnssec: config.dnssec,
            trust_anchors: &config.trust_anchors,
            cache_entries: config.dns_cache_entries,
            cache_age_max: config.dns_cache_age_max.as_duration(),
            try_max: None,
        };
        Ok(Self { resolver: asking.open()? })
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, Nothing> {
        // The dot at the end keeps the search list of the system out.
        let found = self.resolver.lookup(format!("{name}."), kind).await;
        let found = found.map_err(|error| Nothing { proved: is_proved(&error), error: failed(error) })?;
        let (records, secure) = (found.answers().iter(), are_secure(found.answers()));
        let records = records.filter_map(|record| pick(&record.data)).collect();
        let answer = Answer { records, secure, complete: true };
        let nothing = Nothing { proved: false, error: DnsError::NoRecord };
        if found.answers().is_empty() { Err(nothing) } else { Ok(answer) }
    }
}

/// Why there is nothing, and whether that is signed.
struct Nothing {
    error: DnsError,
    proved: bool,
}

impl From<Nothing> for DnsError {
    fn from(nothing: Nothing) -> Self {
        nothing.error
    }
}

/// The library takes a denial that is not signed for one of an unsigned zone, also where the zone that was asked is signed.
fn is_proved(error: &NetError) -> bool {
    let NetError::Dns(LibraryError::NoRecordsFound(nothing)) = error else { return false };
    let authorities = nothing.authorities.iter().flat_map(|records| records.iter());
    let mut denials =
        authorities.filter(|record| matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3));
    denials.any(|record| record.proof.is_secure())
}

/// Of several signatures over a set one proves it, and the library marks only that one.
fn are_secure(records: &[Record]) -> bool {
    let mut signed = records.iter().filter(|record| record.record_type() != RecordType::RRSIG).peekable();
    signed.peek().is_some() && signed.all(|record| record.proof.is_secure())
}

fn failed(error: NetError) -> DnsError {
    if error.is_nx_domain() {
        DnsError::NoName
    } else if error.is_no_records_found() {
        DnsError::NoRecord
    } else {
        DnsError::Failed(error.to_string())
    }
}

#[async_trait]
impl Dns for Resolver {
    async fn mx(&self, domain: &str) -> Result<Answer<Mx>, DnsError> {
        let pick = |data: &RData| match data {
            RData::MX(mx) => {
                let host = mx.exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase();
                Some(Mx { preference: mx.preference, host })
            }
            _ => None,
        };
        match self.ask(domain, RecordType::MX, pick).await {
            Err(Nothing { error: DnsError::NoRecord, proved }) => {
                Ok(Answer { records: Vec::new(), secure: proved, complete: true })
            }
            found => Ok(found?),
        }
    }

    async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsError> {
        let pick = |data: &RData| match data {
            RData::A(a) => Some(IpAddr::from(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::from(aaaa.0)),
            _ => None,
        };
        let (v6, v4) =
            tokio::join!(self.ask(host, RecordType::AAAA, pick), self.ask(host, RecordType::A, pick));
        match (v6.map_err(DnsError::from), v4.map_err(DnsError::from)) {
            (Ok(mut v6), Ok(v4)) => {
                v6.records.extend(v4.records);
                Ok(Answer { secure: v6.secure && v4.secure, ..v6 })
            }
            (Ok(one), Err(DnsError::NoName | DnsError::NoRecord))
            | (Err(DnsError::NoName | DnsError::NoRecord), Ok(one)) => Ok(one),
            // One kind is enough to go on with, but proves nothing.
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(Answer { secure: false, complete: false, ..one }),
            (Err(error @ DnsError::Failed(_)), Err(_)) | (Err(_), Err(error)) => Err(error),
        }
    }

    async fn tlsa(&self, host: &str, port: u16) -> Result<Answer<Tlsa>, DnsError> {
        let pick = |data: &RData| match data {
            RData::TLSA(tlsa) => {
                let numbers = (tlsa.cert_usage.into(), tlsa.selector.into(), tlsa.matching.into());
                Tlsa::new(numbers.0, numbers.1, numbers.2, &tlsa.cert_data)
            }
            _ => None,
        };
        match self.ask(&format!("_{port}._tcp.{host}"), RecordType::TLSA, pick).await {
            // Asked where the zone is signed: who left the records out would have left out this proof.
            Err(Nothing { error: DnsError::NoName | DnsError::NoRecord, proved: false }) => {
                Err(DnsError::Failed("that there are none is not signed".to_owned()))
            }
            found => Ok(found?),
        }
    }
    async fn txt(&self, name: &str) -> Result<Answer<String>, DnsError> {
        let pick = |data: &RData| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        };
        Ok(self.ask(name, RecordType::TXT, pick).await?)
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::dnssec::Proof;
    use hickory_resolver::proto::rr::Name;
    use hickory_resolver::proto::rr::rdata::{A, NULL};

    use super::*;

    #[test]
    fn keys_to_begin_with_are_read_or_it_is_told_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        let resolver = |text: Option<&str>| {
            text.inspect(|text| std::fs::write(&path, text).unwrap());
            let resolvers = vec!["127.0.0.1:1".parse().unwrap()];
            let config = RemoteConfig {
                dnssec: true,
                trust_anchors: path.clone(),
                resolvers,
                ..RemoteConfig::default()
            };
            Resolver::new(&config).map(drop).map_err(|error| error.to_string())
        };
        let key = ". 3600 IN DNSKEY 257 3 13 6MYsYlpCQ9dpm2aR5GiRSVNcFvcLjNZ5cn6dOGsEVc4Mbrmo9mzz0BxjnDEOLWEdMx1EXBrEHP0MMsHQqrvk0A==\n";
        for (text, expected) in
            [(None, "anchors"), (Some("nonsense"), "anchors"), (Some(""), "no key of the root")]
        {
            assert!(resolver(text).unwrap_err().contains(expected), "{text:?}");
        }
        assert_eq!(resolver(Some(key)), Ok(()));
    }

    #[test]
    fn that_there_is_nothing_counts_when_it_is_signed() {
        let denial = |kind: RecordType, proof| {
            let mut record =
                Record::from_rdata(Name::root(), 60, RData::Unknown { code: kind, rdata: NULL::new() });
            record.proof = proof;
            let query = hickory_resolver::proto::op::Query::query(Name::root(), RecordType::MX);
            let mut nothing = hickory_resolver::net::NoRecords::new(
                query,
                hickory_resolver::proto::op::ResponseCode::NoError,
            );
            nothing.authorities = Some(vec![record].into());
            is_proved(&NetError::from(LibraryError::NoRecordsFound(nothing)))
        };
        assert!(denial(RecordType::NSEC, Proof::Secure) && denial(RecordType::NSEC3, Proof::Secure));
        assert!(!denial(RecordType::NSEC, Proof::Insecure) && !denial(RecordType::SOA, Proof::Insecure));
        assert!(!denial(RecordType::SOA, Proof::Secure) && !is_proved(&NetError::from("no answer")));
    }

    #[test]
    fn one_signature_of_several_is_enough_and_every_record_counts() {
        let record = |data: RData, proof| {
            let mut record = Record::from_rdata(Name::root(), 60, data);
            record.proof = proof;
            record
        };
        let address = |proof| record(RData::A(A::new(192, 0, 2, 1)), proof);
        let signature = || {
            let data = RData::Unknown { code: RecordType::RRSIG, rdata: NULL::new() };
            record(data, Proof::Indeterminate)
        };
        assert!(are_secure(&[address(Proof::Secure), signature(), signature()]));
        assert!(!are_secure(&[address(Proof::Secure), address(Proof::Insecure)]));
        assert!(!are_secure(&[address(Proof::Indeterminate)]));
        assert!(!are_secure(&[signature()]) && !are_secure(&[]));
    }
}
