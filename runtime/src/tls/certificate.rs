//! One certificate with its key, and what it says of itself.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;

use super::TlsError;

/// Names that are kept of one certificate. Authorities issue up to 100 (Let's Encrypt) or 250.
const NAMES_MAX: usize = 1000;
/// Octets of a name: a domain has at most 253, a mail address 254 (RFC 5321 §4.5.3.1).
const NAME_SIZE_MAX: usize = 254;

/// What a certificate says of itself (RFC 5280 §4.1.2.5, §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// DNS names in lower case, wildcards among them.
    pub names: Vec<String>,
    /// Mail addresses.
    pub emails: Vec<String>,
    /// From when it is valid.
    pub not_before: OffsetDateTime,
    /// Until when it is valid.
    pub not_after: OffsetDateTime,
    /// SHA-256 of the whole certificate, in lower-case hexadecimal digits.
    pub fingerprint: String,
}

impl CertificateFacts {
    /// Reads a certificate in DER form.
    pub(super) fn of(certificate: &[u8]) -> Result<Self, TlsError> {
        let wrong = |reason: String| TlsError::Pem { what: "certificate", reason };
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|error| wrong(format!("it can't be read: {error}")))?;
        let (mut names, mut emails) = (Vec::new(), Vec::new());
        let alternatives = parsed.subject_alternative_name().map_err(|error| wrong(error.to_string()))?;
        for name in alternatives.iter().flat_map(|extension| &extension.value.general_names).take(NAMES_MAX) {
            match name {
                GeneralName::DNSName(name) if is_plain(name) => names.push(name.to_ascii_lowercase()),
                GeneralName::RFC822Name(address) if is_plain(address) => emails.push((*address).to_owned()),
                _ => {}
            }
        }
        let validity = parsed.validity();
        Ok(Self {
            names,
            emails,
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
            fingerprint: hexadecimal(&Sha256::digest(certificate)),
        })
    }

    /// Whether each of `domains` is among its names as it stands.
    pub(super) fn covers(&self, domains: &[String]) -> bool {
        domains.iter().all(|domain| self.names.contains(domain))
    }

    /// Whether it is over at `now`.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.not_after <= now
    }
}

/// A name that may be logged and compared: nothing but printable ASCII, no blanks, not endless.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_SIZE_MAX && name.bytes().all(|octet| octet.is_ascii_graphic())
}

fn hexadecimal(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// A certificate chain that can be shown, since its key is at hand.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: CertificateFacts,
}

impl Certificate {
    /// Takes a certificate chain (leaf first) and its key, both PEM. Both may stand in one text.
    pub(super) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Pem { what: "private key", reason: error.to_string() })?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(TlsError::Unusable)?;
        let facts = CertificateFacts::of(key.end_entity_cert().map_err(TlsError::Unusable)?)?;
        Ok(Self { key: Arc::new(key), facts })
    }
}

/// Every certificate of a PEM text; at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Pem { what: "certificate", reason };
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() { Err(wrong("there is none".to_owned())) } else { Ok(chain) }
}

/// For fuzzing: whatever the octets, what is kept of a certificate may be logged and is bounded.
pub fn fuzz_certificate(input: &[u8]) {
    let Ok(facts) = CertificateFacts::of(input) else { return };
    assert!(facts.names.len() + facts.emails.len() <= NAMES_MAX);
    assert!(facts.names.iter().chain(&facts.emails).all(|name| is_plain(name)));
    assert_eq!(facts.fingerprint.len(), 64);
}
