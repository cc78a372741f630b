//! How much a check may ask, and how long.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use units::Span;

use super::{PEER, ask, ask_as, questions, record};
use crate::dns::zone::Zone;
use crate::dns::{Dns, DnsError};
use crate::spf::{Problem, SpfLimits, SpfResult};

const NAMES: u32 = 10;

#[tokio::test]
async fn eleven_lookups() {
    for (count, expected) in [(9, SpfResult::Pass), (10, SpfResult::Pass), (11, SpfResult::PermError)] {
        let zone = record(&format!("v=spf1{} ip4:{PEER} -all", " a".repeat(count))).with(
            "A",
            "a.test",
            "203.0.113.1",
        );
        let outcome = ask(&zone).await;
        assert_eq!(outcome.result, expected, "{count}");
        assert_eq!(outcome.lookups as usize, count.min(10));
        assert_eq!(questions(&zone), 1 + count.min(10), "the eleventh is not asked");
        let problem = (count == 11).then_some(Problem::Lookups(10));
        assert_eq!(outcome.problem, problem);
    }
}

#[tokio::test]
async fn every_asking_term_counts() {
    let terms = ["a", "mx", "ptr", "exists:x.test", "include:b.test", "a:%{p}.test"];
    for term in terms {
        let zone = record(&format!("v=spf1 {term} -all")).with("TXT", "b.test", "v=spf1");
        let outcome = ask(&zone).await;
        // The first `%{p}` asks by itself.
        assert_eq!(outcome.lookups, if term.contains("%{p}") { 2 } else { 1 }, "{term}: {outcome:?}");
        assert_eq!(outcome.result, SpfResult::Fail, "{term}: {outcome:?}");
    }
    let zone =
        record("v=spf1 ip4:203.0.113.1 redirect=b.test").with("TXT", "b.test", "v=spf1 -all exp=%{p}.test");
    let outcome = ask(&zone).await;
    assert_eq!((outcome.lookups, outcome.result), (1, SpfResult::Fail), "{outcome:?}");
}

#[tokio::test]
async fn three_void_lookups() {
    for (terms, expected) in [
        ("a:x.test", SpfResult::Fail),
        ("a:x.test exists:y.test", SpfResult::Fail),
        ("a:x.test exists:y.test mx:z.test", SpfResult::PermError),
        ("mx:z.test ptr exists:y.test", SpfResult::PermError),
        // Answers that have nothing of the kind are as void as names that do not exist.
        ("a:t.test mx:t.test exists:t.test", SpfResult::PermError),
        // Ten hosts without an address are one term's fault.
        ("mx:m.test a:x.test", SpfResult::Fail),
        ("mx:m.test a:x.test a:y.test", SpfResult::PermError),
        // Terms that never ask are none.
        ("a:x..test a:y..test a:z..test", SpfResult::Fail),
    ] {
        let mut zone =
            record(&format!("v=spf1 {terms} -all exp=nothing.test")).with("TXT", "t.test", "there");
        for index in 0..NAMES {
            zone = zone.with("MX", "m.test", &format!("m{index}.test"));
        }
        let outcome = ask(&zone).await;
        assert_eq!(outcome.result, expected, "{terms}: {outcome:?}");
        let problem = (expected == SpfResult::PermError).then_some(Problem::Voids(2));
        assert_eq!(outcome.problem, problem, "{terms}");
    }
}

#[tokio::test]
async fn eleven_mx_names() {
    for (count, at, expected) in [
        (9, 9, SpfResult::Pass),
        (10, 10, SpfResult::Pass),
        (11, 11, SpfResult::PermError),
        // Who is found among the first ten was found.
        (11, 10, SpfResult::Pass),
        (100, 101, SpfResult::PermError),
    ] {
        let mut zone = record("v=spf1 mx -all");
        for index in 1..=count {
            let address = if index == at { PEER } else { "203.0.113.1" };
            zone = zone.with("MX", "a.test", &format!("m{index}.test")).with(
                "A",
                &format!("m{index}.test"),
                address,
            );
        }
        let outcome = ask(&zone).await;
        assert_eq!(outcome.result, expected, "{count}: {outcome:?}");
        assert!(questions(&zone) <= 2 + 10);
        if expected == SpfResult::PermError {
            assert_eq!(outcome.problem, Some(Problem::MailServers { domain: "a.test".to_owned(), max: 10 }));
        }
    }
}

