//! What proves to the authority that a domain is ours: a page (RFC 8555 §8.3) or a certificate (RFC 8737).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::tls::TlsError;

/// The ALPN protocol of tls-alpn-01 (RFC 8737 §6.2).
const ALPN: &[u8] = b"acme-tls/1";

/// The answers to challenges of the order under way.
#[derive(Default)]
pub(super) struct Answers(Mutex<Open>);

#[derive(Default)]
struct Open {
    /// Token → key authorization.
    pages: HashMap<String, String>,
    /// Domain → a certificate that carries the digest of the key authorization.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Answers {
    /// Answers http-01 for `token`.
    pub(super) fn add_page(&self, token: &str, key_authorization: &str) {
        self.open().pages.insert(token.to_owned(), key_authorization.to_owned());
    }

    /// Answers tls-alpn-01 for `domain` with the SHA-256 digest of the key authorization.
    pub(super) fn add_certificate(&self, domain: &str, digest: &[u8]) -> Result<(), TlsError> {
        let mut parameters = CertificateParams::new([domain.to_owned()]).map_err(TlsError::SelfSigned)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
        let key = KeyPair::generate().map_err(TlsError::SelfSigned)?;
        let certificate = parameters.self_signed(&key).map_err(TlsError::SelfSigned)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|reason| TlsError::Pem { what: "private key", reason: reason.to_owned() })?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(TlsError::Unusable)?;
        // Not `from_der`: it reads the certificate, and does not know the extension, which is critical.
        let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
        self.open().certificates.insert(domain.to_owned(), Arc::new(shown));
        Ok(())
    }

    /// The order is over.
    pub(super) fn clear(&self) {
        *self.open() = Open::default();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing of what is inside: keys are.
impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// The page of http-01; everything else is not found.
pub(super) fn pages(answers: Arc<Answers>) -> Router {
    Router::new().route("/.well-known/acme-challenge/{token}", get(page)).with_state(answers)
}

async fn page(State(answers): State<Arc<Answers>>, Path(token): Path<String>) -> Response {
    let found = answers.open().pages.get(&token).cloned();
    match found {
        Some(text) => ([(header::CONTENT_TYPE, "application/octet-stream")], text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The handshake of tls-alpn-01. Nothing is ever said over it.
pub(super) fn acceptor(answers: Arc<Answers>) -> TlsAcceptor {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder = rustls::ServerConfig::builder_with_protocol_versions(&versions).with_no_client_auth();
    let mut config = builder.with_cert_resolver(answers);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Nobody comes twice.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    TlsAcceptor::from(Arc::new(config))
}

impl ResolvesServerCert for Answers {
    /// Only for who offers this protocol and no other, and asks for a domain whose challenge is open (RFC 8737 §3).
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn()?;
        if offered.next() != Some(ALPN) || offered.next().is_some() {
            return None;
        }
        let domain = hello.server_name()?.to_ascii_lowercase();
        self.open().certificates.get(&domain).cloned()
    }
}
