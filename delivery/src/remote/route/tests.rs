use std::collections::HashMap;

use async_trait::async_trait;
use runtime::Tlsa;

use super::*;

/// What the DNS says, as lines: `domain MX 10 host` or `host A 192.0.2.1`; `domain FAIL`.
struct Zone(HashMap<String, Vec<Vec<String>>>);

impl Zone {
    fn new(lines: &str) -> Self {
        let mut zone: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split(' ').map(ToOwned::to_owned);
            zone.entry(words.next().unwrap()).or_default().push(words.collect());
        }
        Self(zone)
    }

    fn find(&self, name: &str, kind: &str) -> Result<Vec<Vec<String>>, DnsError> {
        let records = self.0.get(name).ok_or(DnsError::NoName)?;
        if records.iter().any(|record| record[0] == "FAIL") {
            return Err(DnsError::Failed("no answer".to_owned()));
        }
        let found: Vec<_> = records.iter().filter(|record| record[0] == kind).cloned().collect();
        if found.is_empty() { Err(DnsError::NoRecord) } else { Ok(found) }
    }
}

#[async_trait]
impl Dns for Zone {
    async fn mx(&self, domain: &str) -> Result<Answer<Mx>, DnsError> {
        let mx = |record: Vec<String>| Mx {
            preference: record[1].parse().unwrap(),
            host: record[2].trim_end_matches('.').to_owned(),
        };
        let records = match self.find(domain, "MX") {
            Err(DnsError::NoRecord) => Vec::new(),
            found => found?.into_iter().map(mx).collect(),
        };
        Ok(Answer { records, secure: true, complete: true })
    }

    async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsError> {
        let found = self.find(host, "A")?.into_iter().map(|record| record[1].parse().unwrap());
        Ok(Answer { records: found.collect(), secure: false, complete: true })
    }

    async fn tlsa(&self, _: &str, _: u16) -> Result<Answer<Tlsa>, DnsError> {
        Err(DnsError::NoRecord)
    }

    async fn txt(&self, _: &str) -> Result<Answer<String>, DnsError> {
        Err(DnsError::NoRecord)
    }
}

/// Where a domain's mail goes, short.
async fn check(zone: &str, domain: &str, expected: &str) {
    let is_own = |name: &str| name == "us.test";
    let found = match route(&Zone::new(zone), &domain.parse().unwrap(), is_own, || 0, 50).await {
        Routed::Hosts(hosts) => {
            let one = |host: Host| match host.address {
                Some(address) => address.to_string(),
                None => format!("{}{}", host.name, if host.secure { "" } else { "?" }),
            };
            hosts.into_iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Routed::Failed(failure) => failure.code.to_string(),
        Routed::Unknown(why) => why,
    };
    assert_eq!(found, expected, "{zone}");
}

#[tokio::test]
async fn as_the_mx_records_say() {
    check(
        "a.test MX 20 two.test\na.test MX 10 one.test\na.test MX 10 one.test",
        "a.test",
        "one.test two.test",
    )
    .await;
    check("a.test A 192.0.2.1", "a.test", "a.test?").await;
    check("a.test TXT hello", "a.test", "5.4.4").await;
    check("b.test A 192.0.2.1", "a.test", "5.1.2").await;
    check("a.test FAIL", "a.test", "the DNS does not say who takes mail for a.test: no answer").await;
    check("", "[192.0.2.7]", "192.0.2.7").await;
    check("", "[IPv6:2001:db8::7]", "2001:db8::7").await;
}

#[tokio::test]
async fn null_mx() {
    check("a.test MX 0 .", "a.test", "5.1.10").await;
    // Among others it means nothing.
    check("a.test MX 0 .\na.test MX 10 one.test", "a.test", "one.test").await;
}

#[tokio::test]
async fn back_to_us_is_a_loop() {
    let three = "a.test MX 10 one.test\na.test MX 20 us.test\na.test MX 20 two.test\na.test MX 30 three.test";
    check(three, "a.test", "one.test").await;
    check("a.test MX 10 us.test\na.test MX 20 two.test", "a.test", "5.4.6").await;
    check("us.test A 192.0.2.1", "us.test", "5.4.6").await;
}

#[test]
fn addresses_of_our_own_networks_are_not_public() {
    let public = |text: &str| is_public(text.parse().unwrap());
    for address in ["8.8.8.8", "100.63.255.255", "172.32.0.1", "198.20.0.1", "2a00:1450::1", "::ffff:8.8.8.8"]
    {
        assert!(public(address), "{address}");
    }
    for address in [
        "0.0.0.0",
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "192.0.0.8",
        "198.18.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "64:ff9b::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
    ] {
        assert!(!public(address), "{address}");
    }
}
