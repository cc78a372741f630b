//! DKIM signatures (RFC 6376) on what people here wrote, with ed25519 (RFC 8463) and rsa-sha256.
//!
//! Signed is what leaves: a message of somebody who logged in, or one of our own, by every key of the domain that its From field names. What strangers
//! wrote and an alias sends on keeps the signatures that it came with.
//!
//! The From field is signed once more than it occurs, so that nobody can put a second one in front (RFC 6376 §8.15). No body length is signed.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use envelope::{Address, Domain, Entrance, Envelope};
use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::content;

/// Fields that a reader goes by (RFC 6376 §5.4.1), as often as they occur; From once more.
const FIELDS: [&str; 19] = [
    "From",
    "From",
    "Sender",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "To",
    "Cc",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-ID",
    "In-Reply-To",
    "References",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
];

/// A key that signs for some domains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DkimConfig {
    /// The domains of the From field that it signs for. Two keys for one domain make two signatures.
    pub domains: Vec<String>,
    /// Where the public key stands in the DNS: `<selector>._domainkey.<domain>`.
    pub selector: String,
    /// The private key, ed25519 or RSA, in PEM form (PKCS #8, for RSA also PKCS #1).
    pub key_file: PathBuf,
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read.
    #[error("failed to read the DKIM key `{path}`")]
    Read {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It holds no key that signs.
    #[error("`{path}` holds no ed25519 or RSA key that can sign: {reason}")]
    Unusable {
        /// Which.
        path: String,
        /// What the library said.
        reason: String,
    },
}

/// All keys.
#[derive(Default)]
pub(crate) struct Signatures {
    by_domain: HashMap<String, Vec<DkimSigner<DkimKey, Done>>>,
}

impl DkimConfig {
    /// What is wrong with the keys: key path and problem.
    pub(crate) fn faults(keys: &[Self]) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for key in keys {
            let selector: Result<Domain, _> = key.selector.parse();
            if selector.is_err() || key.selector.starts_with('[') {
                faults.push((
                    "dkim".to_owned(),
                    format!("`{}` is no selector: one or more labels", key.selector),
                ));
            }
            if key.domains.is_empty() {
                faults.push(("dkim".to_owned(), "`domains` names at least one".to_owned()));
            }
            for domain in &key.domains {
                if domain.parse::<Domain>().is_err() {
                    faults.push(("dkim".to_owned(), format!("`{domain}` is no domain")));
                }
            }
        }
        faults
    }
}

impl Signatures {
    /// Reads every key. Blocks.
    pub(crate) fn load(keys: &[DkimConfig]) -> Result<Self, KeyError> {
        let mut by_domain: HashMap<String, Vec<_>> = HashMap::new();
        for key in keys {
            let path = key.key_file.display().to_string();
            let text = std::fs::read(&key.key_file)
                .map_err(|source| KeyError::Read { path: path.clone(), source })?;
            for domain in &key.domains {
                // One name in its one form (RFC 8616 §3: A-labels).
                let domain =
                    domain.parse::<Domain>().map_or_else(|_| domain.clone(), |domain| domain.to_string());
                let parsed = parse(&text);
                let parsed = parsed.map_err(|reason| KeyError::Unusable { path: path.clone(), reason })?;
                let signer = DkimSigner::from_key(parsed)
                    .domain(domain.clone())
                    .selector(key.selector.clone())
                    .headers(FIELDS)
                    .header_canonicalization(Canonicalization::Relaxed)
                    .body_canonicalization(Canonicalization::Relaxed);
                by_domain.entry(domain).or_default().push(signer);
            }
        }
        Ok(Self { by_domain })
    }

    /// Whose signature the message gets, if it is ours to sign.
    pub(crate) fn signer(&self, envelope: &Envelope, octets: &[u8]) -> Option<String> {
        let ours = envelope.origin.authenticated.is_some() || envelope.origin.entrance == Entrance::Internal;
        if self.by_domain.is_empty() || !ours {
            return None;
        }
        let domain = author(octets)?.domain().to_string();
        self.by_domain.contains_key(&domain).then_some(domain)
    }

    /// The message with a signature by each key of `domain` in front. Takes as long as hashing the message.
    pub(crate) fn sign(&self, domain: &str, octets: &Bytes) -> Result<Bytes, String> {
        let mut signed = Vec::with_capacity(octets.len() + 2048);
        let text = without_blank_end(octets);
        for signer in self.by_domain.get(domain).into_iter().flatten() {
            let signature = signer.sign(text).map_err(|error| error.to_string())?;
            signed.extend_from_slice(signature.to_header().as_bytes());
        }
        signed.extend_from_slice(octets);
        Ok(signed.into())
    }
}

/// Who wrote it: the first address of the From field.
fn author(octets: &[u8]) -> Option<Address> {
    let header = octets.get(..content::header_end(octets))?;
    let message = mail_parser::MessageParser::new().with_address_headers().parse_headers(header)?;
    message.from()?.first()?.address()?.trim().parse().ok()
}

/// The message without the lines of nothing but white space at its end. In the relaxed form they are no part of the body (RFC 6376 §3.4.4: white space at
/// line ends goes first, then empty lines at the end); the library leaves out only those that are empty as they stand.
fn without_blank_end(octets: &[u8]) -> &[u8] {
    let header = content::header_end(octets);
    let begin =
        if octets.get(header..).is_some_and(|rest| rest.starts_with(b"\r\n")) { header + 2 } else { header };
    let mut end = octets.len();
    while let Some(before) = octets.get(begin..end).and_then(|text| text.strip_suffix(b"\r\n")) {
        let line = before.iter().rposition(|octet| *octet == b'\n').map_or(0, |index| index + 1);
        let blank = before.get(line..).unwrap_or_default().iter().all(|octet| matches!(octet, b' ' | b'\t'));
        if !blank {
            break;
        }
        end = begin + line;
    }
    octets.get(..end).unwrap_or(octets)
}

fn parse(pem: &[u8]) -> Result<DkimKey, String> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
    if let PrivateKeyDer::Pkcs8(pkcs8) = &key
        && let Ok(key) = Ed25519Key::from_pkcs8_maybe_unchecked_der(pkcs8.secret_pkcs8_der())
    {
        return Ok(DkimKey::Ed25519(key));
    }
    RsaKey::<Sha256>::from_key_der(key).map(DkimKey::Rsa).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
