//! How a client judges a server's certificate where the web's way does not fit: not at all, or by DANE.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256, Sha512};

use super::shown::{Current, Shown};

/// What a TLSA record says of a server's certificate (RFC 6698 §2), as far as mail makes use of it (RFC 7672 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    /// DANE-TA(2): an authority above the server's certificate.
    Authority,
    /// DANE-EE(3): the server's own certificate; its names and dates say nothing (RFC 7672 §3.1.1).
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selector {
    Certificate,
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matching {
    Exact,
    Sha256,
    Sha512,
}

impl Tlsa {
    /// From the record's numbers and octets; none when mail has no use for it: PKIX usages, numbers that nobody knows, a digest of the wrong length.
    pub fn new(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Option<Self> {
        let usage = match usage {
            2 => Usage::Authority,
            3 => Usage::Server,
            _ => return None,
        };
        let selector = match selector {
            0 => Selector::Certificate,
            1 => Selector::Key,
            _ => return None,
        };
        let (matching, length) = match matching {
            0 => (Matching::Exact, data.len()),
            1 => (Matching::Sha256, 32),
            2 => (Matching::Sha512, 64),
            _ => return None,
        };
        let usable = !data.is_empty() && data.len() == length;
        usable.then(|| Self { usage, selector, matching, data: data.to_vec() })
    }

    fn numbers(&self) -> (u8, u8, u8) {
        let usage = match self.usage {
            Usage::Authority => 2,
            Usage::Server => 3,
        };
        let selector = match self.selector {
            Selector::Certificate => 0,
            Selector::Key => 1,
        };
        let matching = match self.matching {
            Matching::Exact => 0,
            Matching::Sha256 => 1,
            Matching::Sha512 => 2,
        };
        (usage, selector, matching)
    }

    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let key;
        let selected: &[u8] = match self.selector {
            Selector::Certificate => certificate,
            Selector::Key => {
                let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
                key = parsed.subject_public_key_info();
                &key
            }
        };
        match self.matching {
            Matching::Exact => selected == self.data,
            Matching::Sha256 => Sha256::digest(selected).as_slice() == self.data,
            Matching::Sha512 => Sha512::digest(selected).as_slice() == self.data,
        }
    }
}

impl fmt::Display for Tlsa {
    /// As zone files write it (RFC 6698 §2.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (usage, selector, matching) = self.numbers();
        write!(f, "{usage} {selector} {matching} ")?;
        self.data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// What is asked of a certificate.
#[derive(Debug)]
enum Rule {
    /// Nothing: encryption without knowing to whom, better than none (RFC 7435).
    Anybody,
    /// One of these fits.
    Dane(Vec<Tlsa>),
    /// It is a certificate that this process shows now, or one with the right name that the authorities of those vouch for.
    Ours(Arc<Current>),
}

/// A verifier for one rule. Signatures of the handshake are checked in any case.
#[derive(Debug)]
pub(super) struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn anybody() -> Self {
        Self { rule: Rule::Anybody, provider: provider() }
    }

    pub(super) fn dane(records: Vec<Tlsa>) -> Self {
        Self { rule: Rule::Dane(records), provider: provider() }
    }

    pub(super) fn ours(current: Arc<Current>) -> Self {
        Self { rule: Rule::Ours(current), provider: provider() }
    }

    fn authority(
        &self,
        record: &Tlsa,
        server: &ParsedCertificate<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        chain.iter().filter(|one| record.matches(one)).any(|anchor| {
            let mut roots = RootCertStore::empty();
            let algorithms = self.provider.signature_verification_algorithms.all;
            roots.add(anchor.clone().into_owned()).is_ok()
                && verify_server_cert_signed_by_trust_anchor(server, &roots, chain, now, algorithms).is_ok()
                && verify_server_name(server, name).is_ok()
        })
    }
}

impl Verifier {
    fn one_of_us(
        &self,
        shown: &Shown,
        server: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Who has the key of a certificate of ours is one of us, under whatever name we reached it.
        if shown.holds(server) {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(server)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, shown.roots(), chain, now, algorithms)?;
        verify_server_name(&parsed, name)?;
        Ok(ServerCertVerified::assertion())
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let records = match &self.rule {
            Rule::Anybody => return Ok(ServerCertVerified::assertion()),
            Rule::Ours(current) => return self.one_of_us(&current.shown(), server, chain, name, now),
            Rule::Dane(records) => records,
        };
        let parsed = ParsedCertificate::try_from(server)?;
        let fits = records.iter().any(|record| match record.usage {
            Usage::Server => record.matches(server),
            Usage::Authority => self.authority(record, &parsed, chain, name, now),
        });
        if fits {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
