//! Certificates that clients show.

use std::sync::Arc;

use prometheus::{Encoder as _, Registry, TextEncoder};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsConnector;
use units::ByteSize;

use super::*;
use crate::tls::Reloaded;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(parameters, key) }
}

/// A chain and its key.
type Shown = (Vec<CertificateDer<'static>>, KeyPair);

impl Authority {
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut parameters = CertificateParams::new(["MX.client.test".to_owned()]).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        (vec![parameters.signed_by(&key, &self.issuer).unwrap().der().clone()], key)
    }
}

struct Rig {
    folder: tempfile::TempDir,
    certificates: Certificates,
    registry: Registry,
}

fn rig(authority: &Authority, size_max: u64) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let client_authorities_file = folder.path().join("clients.pem");
    std::fs::write(&client_authorities_file, &authority.pem).unwrap();
    let config = TlsConfig {
        client_authorities_file,
        client_chain_size_max: ByteSize::bytes(size_max),
        ..TlsConfig::default()
    };
    let registry = Registry::new();
    let certificates = Certificates::open(&config, folder.path(), &["mx.example.test"], &registry).unwrap();
    Rig { folder, certificates, registry }
}

impl Rig {
    fn server(&self) -> ServerTls {
        self.certificates.server().unwrap().for_listener_asking(&["smtp"]).unwrap()
    }

