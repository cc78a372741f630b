//! What the DNS says, gathered before the library needs it.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use hickory_resolver::proto::op::ResponseCode;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::Dmarc;
use mail_auth::{DnsError as LibraryDnsError, Error, ResolverCache, Txt};
use tokio::time::timeout;

use super::keys::Keys;
use crate::dns::{Dns, DnsError};

/// Questions of one message that are on their way at once, but for those that nothing may hold up.
const AT_ONCE: usize = 16;
/// The longest walk from a domain to the root (RFC 9989 §4.10: eight questions).
const WALK_MAX: usize = 8;

/// Answers by name; a name that was not asked for does not exist.
#[derive(Debug, Default)]
pub(super) struct Known {
    texts: HashMap<Box<str>, Answer>,
    /// Records that were changed for the library, as they were.
    settled: HashMap<Box<str>, Arc<Dmarc>>,
}

#[derive(Clone)]
struct Answer(Txt);

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self.0, Txt::Error(_)) { "nothing" } else { "a record" })
    }
}

impl Known {
    /// DKIM keys (RFC 6376 §3.6.2) of signatures and of seals. Of several records the first that is one counts. What seals name holds up no
    /// signature: DMARC rests on those.
    pub(super) async fn fetch_keys(
        &mut self,
        dns: &dyn Dns,
        keys: &Keys,
        signatures: impl Iterator<Item = String>,
        seals: impl Iterator<Item = String>,
        time_max: Duration,
    ) {
        let mut names = distinct(signatures);
        let at_once = names.len().max(AT_ONCE);
        names.extend(seals);
        let names = distinct(names.into_iter());
        self.fetch(dns, names, at_once, time_max, |records| {
            let mut read = records.iter().map(|record| keys.read(record));
            let first = read.next().unwrap_or_else(not_found);
            let good = if first.is_ok() { first } else { read.find(Result::is_ok).unwrap_or(first) };
            good.map_or_else(Txt::Error, Txt::DomainKey)
        })
        .await;
    }

    /// DMARC records from each domain up to the root, the first domain's first. Several records at one name are none (RFC 9989 §4.10).
    pub(super) async fn fetch_policies(
        &mut self,
        dns: &dyn Dns,
        domains: impl Iterator<Item = String>,
        time_max: Duration,
    ) {
        let names = domains.flat_map(|domain| walk(&domain)).map(|name| format!("_dmarc.{name}."));
        let names = distinct(names.filter(|name| !self.texts.contains_key(name.as_str())));
        self.fetch(dns, names, AT_ONCE, time_max, |records| {
            let mut policies = records.iter().filter(|record| is_policy(record));
            match (policies.next(), policies.next()) {
                (Some(one), None) => Dmarc::parse(one).into(),
                _ => not_found::<Dmarc>().into(),
            }
        })
        .await;
    }

    /// The policy for a name that does not exist (`np`, RFC 9989 §4.7) is put where the library looks for that of a subdomain, if the name does not exist.
    pub(super) async fn settle_missing_domain(&mut self, dns: &dyn Dns, domain: &str, time_max: Duration) {
        let own = format!("_dmarc.{domain}.");
        let differs = |txt: &Txt| matches!(txt, Txt::Dmarc(record) if record.np != record.sp);
        let concerned = self.texts.iter().any(|(name, answer)| **name != *own && differs(&answer.0));
        if !concerned {
            return;
        }
        let asked = timeout(time_max, dns.a(domain)).await;
        let is_missing = matches!(asked, Ok(Err(DnsError::NoName)));
        for (name, answer) in &mut self.texts {
            if let Txt::Dmarc(record) = &answer.0
                && name.starts_with("_dmarc.")
            {
                let mut settled = Dmarc::clone(record);
                if is_missing {
                    settled.sp = settled.np;
                } else {
                    settled.np = settled.sp;
                }
                self.settled.insert(name.clone(), Arc::clone(record));
                answer.0 = Txt::Dmarc(Arc::new(settled));
            }
        }
    }

    /// Where a record that the library got from here was found, and how it is published.
    pub(super) fn published(&self, found: &Arc<Dmarc>) -> Option<(&str, &Dmarc)> {
        let is_it = |answer: &Answer| matches!(&answer.0, Txt::Dmarc(record) if Arc::ptr_eq(record, found));
        let (name, answer) = self.texts.iter().find(|(_, answer)| is_it(answer))?;
        let domain = name.strip_prefix("_dmarc.")?.strip_suffix('.')?;
        match (self.settled.get(name), &answer.0) {
            (Some(record), _) | (None, Txt::Dmarc(record)) => Some((domain, record)),
            _ => None,
        }
    }

    async fn fetch(
        &mut self,
        dns: &dyn Dns,
        names: Vec<String>,
        at_once: usize,
        time_max: Duration,
        read: impl Fn(Vec<Vec<u8>>) -> Txt,
    ) {
        let question = |name| async move {
            let found = dns.txt(str::trim_end_matches(name, '.')).await;
            (name, found)
        };
        let questions: Vec<_> = names.iter().map(String::as_str).map(question).collect();
        let mut answers = stream::iter(questions).buffer_unordered(at_once);
        let gather = async {
            while let Some((name, found)) = answers.next().await {
                let txt = match found {
                    Ok(records) => read(records),
                    Err(error) if error.is_void() => not_found::<Dmarc>().into(),
                    Err(error) => failed::<Dmarc>(error.to_string()).into(),
                };
                self.texts.insert(name.into(), Answer(txt));
            }
        };
        if timeout(time_max, gather).await.is_err() {
            // What has not come by then is a failure.
            let late = || Answer(failed::<Dmarc>("no answer in time".to_owned()).into());
            for name in &names {
                self.texts.entry(name.as_str().into()).or_insert_with(late);
            }
        }
    }
}

