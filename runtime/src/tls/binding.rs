//! What a login can be bound to: that both ends mean the same connection, with nobody in between who holds one on each side.

use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use tokio_rustls::TlsStream;

use crate::Stream;

/// RFC 9266 §2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// What a connection can be told by. Nothing, where it is not encrypted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChannelBinding {
    /// `tls-exporter` (RFC 9266): with TLS 1.3. Earlier versions would need the extended master secret, which can't be asked for after the
    /// handshake.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929 §4): the hash of our certificate. None where its signature names no hash.
    pub server_end_point: Option<Vec<u8>>,
}

impl std::fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChannelBinding")
    }
}

/// Keying material that only the two ends of this connection have.
pub(super) fn exporter(stream: &Stream) -> Option<[u8; 32]> {
    let Stream::Tls(tls) = stream else { return None };
    let (_, connection) = tls.get_ref();
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    // RFC 9266 §2: with a context of no octets.
    match &***tls {
        TlsStream::Client(tls) => {
            tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, Some(b"")).ok()
        }
        TlsStream::Server(tls) => {
            tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, Some(b"")).ok()
        }
    }
}

/// The certificate under the hash of its own signature; SHA-256 instead of MD5 and SHA-1 (RFC 5929 §4.1).
pub(super) fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let octets = certificate.as_ref();
    match signature_hash(octets)? {
        Hash::Sha256 => Some(Sha256::digest(octets).to_vec()),
        Hash::Sha384 => Some(Sha384::digest(octets).to_vec()),
        Hash::Sha512 => Some(Sha512::digest(octets).to_vec()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// ```asn1
/// Certificate         ::= SEQUENCE { tbsCertificate, signatureAlgorithm AlgorithmIdentifier, signatureValue }    -- RFC 5280 §4.1
/// AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY OPTIONAL }
/// ```
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let (certificate, _) = element(certificate, 0x30)?;
    let (_, rest) = element(certificate, 0x30)?;
    let (algorithm, _) = element(rest, 0x30)?;
    let (identifier, parameters) = element(algorithm, 0x06)?;
    match identifier {
        // md5, sha1, sha256, sha384 and sha512WithRSAEncryption (RFC 8017 appendix C).
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last] => match last {
            4 | 5 | 11 => Some(Hash::Sha256),
            12 => Some(Hash::Sha384),
            13 => Some(Hash::Sha512),
            10 => pss_hash(parameters),
            _ => None,
        },
        // ecdsa-with-SHA1, and with SHA256, SHA384, SHA512 (RFC 5758 §3.2).
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02] => {
            Some(Hash::Sha256)
        }
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03] => Some(Hash::Sha384),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04] => Some(Hash::Sha512),
        // Ed25519 and Ed448 name none: the binding is not defined.
        _ => None,
    }
}

/// ```asn1
/// RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] AlgorithmIdentifier DEFAULT sha1, … }    -- RFC 8017 §A.2.3
/// ```
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let (parameters, _) = element(parameters, 0x30)?;
    let Some((tagged, _)) = element(parameters, 0xa0) else { return Some(Hash::Sha256) };
    let (algorithm, _) = element(tagged, 0x30)?;
    match element(algorithm, 0x06)?.0 {
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
            1 => Some(Hash::Sha256),
            2 => Some(Hash::Sha384),
            3 => Some(Hash::Sha512),
            _ => None,
        },
        _ => None,
    }
}

/// The content of a DER element with this tag, and what is behind it.
fn element(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = octets.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0usize, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    if *found == tag { rest.split_at_checked(length) } else { None }
}

/// Reads a certificate: whatever it is, it is read to its end at most.
pub(super) fn fuzz(data: &[u8]) {
    let hash = end_point(&CertificateDer::from(data.to_vec()));
    assert!(hash.is_none_or(|hash| [32, 48, 64].contains(&hash.len())));
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::SelfSigned;

    #[test]
    fn a_certificate_is_hashed_as_it_was_signed() {
        // What rcgen makes is signed by ECDSA with SHA-256.
        let made = SelfSigned::new(&["a.test"]).unwrap();
        let der = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).unwrap();
        assert_eq!(end_point(&der), Some(Sha256::digest(&der).to_vec()));
        for cut in 0..der.len() {
            fuzz(der.get(..cut).unwrap());
        }
        let mut changed = der.to_vec();
        for at in 0..changed.len() {
            changed[at] ^= 0x81;
            fuzz(&changed);
            changed[at] ^= 0x81;
        }
    }

    #[test]
    fn hashes() {
        let rsa = |last| vec![0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
        let ecdsa = |last| vec![0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last];
        let pss = |last| {
            let hash = [0x30, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last];
            [rsa(10), vec![0x30, 15, 0xa0, 13], hash.to_vec()].concat()
        };
        for (algorithm, expected) in [
            (rsa(4), Some(Hash::Sha256)),
            (rsa(5), Some(Hash::Sha256)),
            (rsa(11), Some(Hash::Sha256)),
            (rsa(12), Some(Hash::Sha384)),
            (rsa(13), Some(Hash::Sha512)),
            (rsa(14), None),
            (ecdsa(2), Some(Hash::Sha256)),
            (ecdsa(3), Some(Hash::Sha384)),
            (ecdsa(4), Some(Hash::Sha512)),
            (pss(1), Some(Hash::Sha256)),
            (pss(2), Some(Hash::Sha384)),
            (pss(3), Some(Hash::Sha512)),
            (pss(4), None),
            ([rsa(10), vec![0x30, 0]].concat(), Some(Hash::Sha256)),
            // Ed25519.
            (vec![0x06, 3, 0x2b, 0x65, 0x70], None),
        ] {
            let length = u8::try_from(algorithm.len()).unwrap();
            let inside = [vec![0x30, 0, 0x30, length], algorithm].concat();
            let certificate = [vec![0x30, length + 4], inside].concat();
            assert_eq!(signature_hash(&certificate), expected, "{certificate:x?}");
        }
    }
}