    fn counted(&self) -> Vec<(String, u64)> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter_map(|line| {
            line.strip_prefix("sluice_runtime_tls_client_certificates_total{outcome=\"")?.split_once("\"} ")
        });
        lines
            .map(|(outcome, count)| (outcome.to_owned(), count.parse().unwrap()))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

fn client(shown: Option<&Shown>, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientTls {
    let ClientTls { connector } = ClientTls::unverified();
    let mut config = rustls::ClientConfig::builder_with_protocol_versions(versions)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(crate::tls::verify::Verifier::anybody()))
        .with_no_client_auth();
    if let Some((chain, key)) = shown {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        // Not `CertifiedKey::from_der`: it would refuse what some of these tests need.
        let shown = rustls::sign::CertifiedKey::new(chain.clone(), key);
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
    }
    config.resumption = connector.config().resumption.clone();
    ClientTls { connector: TlsConnector::from(Arc::new(config)) }
}

const BOTH: [&[&rustls::SupportedProtocolVersion]; 2] =
    [&[&rustls::version::TLS13], &[&rustls::version::TLS12]];

#[tokio::test]
async fn a_good_certificate_is_known_and_none_is_needed() {
    let authority = authority();
    let rig = rig(&authority, 16 << 10);
    let shown = authority.issue(|parameters| {
        parameters.subject_alt_names.push(SanType::Rfc822Name("robot@client.test".try_into().unwrap()));
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    for versions in BOTH {
        let (server, _) = handshake(&rig.server(), &client(Some(&shown), versions), "mx.example.test").await;
        let server = server.unwrap();
        let peer = server.peer_certificate().unwrap();
        assert_eq!(
            (&peer.names[..], &peer.emails[..]),
            (&["mx.client.test".to_owned()][..], &["robot@client.test".to_owned()][..])
        );
        assert_eq!(peer.to_string(), format!("sha256:{} mx.client.test robot@client.test", peer.fingerprint));
        let (server, _) = handshake(&rig.server(), &client(None, versions), "mx.example.test").await;
        assert_eq!(server.unwrap().peer_certificate(), None);
    }
    assert_eq!(rig.counted(), [("verified".to_owned(), 2)]);
    // Other listeners do not ask.
    let quiet = rig.certificates.server().unwrap().for_listener(&["imap"]).unwrap();
    let (server, _) = handshake(&quiet, &client(Some(&shown), BOTH[0]), "mx.example.test").await;
    assert_eq!(server.unwrap().peer_certificate(), None);
    assert_eq!(rig.counted(), [("verified".to_owned(), 2)]);
}

#[tokio::test]
async fn a_bad_certificate_is_as_good_as_none_and_counted() {
    let (ours, other) = (authority(), authority());
    let now = time::OffsetDateTime::now_utc();
    let self_signed = {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["mx.client.test".to_owned()]).unwrap();
        (vec![parameters.self_signed(&key).unwrap().der().clone()], key)
    };
    let garbage = (vec![CertificateDer::from(vec![0x30, 3, 1, 2, 3])], KeyPair::generate().unwrap());
    let cases = [
        (ours.issue(|parameters| parameters.not_after = now - time::Duration::days(1)), "expired"),
        (ours.issue(|parameters| parameters.not_before = now + time::Duration::days(1)), "expired"),
        (other.issue(|_| {}), "unknown-authority"),
        (self_signed, "unknown-authority"),
        (
            ours.issue(|parameters| {
                parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
            }),
            "wrong-purpose",
        ),
        (garbage, "unusable"),
    ];
    for (shown, outcome) in cases {
        for versions in BOTH {
            let rig = rig(&ours, 16 << 10);
            let (server, client) =
                handshake(&rig.server(), &client(Some(&shown), versions), "mx.example.test").await;
            let (mut server, mut client) = (server.unwrap(), client.unwrap());
            assert_eq!(server.peer_certificate(), None, "{outcome}");
            assert_eq!(rig.counted(), [(outcome.to_owned(), 1)]);
            // The session goes on.
            client.write_all(b"EHLO\r\n").await.unwrap();
            client.flush().await.unwrap();
            let mut octets = [0; 6];
            server.read_exact(&mut octets).await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_has_not_the_key_is_refused() {
    let authority = authority();
    let rig = rig(&authority, 16 << 10);
    let (chain, _) = authority.issue(|_| {});
    let stolen = (chain, KeyPair::generate().unwrap());
    for versions in BOTH {
        let (server, _) = handshake(&rig.server(), &client(Some(&stolen), versions), "mx.example.test").await;
        assert!(server.is_err());
    }
    assert_eq!(rig.counted(), []);
}

#[tokio::test]
async fn a_chain_has_a_bound() {
    let authority = authority();
    let (mut chain, key) = authority.issue(|_| {});
    // Certificates that help nobody.
    while chain.len() < 4 {
        chain.push(authority.issue(|_| {}).0.remove(0));
    }
    let size: usize = chain.iter().map(|one| one.len()).sum();
    let shown = (chain, key);
    for (bound, served) in [(size + 1, true), (size, true), (size - 1, false)] {
        for versions in BOTH {
            let rig = rig(&authority, bound as u64);
            let (server, _) =
                handshake(&rig.server(), &client(Some(&shown), versions), "mx.example.test").await;
            assert_eq!(server.is_ok(), served, "{bound}");
            assert_eq!(rig.counted(), [(if served { "verified" } else { "too-big" }.to_owned(), 1)]);
        }
    }
    // What no handshake message may hold is refused before anybody looks at it.
    for octets in [60_000, 65_000, 70_000] {
        let huge =
            (vec![shown.0[0].clone(), CertificateDer::from(vec![7; octets])], authority.issue(|_| {}).1);
        let rig = rig(&authority, 16 << 10);
        let (server, _) = handshake(&rig.server(), &client(Some(&huge), BOTH[0]), "mx.example.test").await;
        assert!(server.is_err());
    }
}

#[tokio::test]
async fn who_comes_back_with_a_ticket_is_judged_anew() {
    let (authority, other) = (authority(), authority());
    let rig = rig(&authority, 16 << 10);
    let shown = authority.issue(|_| {});
    let server = rig.server();
    for versions in BOTH {
        let client = client(Some(&shown), versions);
        let comes = async |expected: bool| {
            let (server, client) = handshake(&server, &client, "mx.example.test").await;
            let (mut server, mut client) = (server.unwrap(), client.unwrap());
            assert_eq!(server.peer_certificate().is_some(), expected);
            // The ticket comes with the first octets.
            server.write_all(b"220\r\n").await.unwrap();
            server.flush().await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
            let Stream::Tls(tls) = &client else { unreachable!() };
            tls.get_ref().1.handshake_kind()
        };
        assert_eq!(comes(true).await, Some(rustls::HandshakeKind::Full));
        assert_eq!(comes(true).await, Some(rustls::HandshakeKind::Resumed));
        std::fs::write(rig.folder.path().join("clients.pem"), &other.pem).unwrap();
        assert_eq!(rig.certificates.reload(false), Reloaded::Changed);
        assert_eq!(comes(false).await, Some(rustls::HandshakeKind::Resumed));
        std::fs::write(rig.folder.path().join("clients.pem"), "nothing").unwrap();
        assert_eq!(rig.certificates.reload(false), Reloaded::Failed);
        assert_eq!(comes(false).await, Some(rustls::HandshakeKind::Resumed));
        std::fs::write(rig.folder.path().join("clients.pem"), &authority.pem).unwrap();
        assert_eq!(rig.certificates.reload(false), Reloaded::Changed);
        // At another listener the ticket is worth nothing.
        let elsewhere = rig.server();
        let (_, client) = handshake(&elsewhere, &client, "mx.example.test").await;
        let Stream::Tls(tls) = client.unwrap() else { unreachable!() };
        assert_eq!(tls.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}
