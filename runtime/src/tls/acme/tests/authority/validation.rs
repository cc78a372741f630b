//! How the authority sees that a name is the client's (RFC 8555 §8).

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ClientTls;

/// RFC 8555 §8.3.
pub(super) async fn fetches(address: SocketAddr, name: &str, token: &str, expected: &str) -> bool {
    let Ok(mut tcp) = TcpStream::connect(address).await else { return false };
    let request = format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("\r\n\r\n{expected}"))
}

/// RFC 8737 §3.
pub(super) async fn connects(address: SocketAddr, name: &str, expected: &str) -> bool {
    let Ok(tcp) = TcpStream::connect(address).await else { return false };
    let Ok(stream) = unverified(&["acme-tls/1"]).connect(tcp, name).await else { return false };
    let crate::Stream::Tls(tls) = stream else { unreachable!() };
    let connection = tls.get_ref().1;
    assert_eq!(connection.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let [leaf] = connection.peer_certificates().unwrap() else { return false };
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).unwrap();
    let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(names[..], [x509_parser::extensions::GeneralName::DNSName(name)]);
    let identifier =
        parsed.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
    // An OCTET STRING of 32 octets.
    let digest = [&[4, 32][..], &Sha256::digest(expected)].concat();
    identifier.critical && identifier.value == digest
}

/// A client that wants to see a certificate, whatever critical extensions it has. Its owner must have the key.
pub(crate) fn unverified(protocols: &[&str]) -> ClientTls {
    let config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    ClientTls { connector: tokio_rustls::TlsConnector::from(Arc::new(config)) }.with_protocols(protocols)
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("TLS 1.3 is there")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).unwrap();
        let key = SubjectPublicKeyInfoDer::from(parsed.tbs_certificate.subject_pki.raw);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
