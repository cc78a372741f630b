//! Known answers for signatures and chains ([where they come from](../../tests/signatures/README.md)).

use std::collections::BTreeMap;
use std::sync::Arc;

use envelope::ReversePath;
use serde::Deserialize;

use super::{Authentication, AuthenticationConfig, Authenticator, Origin, Word};
use crate::dns::zone::Zone;

const DKIM: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signatures/dkim.json"));
const RFC: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signatures/rfc.json"));
const ARC: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signatures/arc.json"));

#[derive(Deserialize)]
struct Vectors {
    keys: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    about: String,
    message: String,
    /// `any`: it must be looked at without harm.
    expected: String,
}

fn zone(keys: &BTreeMap<String, String>) -> Arc<Zone> {
    let policy = Zone::default().with("TXT", "_dmarc.example.org", "v=DMARC1; p=reject");
    Arc::new(keys.iter().fold(policy, |zone, (name, record)| zone.with("TXT", name, record)))
}

async fn found(zone: &Arc<Zone>, message: &[u8]) -> Authentication {
    let origin = Origin {
        peer: "192.0.2.1".parse().unwrap(),
        helo: "helo.test",
        reverse_path: &ReversePath::Null,
        hostname: "mx.ours.test",
        now: 1_800_000_000,
    };
    let authenticator = Authenticator::new(AuthenticationConfig::default(), zone.clone()).unwrap();
    authenticator.check(origin, message).await
}

/// Runs every case; `judge` says what was found, and why.
async fn check(vectors: &str, count: usize, judge: impl Fn(&Authentication) -> (&'static str, String)) {
    let vectors: Vectors = serde_json::from_str(vectors).unwrap();
    let (zone, mut faults) = (zone(&vectors.keys), Vec::new());
    for case in &vectors.cases {
        let found = found(&zone, case.message.as_bytes()).await;
        let (result, why) = judge(&found);
        if case.expected != "any" && case.expected != result {
            faults.push(format!(
                "{} ({}): {result} instead of {}: {why}",
                case.name, case.about, case.expected
            ));
        }
    }
    assert!(faults.is_empty(), "{} of {} failed:\n{}", faults.len(), vectors.cases.len(), faults.join("\n"));
    assert_eq!(vectors.cases.len(), count);
}

fn dkim(found: &Authentication) -> (&'static str, String) {
    let passed = !found.dkim.is_empty() && found.dkim.iter().all(|one| one.result == Word::Pass);
    let why: Vec<String> = found.dkim.iter().map(|one| format!("{}: {}", one.result, one.reason)).collect();
    (if passed { "pass" } else { "bad" }, why.join(", "))
}

#[tokio::test]
async fn examples_of_the_rfcs() {
    check(RFC, 4, dkim).await;
}

#[tokio::test]
async fn dkim_signatures() {
    check(DKIM, 168, dkim).await;
}

#[tokio::test]
async fn arc_chains() {
    let judge = |found: &Authentication| (found.arc.result.as_str(), found.arc.reason.clone());
    check(ARC, 175, judge).await;
}

/// A message whose one signature holds.
fn signed() -> (Arc<Zone>, String) {
    let vectors: Vectors = serde_json::from_str(DKIM).unwrap();
    let good = vectors.cases.iter().find(|case| case.name == "pass relaxed/relaxed").unwrap();
    (zone(&vectors.keys), good.message.clone())
}

#[tokio::test]
async fn attack_a_second_author() {
    let (zone, message) = signed();
    let whole = found(&zone, message.as_bytes()).await;
    assert_eq!((dkim(&whole).0, whole.dmarc.result), ("pass", Word::Pass));
    // The signature names From once and takes the last one, so that it holds; a reader shows the first.
    let doubled = found(&zone, format!("From: Boss <boss@example.org>\r\n{message}").as_bytes()).await;
    assert_eq!(dkim(&doubled).0, "pass");
    assert_ne!(doubled.dmarc.result, Word::Pass, "{doubled:?}");
    assert_eq!(doubled.author.domain(), None);
}

#[tokio::test]
async fn attack_a_thousand_good_signatures() {
    let (zone, message) = signed();
    let end = message.find("Received:").unwrap();
    let flood = message.get(..end).unwrap().repeat(1000) + message.get(end..).unwrap();
    let found = found(&zone, flood.as_bytes()).await;
    let most = AuthenticationConfig::default().signatures_max;
    assert_eq!((found.dkim.len(), found.signatures_ignored), (most, 1000 - most));
    let asked = zone.asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|question| question.contains("_domainkey")).count(), 1, "each key once");
}

#[tokio::test]
async fn attack_a_large_body_with_blank_lines_at_its_end() {
    let (zone, message) = signed();
    let long = message + &" \r\n".repeat(1_000_000);
    let begun = std::time::Instant::now();
    assert_eq!(dkim(&found(&zone, long.as_bytes()).await).0, "pass");
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}
