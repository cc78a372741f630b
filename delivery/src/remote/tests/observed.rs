//! What is counted for reports about encryption (RFC 8460).

use std::time::SystemTime;

use envelope::Timestamp;
use filters::ReportsConfig;
use filters::reports::{Counts, Day, ReportKind, TlsRow};

use super::*;

struct Counted {
    remote: Remote,
    folder: tempfile::TempDir,
}

impl Counted {
    fn new(remote: Remote) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = ReportsConfig {
            organization: "Us".to_owned(),
            contact: "r@us.test".to_owned(),
            ..ReportsConfig::default()
        };
        let registry = prometheus::Registry::new();
        let tally = Tally::new(ReportKind::Tls, folder.path().to_owned(), config, &registry).unwrap();
        Self { remote: Remote { reports: Some(tally), ..remote }, folder }
    }

    /// Policy, number of its lines, result, server and count of each row.
    fn rows(&self) -> Vec<String> {
        self.remote.reports.as_ref().unwrap().flush(SystemTime::now());
        let mut counts = Counts::default();
        for day in ReportKind::Tls.days(self.folder.path()).unwrap_or_default() {
            counts.add_file(&ReportKind::Tls.counts_path(self.folder.path(), day), 1 << 20).unwrap();
        }
        let mut rows: Vec<String> = counts
            .rows::<TlsRow>()
            .into_iter()
            .map(|(row, count)| {
                assert_eq!(row.domain, "a.test");
                let failure = row.failure.map_or_else(
                    || "good".to_owned(),
                    |failure| format!("{:?} {}", failure.result, failure.server),
                );
                format!("{:?} {} {failure} {count}", row.policy.kind, row.policy.lines.len())
            })
            .collect();
        rows.sort();
        rows
    }
}

async fn check(remote: Remote, expected_fate: &str, expected: &[&str]) {
    let counted = Counted::new(remote);
    let fate = send(&counted.remote, &["x@a.test"]).await;
    assert!(fate[0].starts_with(expected_fate), "{fate:?}");
    assert_eq!(counted.rows(), expected, "{fate:?}");
}

#[tokio::test]
async fn sessions_without_a_policy_are_counted_once_each() {
    let (behaviour, _) = encrypted("whoever.test");
    let peer = Peer::start(behaviour).await;
    let counted = Counted::new(to(&peer, config(), None));
    for _ in 0..3 {
        assert_eq!(send(&counted.remote, &["x@a.test"]).await, ["relayed unverified"]);
    }
    assert_eq!(counted.rows(), ["NoPolicyFound 0 good 1"], "three messages, one session");
    let day = Day::of(Timestamp::from(SystemTime::now()).unix_seconds());
    assert!(ReportKind::Tls.days(counted.folder.path()).unwrap().iter().all(|found| *found <= day));

    let plain = Peer::start(Behaviour::default()).await;
    let expected = ["NoPolicyFound 0 StarttlsNotSupported mx.a.test 1"];
    check(to(&plain, config(), None), "relayed none", &expected).await;
    let broken = Peer::start(Behaviour { extensions: vec!["STARTTLS"], ..Behaviour::default() }).await;
    let expected = ["NoPolicyFound 0 ValidationFailure mx.a.test 1"];
    check(to(&broken, config(), None), "relayed none", &expected).await;
    // Whoever does not even greet has no session.
    let full = Peer::start(Behaviour { greeting: "421 full", ..Behaviour::default() }).await;
    check(to(&full, config(), None), "later", &[]).await;
    // The operator's own way.
    let route = Route { domains: vec!["*".to_owned()], tls: RouteTls::Encrypt, ..Route::default() };
    let by_operator = RemoteConfig { routes: vec![route], ..config() };
    check(to(&plain, by_operator, None), "later", &[]).await;
}

#[tokio::test]
async fn what_dane_finds_is_counted() {
    let (behaviour, pem) = encrypted("whoever.test");
    let peer = Peer::start(behaviour).await;
    let der = pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let der = mail_parser::decoders::base64::base64_decode(der.as_bytes()).unwrap();
    // Too long for a row as it stands: a digest is what people publish.
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&der);
    let right = Tlsa::new(3, 0, 1, &digest).unwrap();
    let wrong = Tlsa::new(3, 1, 1, &[7; 32]).unwrap();
    let with = |peer: &Peer, tlsa| to(peer, config(), Some(tlsa));
    check(with(&peer, Ok(vec![right.clone()])), "relayed dane", &["Tlsa 1 good 1"]).await;
    check(with(&peer, Ok(vec![wrong])), "later", &["Tlsa 1 ValidationFailure mx.a.test 1"]).await;
    check(with(&peer, Ok(Vec::new())), "relayed unverified", &["Tlsa 0 good 1"]).await;
    let unknown = Err(DnsError::Failed("no answer".to_owned()));
    check(with(&peer, unknown), "later", &["Tlsa 0 DnssecInvalid mx.a.test 1"]).await;
    let stripped = Peer::start(Behaviour::default()).await;
    let expected = ["Tlsa 1 StarttlsNotSupported mx.a.test 1"];
    check(with(&stripped, Ok(vec![right])), "later", &expected).await;
}

#[tokio::test]
async fn what_mta_sts_finds_is_counted_and_a_trial_refuses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (behaviour, pem) = encrypted("mx.a.test");
    let authorities = folder.path().join("authorities.pem");
    std::fs::write(&authorities, pem).unwrap();
    let config = RemoteConfig { authorities, ..config() };
    let peer = Peer::start(behaviour).await;
    let stripped = Peer::start(Behaviour::default()).await;
    let (other, _) = encrypted("mx.b.test");
    let other = Peer::start(other).await;
    for (mode, mx, peer, fate, row) in [
        ("enforce", "*.a.test", &peer, "relayed verified", "Sts 4 good 1"),
        ("enforce", "mx.b.test", &peer, "later", "Sts 4 ValidationFailure mx.a.test 1"),
        ("enforce", "mx.a.test", &stripped, "later", "Sts 4 StarttlsNotSupported mx.a.test 1"),
        ("enforce", "mx.a.test", &other, "later", "Sts 4 CertificateNotTrusted mx.a.test 1"),
        ("testing", "*.a.test", &peer, "relayed verified", "Sts 4 good 1"),
        ("testing", "mx.a.test", &stripped, "relayed none", "Sts 4 StarttlsNotSupported mx.a.test 1"),
        ("none", "mx.a.test", &peer, "relayed unverified", "NoPolicyFound 0 good 1"),
    ] {
        let remote = to(peer, config.clone(), None);
        remote.policies.put("a.test", &format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 60"));
        check(remote, fate, &[row]).await;
    }
    // In a trial the certificate would not have been good, and the mail goes.
    let remote = to(&other, config.clone(), None);
    remote.policies.put("a.test", "version: STSv1\nmode: testing\nmx: mx.a.test\nmax_age: 60");
    let expected = ["Sts 4 CertificateNotTrusted mx.a.test 1"];
    check(remote, "relayed unverified", &expected).await;
    let remote = to(&peer, config, None);
    remote.policies.put("a.test", "version: STSv1\nmode: testing\nmx: mx.b.test\nmax_age: 60");
    let expected = ["NoPolicyFound 0 good 1", "Sts 4 ValidationFailure mx.a.test 1"];
    check(remote, "relayed unverified", &expected).await;
}
