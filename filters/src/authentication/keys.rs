//! DKIM keys (RFC 6376 §3.6.1), ready to check signatures with.
//!
//! A record is read once, however many messages its key signed, and so is an RSA key prepared for arithmetic once. What a record holds does not change: a
//! domain with another key has another record.

use std::sync::Arc;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::Error;
use mail_auth::common::crypto::{Algorithm, CryptoError, VerifyingKey};
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::{Canonicalization, DkimError};
use moka::sync::Cache;
use units::ByteSize;

use super::strict;

/// Records that were read lately.
pub(super) struct Keys {
    read: Cache<Box<[u8]>, Arc<DomainKey>>,
}

/// What a prepared key takes for each octet of its record: its number several times, in the forms that arithmetic wants.
const READY_FACTOR: usize = 4;
/// What a key takes besides, in this cache.
const ENTRY_OCTETS: usize = 512;

impl Keys {
    /// Keys of about so many octets at most. By octets: whoever owns a domain says how long its records are.
    pub(super) fn new(memory_max: ByteSize) -> Self {
        Self { read: Cache::builder().weigher(weight).max_capacity(memory_max.as_u64()).build() }
    }

    /// The key of a record, if it is one for mail.
    pub(super) fn read(&self, record: &[u8]) -> mail_auth::Result<Arc<DomainKey>> {
        if let Some(known) = self.read.get(record) {
            return Ok(known);
        }
        let key = Arc::new(key(record)?);
        self.read.insert(record.into(), Arc::clone(&key));
        Ok(key)
    }
}

#[allow(clippy::borrowed_box, reason = "what the cache calls")]
fn weight(record: &Box<[u8]>, _: &Arc<DomainKey>) -> u32 {
    let octets = record.len().saturating_mul(READY_FACTOR).saturating_add(ENTRY_OCTETS);
    u32::try_from(octets).unwrap_or(u32::MAX)
}

fn key(record: &[u8]) -> mail_auth::Result<DomainKey> {
    let key = DomainKey::parse(record)?;
    let Some(tags) = strict::usable_key(record) else {
        return Err(Error::Dkim(DkimError::UnsupportedKeyType));
    };
    let is_rsa = strict::find(&tags, "k").is_none_or(|kind| kind.eq_ignore_ascii_case("rsa"));
    let octets = strict::find(&tags, "p").filter(|_| is_rsa).and_then(|text| {
        let letters: String = text.split_ascii_whitespace().collect();
        STANDARD.decode(letters).ok()
    });
    let ready = octets.and_then(|octets| {
        ParsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, octets).ok()
    });
    let DomainKey { p: plain, f } = key;
    Ok(match ready {
        Some(ready) => DomainKey { p: Box::new(Ready { plain, ready }), f },
        None => DomainKey { p: plain, f },
    })
}

/// An RSA key that is prepared, beside the same one as the library has it.
struct Ready {
    plain: Box<dyn VerifyingKey + Send + Sync>,
    ready: ParsedPublicKey,
}

impl VerifyingKey for Ready {
    fn verify<'a>(
        &self,
        headers: &mut dyn Iterator<Item = (&'a [u8], &'a [u8])>,
        signature: &[u8],
        canonicalization: Canonicalization,
        algorithm: Algorithm,
    ) -> mail_auth::Result<()> {
        if algorithm != Algorithm::RsaSha256 {
            return self.plain.verify(headers, signature, canonicalization, algorithm);
        }
        let mut signed = Vec::with_capacity(SIGNED_USUAL);
        canonicalization.canonicalize_headers(headers, &mut signed);
        self.verify_bytes(&signed, signature, algorithm)
    }

    fn verify_bytes(&self, input: &[u8], signature: &[u8], algorithm: Algorithm) -> mail_auth::Result<()> {
        if algorithm != Algorithm::RsaSha256 {
            return self.plain.verify_bytes(input, signature, algorithm);
        }
        let verified = self.ready.verify_sig(input, signature);
        verified.map_err(|_| Error::Crypto(CryptoError::FailedVerification))
    }

    fn public_key_bits(&self) -> usize {
        self.plain.public_key_bits()
    }
}

/// Octets of signed fields that most messages stay below.
const SIGNED_USUAL: usize = 1024;