#[tokio::test]
async fn eleven_ptr_names() {
    for (at, expected) in
        [(9, SpfResult::Pass), (10, SpfResult::Pass), (11, SpfResult::Neutral), (1000, SpfResult::Neutral)]
    {
        let mut zone = record("v=spf1 ptr ?all");
        for index in 1..=at {
            let name = if index == at { "mx.a.test".to_owned() } else { format!("x{index}.test") };
            zone = zone.with("PTR", PEER, &name).with("A", &name, PEER);
        }
        let outcome = ask(&zone).await;
        assert_eq!(outcome.result, expected, "{at}: {outcome:?}");
        assert!(questions(&zone) <= 2 + 10);
    }
}

#[tokio::test]
async fn names_of_the_peer_are_asked_for_once() {
    let mut zone = record("v=spf1 ptr:x.test ptr:y.test exists:%{p}.z.test ptr -all");
    for index in 1..=20 {
        zone = zone.with("PTR", PEER, &format!("n{index}.test")).with("A", &format!("n{index}.test"), PEER);
    }
    assert_eq!(ask(&zone).await.result, SpfResult::Fail);
    assert_eq!(questions(&zone), 1 + 1 + 10 + 1);
}

#[tokio::test]
async fn include_loop() {
    for zone in [
        record("v=spf1 include:a.test -all"),
        record("v=spf1 include:b.test -all").with("TXT", "b.test", "v=spf1 ?include:a.test"),
        record("v=spf1 include:%{d1r}x.a.test").with("TXT", "ax.a.test", "v=spf1 redirect=a.test"),
    ] {
        let outcome = ask(&zone).await;
        assert_eq!(outcome.problem, Some(Problem::Lookups(10)));
        assert_eq!((outcome.result, outcome.lookups), (SpfResult::PermError, 10));
        assert_eq!(questions(&zone), 11);
    }
}

#[tokio::test]
async fn redirect_chain() {
    let chain = |length: usize| {
        let mut zone = record("v=spf1 redirect=r1.test");
        for index in 1..length {
            zone =
                zone.with("TXT", &format!("r{index}.test"), &format!("v=spf1 redirect=r{}.test", index + 1));
        }
        zone.with("TXT", &format!("r{length}.test"), "v=spf1 -all exp=e.%{d}").with(
            "TXT",
            &format!("e.r{length}.test"),
            "from %{d}",
        )
    };
    for length in [9, 10] {
        let outcome = ask(&chain(length)).await;
        assert_eq!(outcome.result, SpfResult::Fail);
        assert_eq!(outcome.mechanism.as_deref(), Some("-all"));
        assert_eq!(
            outcome.explanation,
            Some(format!("from r{length}.test")),
            "the last domain is the current one"
        );
    }
    assert_eq!(ask(&chain(11)).await.problem, Some(Problem::Lookups(10)));
    assert_eq!(ask(&record("v=spf1 redirect=a.test")).await.problem, Some(Problem::Lookups(10)));
}

#[tokio::test]
async fn more_lookups_than_a_stack_could_bear() {
    let limits = SpfLimits { lookups_max: 50_000, ..SpfLimits::default() };
    let sender = "ann@a.test".parse().unwrap();
    let zone = record("v=spf1 include:a.test");
    let outcome = ask_as(&zone, PEER, "mx.a.test", Some(&sender), &limits).await;
    assert_eq!(outcome.problem, Some(Problem::Lookups(50_000)));
}

/// A DNS that takes its time for each answer.
struct Slow(Zone, Duration);

