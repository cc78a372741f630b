//! The test suite of the SPF project for RFC 7208 ([where it comes from](../../tests/spf/README.md)).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use envelope::{Address, Domain, LocalPart};
use serde::Deserialize;
use serde_json::Value;

use super::{Identity, Outcome, Question, SpfLimits, Subject, check, judge};
use crate::dns::{Dns, DnsError};

const SUITE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spf/rfc7208-tests.json"));

#[derive(Deserialize)]
struct Scenario {
    description: String,
    tests: HashMap<String, Case>,
    zonedata: HashMap<String, Vec<Value>>,
}

#[derive(Deserialize)]
struct Case {
    helo: String,
    host: IpAddr,
    mailfrom: String,
    result: Value,
    explanation: Option<String>,
}

/// The suite's way of writing a zone: `TIMEOUT` for all that does not stand before it, records for SPF that are also TXT where there is no TXT.
struct Zone(HashMap<String, Vec<Value>>);

enum Found {
    Record(Value),
    Alias(String),
}

impl Zone {
    fn new(zonedata: &HashMap<String, Vec<Value>>) -> Self {
        Self(zonedata.iter().map(|(name, records)| (name.to_lowercase(), records.clone())).collect())
    }

    fn find(&self, kind: &str, name: &str) -> Result<Vec<Value>, DnsError> {
        let mut name = name.to_lowercase();
        for _ in 0..8 {
            let records = self.0.get(&name).ok_or(DnsError::NoName)?;
            let mut found = Vec::new();
            for one in Self::of_kind(records, kind) {
                match one {
                    Some(Found::Record(value)) => found.push(value),
                    Some(Found::Alias(other)) => name = other.trim_end_matches('.').to_lowercase(),
                    None if found.is_empty() => return Err(DnsError::Failed("TIMEOUT".to_owned())),
                    None => {}
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
            if !records.iter().any(|record| record.get("CNAME").is_some()) {
                return Err(DnsError::NoRecord);
            }
        }
        Err(DnsError::Failed("a loop".to_owned()))
    }

    /// What concerns a question of the kind; `None` is a time-out.
    fn of_kind(records: &[Value], kind: &str) -> Vec<Option<Found>> {
        let texts = records.iter().any(|record| record.get("TXT").is_some());
        let mut out = Vec::new();
        for record in records {
            if record == "TIMEOUT" {
                out.push(None);
            } else if let Some(other) = record.get("CNAME") {
                out.push(Some(Found::Alias(other.as_str().unwrap().to_owned())));
            } else {
                let kind = if kind == "TXT" && !texts { "SPF" } else { kind };
                let value = record.get(kind).filter(|value| *value != "NONE");
                out.extend(value.map(|value| Some(Found::Record(value.clone()))));
            }
        }
        out
    }

    fn texts(&self, kind: &str, name: &str) -> Result<Vec<String>, DnsError> {
        Ok(self.find(kind, name)?.iter().map(|value| value.as_str().unwrap().to_owned()).collect())
    }
}

fn reverse(address: IpAddr) -> String {
    let mut name = String::new();
    match address {
        IpAddr::V4(address) => {
            address.octets().iter().rev().for_each(|octet| write!(name, "{octet}.").unwrap());
            name + "in-addr.arpa"
        }
        IpAddr::V6(address) => {
            let nibbles = format!("{:032x}", address.to_bits());
            nibbles.chars().rev().for_each(|nibble| write!(name, "{nibble}.").unwrap());
            name + "ip6.arpa"
        }
    }
}

#[async_trait]
impl Dns for Zone {
    async fn a(&self, name: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
        Ok(self.texts("A", name)?.iter().map(|text| text.parse().unwrap()).collect())
    }

    async fn aaaa(&self, name: &str) -> Result<Vec<Ipv6Addr>, DnsError> {
        Ok(self.texts("AAAA", name)?.iter().map(|text| text.parse().unwrap()).collect())
    }

    async fn mx(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let host = |value: &Value| value.get(1).and_then(Value::as_str).unwrap().to_owned();
        Ok(self.find("MX", name)?.iter().map(host).collect())
    }

    async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        let names = self.texts("PTR", &reverse(address))?;
        Ok(names.iter().map(|name| name.trim_end_matches('.').to_owned()).collect())
    }

    async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        let whole = |value: &Value| match value {
            Value::Array(strings) => strings.iter().map(|one| one.as_str().unwrap()).collect::<String>(),
            one => one.as_str().unwrap().to_owned(),
        };
        Ok(self.find("TXT", name)?.iter().map(|value| whole(value).into_bytes()).collect())
    }
}

async fn run(zone: &Zone, case: &Case) -> Outcome {
    let limits = SpfLimits::default();
    let (local, domain) = case.mailfrom.rsplit_once('@').unwrap_or(("", ""));
    let address = || {
        let domain: Domain = domain.parse().ok()?;
        Some(Address::new(LocalPart::from_unquoted(local).ok()?, domain))
    };
    let sender = address();
    let question = Question {
        address: case.host,
        helo: &case.helo,
        sender: sender.as_ref(),
        receiver: "mx.example.test",
        now: 1_700_000_000,
        explain: true,
    };
    if sender.is_none() && !case.mailfrom.is_empty() {
        // No address of ours can be like this; what is below the interface takes it all the same.
        return judge(zone, &Subject::new(&question, local, domain), Identity::MailFrom, &limits).await;
    }
    check(zone, &question, &limits).await
}

fn fault(case: &Case, outcome: &Outcome) -> Option<String> {
    let allowed: Vec<&str> = match &case.result {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let result = outcome.result.as_str();
    if !allowed.contains(&result) {
        return Some(format!("{result} instead of {allowed:?}: {:?}", outcome.problem));
    }
    let told = outcome.explanation.as_deref().unwrap_or("DEFAULT");
    let wanted = case.explanation.as_deref();
    wanted
        .filter(|wanted| *wanted != told)
        .map(|wanted| format!("explained as `{told}` instead of `{wanted}`"))
}

#[tokio::test]
async fn every_case_of_the_suite() {
    let scenarios: Vec<Scenario> = serde_json::from_str(SUITE).unwrap();
    let (mut faults, mut count) = (Vec::new(), 0);
    for scenario in &scenarios {
        let zone = Zone::new(&scenario.zonedata);
        for (name, case) in &scenario.tests {
            count += 1;
            let outcome = run(&zone, case).await;
            let fault = fault(case, &outcome);
            faults.extend(fault.map(|fault| format!("{}: {name}: {fault}", scenario.description)));
        }
    }
    assert!(faults.is_empty(), "{} of {count} failed:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(count, 203);
}
