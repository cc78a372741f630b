//! Certificates that change while sessions run.

use super::names::{shown_for, write_pair};
use super::*;
use crate::Drain;
use crate::signals::Hangup;
use crate::tls::Reloaded;
use prometheus::{Encoder as _, Registry, TextEncoder};
use units::Span;

struct Rig {
    folder: tempfile::TempDir,
    certificates: Certificates,
    registry: Registry,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let default = write_pair(folder.path(), "default", &["mx.example.test"]);
    let listed = write_pair(folder.path(), "listed", &["imap.example.test"]);
    let config = TlsConfig {
        certificate_file: default.certificate_file,
        key_file: default.key_file,
        certificates: vec![listed],
        reload_interval: Span::secs(1),
        ..TlsConfig::default()
    };
    let registry = Registry::new();
    let certificates = Certificates::open(&config, folder.path(), &[], &registry).unwrap();
    Rig { folder, certificates, registry }
}

impl Rig {
    fn server(&self) -> ServerTls {
        self.certificates.server().unwrap().for_listener(&["imap"]).unwrap()
    }

    fn metric(&self, name: &str) -> i64 {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        line.trim().parse().unwrap()
    }

    fn reloads(&self, outcome: &str) -> i64 {
        self.metric(&format!("sluice_runtime_tls_reloads_total{{outcome=\"{outcome}\"}}"))
    }
}

async fn speaks(from: &mut Stream, to: &mut Stream) {
    from.write_all(b"still here").await.unwrap();
    from.flush().await.unwrap();
    let mut octets = [0; 10];
    to.read_exact(&mut octets).await.unwrap();
    assert_eq!(&octets, b"still here");
}

#[tokio::test]
async fn a_session_goes_on_and_new_handshakes_get_the_new_certificate() {
    let rig = rig();
    // Made before: a listener follows as well as one that is made later.
    let server = rig.server();
    let (old_default, old_listed) =
        (shown_for(&server, "mx.example.test").await, shown_for(&server, "imap.example.test").await);
    let (one, other) = handshake(&server, &ClientTls::unverified(), "mx.example.test").await;
    let (mut one, mut other) = (one.unwrap(), other.unwrap());
    speaks(&mut one, &mut other).await;
    assert_eq!(rig.certificates.reload(false), Reloaded::Unchanged);
    assert_eq!(rig.certificates.reload(true), Reloaded::Unchanged);
    write_pair(rig.folder.path(), "default", &["mx.example.test"]);
    assert_eq!(rig.certificates.reload(false), Reloaded::Changed);
    let new_default = shown_for(&server, "mx.example.test").await;
    assert_ne!(new_default, old_default);
    assert_eq!(shown_for(&rig.server(), "other.test").await, new_default);
    assert_eq!(shown_for(&server, "imap.example.test").await, old_listed);
    speaks(&mut one, &mut other).await;
    speaks(&mut other, &mut one).await;
    assert_eq!((rig.reloads("changed"), rig.reloads("unchanged"), rig.reloads("failed")), (1, 1, 0));
}

