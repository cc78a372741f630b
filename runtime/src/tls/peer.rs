//! Certificates of clients: asked for, never required, believed only when an authority of ours vouches for them.
//!
//! ```text
//! handshake   asks; takes any certificate that is not too big; its owner must prove to have the key
//! after it    chain, dates and purpose (clientAuth, or none named)  ──good──→ Stream::peer_certificate()
//!                                                                   └─else──→ the session goes on as without, counted
//! ```
//! The chain is judged after the handshake, and again when a session is resumed by a ticket: a certificate that has expired since, or
//! whose authority is gone, counts no more.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus::{IntCounterVec, Opts, Registry};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::certificate::{CertificateFacts, certificates};
use super::{TlsError, verify};

/// Names of one certificate that a log line shows.
const SHOWN_MAX: usize = 8;

/// The certificate of a client that an authority of ours vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// DNS names in lower case, wildcards among them.
    pub names: Vec<String>,
    /// Mail addresses.
    pub emails: Vec<String>,
    /// SHA-256 of the whole certificate, in lower-case hexadecimal digits.
    pub fingerprint: String,
}

impl fmt::Display for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.fingerprint)?;
        for name in self.names.iter().chain(&self.emails).take(SHOWN_MAX) {
            write!(f, " {name}")?;
        }
        Ok(())
    }
}

/// What became of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Verified,
    /// Over, or not yet valid.
    Expired,
    /// Nobody whom we trust vouches for it; self-signed ones are among these.
    UnknownAuthority,
    /// Meant for something else, such as servers only.
    WrongPurpose,
    /// It can't be read, or its chain does not hold together.
    Unusable,
    /// Over `tls.client_chain_size_max`: the handshake was refused.
    TooBig,
}

impl Judgement {
    const ALL: [Self; 6] = [
        Self::Verified,
        Self::Expired,
        Self::UnknownAuthority,
        Self::WrongPurpose,
        Self::Unusable,
        Self::TooBig,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Expired => "expired",
            Self::UnknownAuthority => "unknown-authority",
            Self::WrongPurpose => "wrong-purpose",
            Self::Unusable => "unusable",
            Self::TooBig => "too-big",
        }
    }

    const fn of(error: &Error) -> Self {
        let Error::InvalidCertificate(error) = error else { return Self::Unusable };
        match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            // Somebody with an authority's name, and not its key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            _ => Self::Unusable,
        }
    }
}

/// Who may vouch for clients.
#[derive(Debug)]
pub(super) struct ClientAuthorities {
    authorities: RwLock<Arc<dyn ClientCertVerifier>>,
    chain_size_max: usize,
    provider: Arc<CryptoProvider>,
    judged: IntCounterVec,
}

impl ClientAuthorities {
    /// Trusts the certificates of `pem`.
    pub(super) fn new(pem: &[u8], chain_size_max: usize) -> Result<Self, TlsError> {
        let judged = IntCounterVec::new(
            Opts::new(
                "sluice_runtime_tls_client_certificates_total",
                "Certificates that clients showed where they are asked for one, by what was thought of them.",
            ),
            &["outcome"],
        )
        .map_err(TlsError::Metrics)?;
        for judgement in Judgement::ALL {
            judged.with_label_values(&[judgement.name()]);
        }
        let authorities = RwLock::new(verifier(pem)?);
        Ok(Self { authorities, chain_size_max, provider: verify::provider(), judged })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), TlsError> {
        registry.register(Box::new(self.judged.clone())).map_err(TlsError::Metrics)
    }

    /// Trusts the certificates of `pem` from now on, and no others.
    pub(super) fn replace(&self, pem: &[u8]) -> Result<(), TlsError> {
        let fresh = verifier(pem)?;
        *self.authorities.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What to make of the chain that a client showed, leaf first.
    pub(super) fn judge(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<PeerCertificate> {
        let (leaf, above) = chain?.split_first()?;
        let authorities = Arc::clone(&self.authorities.read().unwrap_or_else(PoisonError::into_inner));
        let verified = match authorities.verify_client_cert(leaf, above, UnixTime::now()) {
            Ok(_) => CertificateFacts::of(leaf).map_err(|_| Judgement::Unusable),
            Err(error) => Err(Judgement::of(&error)),
        };
        self.count(*verified.as_ref().err().unwrap_or(&Judgement::Verified));
        let CertificateFacts { names, emails, fingerprint, .. } = verified.ok()?;
        Some(PeerCertificate { names, emails, fingerprint })
    }

    fn count(&self, judgement: Judgement) {
        self.judged.with_label_values(&[judgement.name()]).inc();
    }
}

fn verifier(pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(pem)?);
    if added == 0 {
        let reason = "none can be an authority".to_owned();
        return Err(TlsError::Pem { what: "certificate", reason });
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), verify::provider());
    let wrong = |error: rustls::server::VerifierBuilderError| TlsError::Pem {
        what: "certificate",
        reason: error.to_string(),
    };
    builder.build().map_err(wrong)
}

/// The handshake's part. No names of authorities are sent along: a client shows what it has, and hellos stay short.
impl ClientCertVerifier for ClientAuthorities {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The chain goes into the session ticket and is judged with public-key operations: it must stay small.
        if above.iter().fold(leaf.len(), |size, one| size.saturating_add(one.len())) > self.chain_size_max {
            self.count(Judgement::TooBig);
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Of a certificate that can't be read nobody can have the key; it is found unusable after the handshake.
        if ParsedCertificate::try_from(leaf).is_err() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if ParsedCertificate::try_from(leaf).is_err() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
