use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{ClientTls, ServerTls};

/// An authority's certificate and one that it signed for mx.example.test, with its key.
fn signed() -> (CertificateDer<'static>, CertificateDer<'static>, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, "An authority");
    let authority = parameters.self_signed(&key).unwrap();
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec!["mx.example.test".to_owned()]).unwrap();
    let server = parameters.signed_by(&key, &issuer).unwrap();
    let chain = format!("{}{}", server.pem(), authority.pem());
    let pem = format!("{chain}{}", key.serialize_pem());
    (authority.der().clone(), server.der().clone(), pem)
}

async fn talks(client: &ClientTls, pem: &str, name: &str) -> bool {
    let server = ServerTls::from_pem(pem.as_bytes(), pem.as_bytes(), Duration::from_secs(10)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (served, _) = listener.accept().await.unwrap();
    let (_, client) = tokio::join!(server.upgrade(served), client.connect(tcp, name));
    client.is_ok()
}

fn key_of(certificate: &CertificateDer<'_>) -> Vec<u8> {
    ParsedCertificate::try_from(certificate).unwrap().subject_public_key_info().to_vec()
}

#[tokio::test]
async fn records_name_the_certificate_or_what_is_above_it() {
    let (authority, server, pem) = signed();
    let (other_authority, other, _) = signed();
    let record = |usage, selector, matching, data: &[u8]| Tlsa::new(usage, selector, matching, data).unwrap();
    let sha256 = |data: &[u8]| Sha256::digest(data).to_vec();
    let sha512 = |data: &[u8]| Sha512::digest(data).to_vec();
    for (record, name, expected) in [
        (record(3, 1, 1, &sha256(&key_of(&server))), "mx.example.test", true),
        (record(3, 0, 2, &sha512(&server)), "mx.example.test", true),
        (record(3, 0, 0, &server), "mx.example.test", true),
        // The server's own record vouches for any name; an authority's only for the certificate's.
        (record(3, 1, 1, &sha256(&key_of(&server))), "other.example.test", true),
        (record(2, 0, 1, &sha256(&authority)), "mx.example.test", true),
        (record(2, 1, 1, &sha256(&key_of(&authority))), "mx.example.test", true),
        (record(2, 0, 1, &sha256(&authority)), "other.example.test", false),
        (record(3, 1, 1, &sha256(&key_of(&other))), "mx.example.test", false),
        (record(2, 0, 1, &sha256(&other_authority)), "mx.example.test", false),
        (record(3, 1, 1, &sha256(&server)), "mx.example.test", false),
    ] {
        let client = ClientTls::dane(vec![record.clone()]);
        assert_eq!(talks(&client, &pem, name).await, expected, "{record:?} {name}");
    }
    // One that fits is enough.
    let wrong = record(3, 1, 1, &sha256(&key_of(&other)));
    let both = ClientTls::dane(vec![wrong, record(3, 0, 0, &server)]);
    assert!(talks(&both, &pem, "mx.example.test").await);
    assert!(talks(&ClientTls::unverified(), &pem, "other.example.test").await);
}

#[test]
fn records_that_mail_has_no_use_for() {
    for (usage, selector, matching, length) in [
        (0, 0, 1, 32),
        (1, 1, 1, 32),
        (4, 0, 1, 32),
        (3, 2, 1, 32),
        (3, 1, 3, 32),
        (3, 1, 1, 31),
        (3, 1, 2, 32),
        (3, 0, 0, 0),
    ] {
        assert_eq!(
            Tlsa::new(usage, selector, matching, &vec![1; length]),
            None,
            "{usage} {selector} {matching}"
        );
    }
}

#[test]
fn records_are_written_as_zone_files_have_them() {
    for (usage, selector, matching, length) in [(3, 1, 1, 32), (2, 0, 2, 64), (3, 0, 0, 3)] {
        let record = Tlsa::new(usage, selector, matching, &vec![0xa5; length]).unwrap();
        assert_eq!(record.to_string(), format!("{usage} {selector} {matching} {}", "a5".repeat(length)));
    }
}