#[cfg(test)]
mod tests {
    use mail_auth::common::crypto::{RsaKey, Sha256, SigningKey as _};
    use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
    use rustls_pki_types::PrivateKeyDer;

    use super::*;

    /// A key that signs, and what stands in its record, as an octet string of RFC 8017 and as one of RFC 5280.
    fn pair() -> (RsaKey<Sha256>, [String; 2]) {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let key = RsaKey::<Sha256>::from_key_der(PrivateKeyDer::Pkcs8(pair.serialize_der().into())).unwrap();
        let public = [key.public_key(), pair.subject_public_key_info()];
        (key, public.map(|octets| STANDARD.encode(octets)))
    }

    fn keys() -> Keys {
        Keys::new(ByteSize::kib(64))
    }

    /// What the prepared key says, and what the library's says.
    fn both(record: &str, text: &str, signature: &[u8], algorithm: Algorithm) -> [bool; 2] {
        let ready = keys().read(record.as_bytes()).unwrap();
        let plain = DomainKey::parse(record.as_bytes()).unwrap();
        [&ready.p, &plain.p].map(|key| {
            let value = format!(" {text}\r\n");
            let mut fields = [("Subject".as_bytes(), value.as_bytes())].into_iter();
            let verified = key.verify(&mut fields, signature, Canonicalization::Relaxed, algorithm);
            let octets = format!("subject:{text}\r\n");
            assert_eq!(key.verify_bytes(octets.as_bytes(), signature, algorithm).is_ok(), verified.is_ok());
            verified.is_ok()
        })
    }

    #[test]
    fn a_prepared_key_says_what_the_library_says() {
        let (key, records) = pair();
        let signature = key.sign("subject:x\r\n".as_bytes()).unwrap();
        let mut broken = signature.clone();
        broken[100] ^= 1;
        let folded = |text: &str| format!("{} \r\n\t{}", &text[..40], &text[40..]);
        for public in &records {
            let record = format!("v=DKIM1; k=rsa; p={public}");
            let sha256 = Algorithm::RsaSha256;
            assert_eq!(both(&record, "x", &signature, sha256), [true; 2]);
            assert_eq!(both(&format!("p={}", folded(public)), "x", &signature, sha256), [true; 2]);
            assert_eq!(both(&record, "y", &signature, sha256), [false; 2]);
            assert_eq!(both(&record, "x", &broken, sha256), [false; 2]);
            assert_eq!(both(&record, "x", b"", sha256), [false; 2]);
            assert_eq!(both(&record, "x", &signature, Algorithm::RsaSha1), [false; 2]);
            assert_eq!(both(&record, "x", &signature, Algorithm::Ed25519Sha256), [false; 2]);
            assert_eq!(keys().read(record.as_bytes()).unwrap().p.public_key_bits(), 2048);
        }
        let another = format!("p={}", pair().1[0]);
        assert_eq!(both(&another, "x", &signature, Algorithm::RsaSha256), [false; 2]);
    }

    #[test]
    fn a_record_is_read_once() {
        let keys = keys();
        let record = format!("p={}", pair().1[0]);
        let first = keys.read(record.as_bytes()).unwrap();
        assert!(Arc::ptr_eq(&first, &keys.read(record.as_bytes()).unwrap()));
        assert!(!Arc::ptr_eq(&first, &keys.read(format!("{record};").as_bytes()).unwrap()));
    }

    #[test]
    fn attack_records_that_are_long() {
        let (keys, public) = (keys(), &pair().1[0]);
        for number in 0..100 {
            let notes = "x".repeat(1000 * (number % 20));
            keys.read(format!("p={public}; n={number}{notes}").as_bytes()).unwrap();
        }
        keys.read.run_pending_tasks();
        let octets: usize = keys.read.iter().map(|(record, _)| record.len()).sum();
        assert!(keys.read.entry_count() > 0 && octets <= 64 << 10, "{octets}");
    }

    #[test]
    fn what_is_no_key_for_mail_is_none() {
        let public = &pair().1[0];
        let check = |record: String| assert!(keys().read(record.as_bytes()).is_err(), "{record}");
        check(String::new());
        check("p=".to_owned());
        check(format!("p={public}; s=web"));
        check(format!("p={public}; h=sha1"));
        check(format!("p={public}; p={public}"));
        check(format!("p={public}; v=DKIM1"));
    }
}