/// Each name once, in their order.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

/// `a.b.c`, `b.c`, `c`; of a long name the last seven labels and the whole (RFC 9989 §4.10).
fn walk(domain: &str) -> Vec<String> {
    let labels: Vec<&str> = domain.split('.').filter(|label| !label.is_empty()).collect();
    let mut names = vec![labels.join(".")];
    let rest = labels.len().saturating_sub(1).min(WALK_MAX - 1);
    for count in (1..=rest).rev() {
        let from = labels.len() - count;
        names.push(labels.get(from..).unwrap_or_default().join("."));
    }
    names
}

fn is_policy(record: &[u8]) -> bool {
    let text: Vec<u8> = record.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(8).collect();
    text.starts_with(b"v=DMARC1")
}

fn not_found<T>() -> mail_auth::Result<T> {
    Err(Error::Dns(LibraryDnsError::RecordNotFound(ResponseCode::NXDomain)))
}

fn failed<T>(why: String) -> mail_auth::Result<T> {
    Err(Error::Dns(LibraryDnsError::Resolver(why)))
}

impl ResolverCache<Box<str>, Txt> for Known {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let answer = self.texts.get(name).map(|answer| answer.0.clone());
        Some(answer.unwrap_or_else(|| not_found::<Dmarc>().into()))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::zone::Zone;

    #[test]
    fn the_walk_has_eight_steps_at_most() {
        let check = |domain: &str, expected: &[&str]| assert_eq!(walk(domain), expected, "{domain}");
        check("test", &["test"]);
        check("a.test", &["a.test", "test"]);
        check(
            "a.b.c.d.e.f.g.h.i.test",
            &[
                "a.b.c.d.e.f.g.h.i.test",
                "d.e.f.g.h.i.test",
                "e.f.g.h.i.test",
                "f.g.h.i.test",
                "g.h.i.test",
                "h.i.test",
                "i.test",
                "test",
            ],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn attack_seals_whose_servers_are_silent() {
        let seals = (0..100).map(|number| format!("{number:02}._domainkey.x.evil.test."));
        let signatures: Vec<String> =
            (0..50).map(|number| format!("z{number}._domainkey.bank.test.")).collect();
        let zone = seals.clone().fold(Zone::default(), |zone, name| zone.silent(&name));
        let mut known = Known::default();
        let keys = Keys::new(units::ByteSize::kib(64));
        known.fetch_keys(&zone, &keys, signatures.iter().cloned(), seals, Duration::from_secs(20)).await;
        for name in &signatures {
            let found = known.get::<str>(name).unwrap();
            assert!(
                matches!(found, Txt::Error(Error::Dns(LibraryDnsError::RecordNotFound(_)))),
                "{name}: it was asked, and is not there"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attack_candidates_whose_servers_are_silent() {
        let evil: Vec<String> = (0..9).map(|number| format!("a.b.c.d.e.f.g.h{number}.evil.test")).collect();
        let walked = evil.iter().flat_map(|domain| walk(domain)).filter(|name| name.contains("evil"));
        let zone = walked.fold(Zone::default(), |zone, name| zone.silent(&format!("_dmarc.{name}")));
        let zone = zone.with("TXT", "_dmarc.mail.zz.test", "v=DMARC1; p=reject");
        let mut known = Known::default();
        let domains = std::iter::once("mail.zz.test".to_owned()).chain(evil);
        known.fetch_policies(&zone, domains, Duration::from_secs(20)).await;
        assert!(matches!(known.get::<str>("_dmarc.mail.zz.test.").unwrap(), Txt::Dmarc(_)));
    }

    #[tokio::test]
    async fn several_policies_are_none() {
        let zone = Zone::default()
            .with("TXT", "_dmarc.two.test", "v=DMARC1; p=reject")
            .with("TXT", "_dmarc.two.test", "v=DMARC1; p=none")
            .with("TXT", "_dmarc.one.test", "something else")
            .with("TXT", "_dmarc.one.test", "v=DMARC1; p=reject")
            .failing("_dmarc.down.test");
        let mut known = Known::default();
        let domains = ["two.test", "one.test", "down.test"].map(str::to_owned);
        known.fetch_policies(&zone, domains.into_iter(), Duration::from_secs(5)).await;
        let found = |name: &str| known.get::<str>(name).unwrap();
        assert!(matches!(found("_dmarc.two.test."), Txt::Error(_)));
        assert!(matches!(found("_dmarc.one.test."), Txt::Dmarc(_)));
        assert!(matches!(found("_dmarc.down.test."), Txt::Error(Error::Dns(LibraryDnsError::Resolver(_)))));
        assert!(matches!(found("never.asked."), Txt::Error(Error::Dns(LibraryDnsError::RecordNotFound(_)))));
    }
}