#[async_trait]
impl Dns for Slow {
    async fn a(&self, name: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
        tokio::time::sleep(self.1).await;
        self.0.a(name).await
    }

    async fn aaaa(&self, name: &str) -> Result<Vec<Ipv6Addr>, DnsError> {
        tokio::time::sleep(self.1).await;
        self.0.aaaa(name).await
    }

    async fn mx(&self, name: &str) -> Result<Vec<String>, DnsError> {
        tokio::time::sleep(self.1).await;
        self.0.mx(name).await
    }

    async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        tokio::time::sleep(self.1).await;
        self.0.ptr(address).await
    }

    async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        tokio::time::sleep(self.1).await;
        self.0.txt(name).await
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_seconds() {
    let zone = || {
        record("v=spf1 a a a -all exp=e.test")
            .with("A", "a.test", "203.0.113.1")
            .with("TXT", "e.test", "told")
    };
    let check = async |answer: Duration, expected: SpfResult, told: Option<&str>| {
        let begun = tokio::time::Instant::now();
        let outcome = ask(&Slow(zone(), answer)).await;
        assert_eq!((outcome.result, outcome.explanation.as_deref()), (expected, told), "{answer:?}");
        assert!(begun.elapsed() <= Duration::from_secs(20) + Duration::from_millis(2));
        if expected == SpfResult::TempError {
            assert_eq!(outcome.problem, Some(Problem::Time));
        }
    };
    // Four questions for the result, one for the explanation.
    check(Duration::from_millis(3_900), SpfResult::Fail, Some("told")).await;
    check(Duration::from_millis(4_900), SpfResult::Fail, None).await;
    check(Duration::from_millis(5_100), SpfResult::TempError, None).await;
    check(Duration::from_secs(100_000), SpfResult::TempError, None).await;
    let patient = SpfLimits { time_max: Span::millis(u64::MAX), ..SpfLimits::default() };
    let sender = "ann@a.test".parse().unwrap();
    let outcome = ask_as(&zone(), PEER, "mx.a.test", Some(&sender), &patient).await;
    assert_eq!(outcome.result, SpfResult::Fail);
}

const TERM: &str = "[-+~?]?(all|a|mx|ptr|include|exists|a:(%\\{[dlp]\\}\\.)?[ab]\\.test|mx:[ab]\\.test|include:[abc]\\.test|\
    exists:%\\{[irlps]{1,2}\\}\\.test|ptr:test|ip4:192\\.0\\.2\\.[0-9]|redirect=[abc]\\.test|exp=[abc]\\.test)";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever three domains say of each other, the check ends, within its budget, and its words are plain.
    #[test]
    fn every_check_keeps_its_budget(records in proptest::collection::vec(proptest::collection::vec(TERM, 0..6), 3)) {
        let mut zone = Zone::default().failing("f.test");
        for (domain, terms) in ["a.test", "b.test", "c.test"].iter().zip(&records) {
            zone = zone.with("TXT", domain, &format!("v=spf1 {}", terms.join(" "))).with("A", domain, "203.0.113.1");
            for index in 0..12 {
                zone = zone.with("MX", domain, &format!("m{index}.test")).with("PTR", PEER, &format!("m{index}.test"));
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let outcome = runtime.block_on(ask(&zone));
        prop_assert!(outcome.lookups <= 10);
        // The first record, then for each term a question and those about mail servers, the names of the peer, the explanation.
        prop_assert!(questions(&zone) <= 1 + 10 * 11 + 11 + 1);
        let error = matches!(outcome.result, SpfResult::TempError | SpfResult::PermError);
        prop_assert_eq!(error, outcome.problem.is_some());
        prop_assert!(!error || outcome.mechanism.is_none());
        prop_assert!(outcome.result == SpfResult::Fail || outcome.explanation.is_none());
        let told = outcome.mechanism.into_iter().chain(outcome.explanation).chain(outcome.problem.map(|one| one.to_string()));
        for text in told {
            prop_assert!(text.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{}", text);
        }
    }
}
