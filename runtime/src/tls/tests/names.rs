//! Names that clients ask for, over real handshakes.

use super::*;
use crate::tls::certificate::CertificateFacts;
use crate::tls::{CertificateConfig, describe, fuzz_certificate};

/// Writes a self-signed pair for `names` as `stem`.pem and `stem`.key.
pub(super) fn write_pair(folder: &std::path::Path, stem: &str, names: &[&str]) -> CertificateConfig {
    let made = SelfSigned::new(names).unwrap();
    let (certificate_file, key_file) =
        (folder.join(format!("{stem}.pem")), folder.join(format!("{stem}.key")));
    std::fs::write(&key_file, made.key_pem).unwrap();
    std::fs::write(&certificate_file, made.certificate_pem).unwrap();
    CertificateConfig { certificate_file, key_file, names: Vec::new() }
}

/// The fingerprint of the certificate that a client is shown who asks for `name`.
pub(super) async fn shown_for(server: &ServerTls, name: &str) -> String {
    let (server, client) = handshake(server, &ClientTls::unverified(), name).await;
    let Stream::Tls(tls) = client.unwrap() else { unreachable!() };
    server.unwrap();
    CertificateFacts::of(&tls.get_ref().1.peer_certificates().unwrap()[0]).unwrap().fingerprint
}

fn fingerprint(pair: &CertificateConfig) -> String {
    let pem = std::fs::read(&pair.certificate_file).unwrap();
    CertificateFacts::of(&crate::tls::certificate::certificates(&pem).unwrap()[0]).unwrap().fingerprint
}

#[tokio::test]
async fn the_certificate_follows_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let default = write_pair(folder.path(), "default", &["mx.example.test"]);
    let wild = write_pair(folder.path(), "wild", &["*.example.test"]);
    let named = CertificateConfig {
        names: vec!["imap.example.test".to_owned(), "*.other.test".to_owned()],
        ..write_pair(folder.path(), "named", &["something.else.test"])
    };
    let config = TlsConfig {
        certificate_file: default.certificate_file.clone(),
        key_file: default.key_file.clone(),
        certificates: vec![wild.clone(), named.clone()],
        ..TlsConfig::default()
    };
    let certificates = Certificates::open(&config, folder.path(), &[], &prometheus::Registry::new()).unwrap();
    let server = certificates.server().unwrap().for_listener(&["imap"]).unwrap();
    for (name, expected) in [
        ("mx.example.test", &default),
        ("pop.example.test", &wild),
        ("imap.example.test", &named),
        ("a.other.test", &named),
        // What stands in a certificate does not count where names are given.
        ("something.else.test", &default),
        ("unknown.test", &default),
        ("_weird_.unknown.test", &default),
        // No name is sent for an address.
        ("127.0.0.1", &default),
    ] {
        assert_eq!(shown_for(&server, name).await, fingerprint(expected), "{name}");
        let described = describe(&config, folder.path(), Some(name));
        let chosen: Vec<_> = described.iter().filter(|one| one.is_chosen).collect();
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].certificate_file, expected.certificate_file, "{name}");
    }
    // Services inside trust every one of them, under any name.
    let inside = certificates.client();
    for name in ["imap.example.test", "unknown.test", "127.0.0.1"] {
        assert!(handshake(&server, &inside, name).await.1.is_ok(), "{name}");
    }
    let (stranger, _) = ServerTls::self_signed(&["mx.example.test"]).unwrap();
    assert!(handshake(&stranger, &inside, "mx.example.test").await.1.is_err());
}