#[tokio::test]
async fn a_bad_pair_keeps_the_old_one_and_a_good_neighbour_comes_through() {
    let rig = rig();
    let server = rig.server();
    let old = shown_for(&server, "mx.example.test").await;
    // The certificate is there, its key not yet.
    let key = std::fs::read(rig.folder.path().join("default.key")).unwrap();
    write_pair(rig.folder.path(), "default", &["mx.example.test"]);
    let new_key = std::fs::read(rig.folder.path().join("default.key")).unwrap();
    std::fs::write(rig.folder.path().join("default.key"), key).unwrap();
    let old_listed = shown_for(&server, "imap.example.test").await;
    write_pair(rig.folder.path(), "listed", &["imap.example.test"]);
    assert_eq!(rig.certificates.reload(false), Reloaded::Failed);
    assert_eq!(shown_for(&server, "mx.example.test").await, old);
    assert_ne!(shown_for(&server, "imap.example.test").await, old_listed);
    // Said once, not again and again.
    assert_eq!(rig.certificates.reload(false), Reloaded::Unchanged);
    assert_eq!(rig.certificates.reload(true), Reloaded::Failed);
    for what in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(rig.folder.path().join("listed.pem"), what).unwrap();
        assert_eq!(rig.certificates.reload(false), Reloaded::Failed, "{what}");
    }
    // What is there and can't be had is asked for each time: a disk or a right may come back without a trace in the file.
    std::fs::remove_file(rig.folder.path().join("listed.pem")).unwrap();
    assert_eq!(rig.certificates.reload(false), Reloaded::Failed);
    assert_eq!(rig.certificates.reload(false), Reloaded::Failed);
    assert_eq!(shown_for(&server, "mx.example.test").await, old);
    write_pair(rig.folder.path(), "listed", &["imap.example.test"]);
    // The key comes.
    std::fs::write(rig.folder.path().join("default.key"), new_key).unwrap();
    assert_eq!(rig.certificates.reload(false), Reloaded::Changed);
    assert_ne!(shown_for(&server, "mx.example.test").await, old);
}

/// A pair that is valid from and to so many days from now.
fn dated(folder: &std::path::Path, stem: &str, from: i64, to: i64) {
    let mut parameters = rcgen::CertificateParams::new(["mx.example.test".to_owned()]).unwrap();
    let now = time::OffsetDateTime::now_utc();
    parameters.not_before = now + time::Duration::days(from);
    parameters.not_after = now + time::Duration::days(to);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.join(format!("{stem}.key")), key.serialize_pem()).unwrap();
    std::fs::write(folder.join(format!("{stem}.pem")), parameters.self_signed(&key).unwrap().pem()).unwrap();
}

#[tokio::test]
async fn the_first_expiry_is_known_and_no_good_one_is_given_up_for_an_expired_one() {
    let rig = rig();
    let (name, day) = ("sluice_runtime_tls_certificate_expiry_seconds", 86400);
    assert!(rig.metric(name) > 3000 * day);
    dated(rig.folder.path(), "listed", -1, 10);
    assert_eq!(rig.certificates.reload(false), Reloaded::Changed);
    assert!((10 * day - 60..=10 * day).contains(&rig.metric(name)));
    dated(rig.folder.path(), "listed", -20, -1);
    assert_eq!(rig.certificates.reload(false), Reloaded::Failed);
    assert!(rig.metric(name) > 0);
    // At a start there is nothing better.
    let config = TlsConfig {
        certificate_file: rig.folder.path().join("listed.pem"),
        key_file: rig.folder.path().join("listed.key"),
        ..TlsConfig::default()
    };
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let certificates = Certificates::open(&config, folder.path(), &[], &registry).unwrap();
    let late = Rig { folder, certificates, registry };
    assert!(late.metric(name) < 0);
    let described = crate::tls::describe(&config, late.folder.path(), None);
    assert!(described[0].is_bad(time::OffsetDateTime::now_utc()) && described[0].problem.is_none());
}

#[tokio::test]
async fn a_hangup_and_the_passing_of_time_are_enough() {
    let rig = rig();
    let server = rig.server();
    let drain = Drain::new();
    let running = tokio::spawn(rig.certificates.clone().run(Hangup::new().unwrap(), drain.clone()));
    let changes = async |told: bool| {
        let old = shown_for(&server, "mx.example.test").await;
        write_pair(rig.folder.path(), "default", &["mx.example.test"]);
        if told {
            let pid = std::process::id().to_string();
            assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while shown_for(&server, "mx.example.test").await == old {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    };
    changes(false).await;
    changes(true).await;
    drain.begin();
    tokio::time::timeout(Duration::from_secs(60), running).await.unwrap().unwrap();
}
