use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use async_trait::async_trait;
use filters::DnsError;
use filters::reports::{Counts, ReportKind, subjects};
use queue::ListFilter;
use queue::memory::MemoryQueue;
use units::ByteSize;

use super::*;

/// Texts by name.
#[derive(Default)]
struct Zone(HashMap<&'static str, &'static str>);

#[async_trait]
impl Dns for Zone {
    async fn a(&self, _: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
        Err(DnsError::NoName)
    }

    async fn aaaa(&self, _: &str) -> Result<Vec<Ipv6Addr>, DnsError> {
        Err(DnsError::NoName)
    }

    async fn mx(&self, _: &str) -> Result<Vec<String>, DnsError> {
        Err(DnsError::NoName)
    }

    async fn ptr(&self, _: IpAddr) -> Result<Vec<String>, DnsError> {
        Err(DnsError::NoName)
    }

    async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        let text = self.0.get(name).ok_or(DnsError::NoName)?;
        Ok(vec![text.as_bytes().to_vec()])
    }
}

fn config() -> ReportsConfig {
    ReportsConfig {
        organization: "Ours".to_owned(),
        contact: "reports@ours.test".to_owned(),
        ..ReportsConfig::default()
    }
}

/// What a gateway counted about `domain`, with its addresses.
fn row(domain: &str, addresses: &[&str]) -> String {
    let addresses: Vec<String> =
        addresses.iter().map(|one| format!("{{\"address\":\"{one}\",\"octets_max\":0}}")).collect();
    format!(
        "{{\"n\":1,\"row\":{{\"policy\":{{\"domain\":\"{domain}\",\"reports_to\":[{}]}},\"source\":\"192.0.2.1\",\
         \"disposition\":\"pass\",\"reason\":null,\"dkim_aligned\":true,\"spf_aligned\":true,\"header_from\":\"{domain}\",\
         \"envelope_from\":\"\",\"envelope_to\":\"\",\"dkim\":[],\"spf\":null}},\"count\":2}}\n",
        addresses.join(",")
    )
}

struct Installation {
    zone: Zone,
    queue: MemoryQueue,
    config: ReportsConfig,
    counts: Counts,
}

impl Installation {
    fn new(rows: &[String]) -> Self {
        let mut counts = Counts::default();
        counts.add(rows.concat().as_bytes());
        let zone = Zone(HashMap::from([("a.test._report._dmarc.agrees.test", "v=DMARC1")]));
        Self { zone, queue: MemoryQueue::new(), config: config(), counts }
    }

    /// Domain, address and outcome of each.
    async fn send(&self, folder: &Path, again: bool, dry: bool) -> Vec<String> {
        let day = Day::of(0);
        let mut sent = if dry {
            Sent::read(ReportKind::Dmarc, folder, day).unwrap()
        } else {
            Sent::open(ReportKind::Dmarc, folder, day).unwrap()
        };
        let sending = Sending {
            config: &self.config,
            submitter: Submitter::of(&self.config, "mx.ours.test").unwrap(),
            day,
            again,
            dns: &self.zone,
            queue: (!dry).then_some(&self.queue as &dyn Queue),
        };
        let subjects = subjects(ReportKind::Dmarc, &self.counts, &self.config);
        let told = sending.all(&subjects, &mut sent).await.unwrap();
        told.iter().map(|one| format!("{} {} {}", one.domain, one.address, one.outcome)).collect()
    }

    async fn queued(&self) -> Vec<String> {
        let listed = self.queue.list(&ListFilter::default(), 100).await.unwrap();
        let mut to: Vec<String> =
            listed.iter().map(|one| one.envelope.recipients[0].address.to_string()).collect();
        to.sort();
        to
    }
}

#[tokio::test]
async fn a_report_goes_once_to_each_who_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let node =
        Installation::new(&[row("a.test", &["d@a.test", "d@agrees.test", "d@victim.test", "x", "d@A.test"])]);
    let dry = node.send(folder.path(), false, true).await;
    let expected =
        ["d@a.test would be sent", "d@agrees.test would be sent", "d@victim.test refused", "x refused"];
    assert_eq!(dry, expected.map(|one| format!("a.test {one}")));
    assert!(node.queued().await.is_empty() && std::fs::read_dir(folder.path()).unwrap().next().is_none());

    let sent = node.send(folder.path(), false, false).await;
    assert_eq!(
        sent,
        ["d@a.test sent", "d@agrees.test sent", "d@victim.test refused", "x refused"]
            .map(|one| format!("a.test {one}"))
    );
    assert_eq!(node.queued().await, ["d@a.test", "d@agrees.test"]);
    let again = node.send(folder.path(), false, false).await;
    assert_eq!(again[..2], ["a.test d@a.test sent before", "a.test d@agrees.test sent before"]);
    assert_eq!(node.queued().await.len(), 2);
    // A crash before it was noted: the queue knows the mail.
    std::fs::remove_file(ReportKind::Dmarc.sent_path(folder.path(), Day::of(0))).unwrap();
    assert_eq!(node.send(folder.path(), false, false).await[0], "a.test d@a.test sent");
    assert_eq!(node.queued().await.len(), 2);
    // On demand they go once more.
    assert_eq!(node.send(folder.path(), true, false).await[0], "a.test d@a.test sent");
    assert_eq!(node.queued().await.len(), 4);
}

#[tokio::test]
async fn a_run_makes_so_many_mails_and_the_next_one_the_others() {
    let rows: Vec<String> =
        ["a.test", "b.test", "c.test"].iter().map(|domain| row(domain, &[&format!("d@{domain}")])).collect();
    for (mails_max, sent) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Installation::new(&rows);
        node.config.mails_max = mails_max;
        let told = node.send(folder.path(), false, false).await;
        assert_eq!(told.iter().filter(|one| one.ends_with(" sent")).count(), sent);
        assert_eq!(told.iter().filter(|one| one.ends_with(" left")).count(), 3 - sent);
        while node.queued().await.len() < 3 {
            assert!(!node.send(folder.path(), false, false).await.is_empty());
        }
        let told = node.send(folder.path(), false, false).await;
        assert!(told.iter().all(|one| one.ends_with("sent before")), "{told:?}");
    }
}

#[tokio::test]
async fn addresses_and_sizes_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Installation::new(&[row("a.test", &["a@a.test", "b@a.test", "c@a.test"])]);
    node.config.addresses_max = 2;
    assert_eq!(node.send(folder.path(), false, true).await.len(), 2);
    node.config.mail_octets_max = ByteSize::bytes(100);
    let told = node.send(folder.path(), false, false).await;
    assert_eq!(told, ["a.test a@a.test too large", "a.test b@a.test too large"]);
    assert!(node.queued().await.is_empty());
}

#[test]
fn a_day_is_sent_when_it_is_over_and_written() {
    let day: Day = "2026-11-29".parse().unwrap();
    let over = |after: u64| check_over(day, &config(), day.end() + after).is_ok();
    assert_eq!([0, 1, 120, 121].map(over), [false, false, false, true]);
    assert!(check_over(Day::of(now()), &config(), now()).is_err(), "today");
}