/// A hello of TLS 1.2 that asks for `name`, whatever that is.
fn hello(name: &[u8]) -> Vec<u8> {
    let sized = |octets: &[u8]| [&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat();
    let extension = |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &sized(content)].concat();
    let server_name = extension(0, &sized(&[&[0][..], &sized(name)].concat()));
    let groups = extension(10, &sized(&[0, 0x1d, 0, 0x17]));
    let points = extension(11, &[1, 0]);
    let signatures = extension(13, &sized(&[4, 3, 8, 4]));
    let extended_master_secret = extension(23, &[]);
    let extensions = sized(&[server_name, groups, points, signatures, extended_master_secret].concat());
    // ECDHE_ECDSA and ECDHE_RSA with AES-128-GCM.
    let suites = sized(&[0xc0, 0x2b, 0xc0, 0x2f]);
    let body = [&[3, 3][..], &[7; 32], &[0], &suites, &[1, 0], &extensions].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    // A record holds 16 KiB at most (RFC 8446 §5.1).
    message.chunks(1 << 14).flat_map(|part| [&[22, 3, 1][..], &sized(part)].concat()).collect()
}

#[tokio::test]
async fn a_hostile_name_ends_its_own_handshake_and_nothing_else() {
    let (server, _) = ServerTls::self_signed(&["mail.example.test"]).unwrap();
    let server = server.with_handshake_max(Duration::from_secs(10));
    let long = [b"a".repeat(63).as_slice(); 3].join(&b'.');
    let check = async |name: &[u8], answered: bool| {
        let (tcp, mut client) = pair().await;
        let upgrading = tokio::spawn({
            let server = server.clone();
            async move { server.upgrade(tcp).await.map(drop) }
        });
        client.write_all(&hello(name)).await.unwrap();
        let mut first = [0; 6];
        client.read_exact(&mut first).await.unwrap();
        // A server's hello, or an alert.
        let expected = if answered { (22, 2) } else { (21, 2) };
        assert_eq!((first[0], first[5]), expected, "{}", String::from_utf8_lossy(name));
        drop(client);
        assert!(upgrading.await.unwrap().is_err());
    };
    check(b"mail.example.test", true).await;
    check(b"MAIL.EXAMPLE.TEST.", true).await;
    check(b"192.0.2.1", true).await;
    check(b"2001:db8::1", true).await;
    check(&long, true).await;
    check(&[long.as_slice(), b".", &b"a".repeat(63)].concat(), false).await;
    check(&b"a".repeat(64), false).await;
    check(&b"a".repeat(60_000), false).await;
    check(b"no blanks.test", false).await;
    check(b"\0\r\n\xff", false).await;
    check(b"mail-.example.test", false).await;
    // And the next client is served.
    assert!(handshake(&server, &ClientTls::unverified(), "mail.example.test").await.1.is_ok());
}

#[test]
fn what_a_certificate_says_is_bounded_and_plain() {
    let mut parameters = rcgen::CertificateParams::new(["UPPER.Example.Test".to_owned()]).unwrap();
    parameters.subject_alt_names.push(rcgen::SanType::Rfc822Name("a@example.test".try_into().unwrap()));
    parameters.subject_alt_names.push(rcgen::SanType::DnsName("two words".try_into().unwrap()));
    parameters.subject_alt_names.push(rcgen::SanType::IpAddress([192, 0, 2, 1].into()));
    let key = rcgen::KeyPair::generate().unwrap();
    let der = parameters.self_signed(&key).unwrap().der().to_vec();
    let facts = CertificateFacts::of(&der).unwrap();
    assert_eq!(facts.names, ["upper.example.test"]);
    assert_eq!(facts.emails, ["a@example.test"]);
    // Every cut and every changed octet.
    for cut in 0..der.len() {
        fuzz_certificate(&der[..cut]);
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[cut] ^= 1 << bit;
            fuzz_certificate(&changed);
        }
    }
    let many = (0..1200).map(|index| format!("d{index}.test")).collect::<Vec<_>>();
    let many = rcgen::CertificateParams::new(many).unwrap().self_signed(&key).unwrap();
    assert_eq!(CertificateFacts::of(many.der()).unwrap().names.len(), 1000);
    fuzz_certificate(many.der());
}
