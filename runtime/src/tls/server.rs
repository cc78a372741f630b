//! The server's side.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::TlsError;
use super::files::read;
use crate::{Drain, Stream};

/// How long a handshake may take when the caller names no time.
const HANDSHAKE_MAX_DEFAULT: Duration = Duration::from_secs(30);

/// How long a certificate that we made is valid.
const SELF_SIGNED_VALIDITY: time::Duration = time::Duration::days(3650);

/// The server's side of TLS. Cheap to clone; clones share their session tickets.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    handshake_max: Duration,
}

/// A certificate that nobody but ourselves vouches for.
pub struct SelfSigned {
    /// The certificate, for those who shall trust it.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl SelfSigned {
    /// Makes a certificate for `names` (host names or IP addresses), valid for ten years.
    pub fn new(names: &[&str]) -> Result<Self, TlsError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let common_name = names.first().cloned().unwrap_or_default();
        let mut parameters = rcgen::CertificateParams::new(names).map_err(TlsError::SelfSigned)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let now = time::OffsetDateTime::now_utc();
        parameters.not_before = now.saturating_sub(time::Duration::days(1));
        parameters.not_after = now.saturating_add(SELF_SIGNED_VALIDITY);
        let key = rcgen::KeyPair::generate().map_err(TlsError::SelfSigned)?;
        let certificate = parameters.self_signed(&key).map_err(TlsError::SelfSigned)?;
        Ok(Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl std::fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfSigned").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Wraps a configuration; a handshake takes at most `handshake_max`.
    pub fn new(config: Arc<rustls::ServerConfig>, handshake_max: Duration) -> Self {
        Self { acceptor: TlsAcceptor::from(config), handshake_max }
    }

    /// Reads a certificate chain (leaf first) and its key, both PEM.
    pub fn load(certificate: &Path, key: &Path, handshake_max: Duration) -> Result<Self, TlsError> {
        Self::from_pem(&read(certificate)?, &read(key)?, handshake_max)
    }

    /// Takes a certificate chain (leaf first) and its key, both PEM.
    pub fn from_pem(certificate: &[u8], key: &[u8], handshake_max: Duration) -> Result<Self, TlsError> {
        super::install_crypto_provider();
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Pem { what: "private key", reason: error.to_string() })?;
        let mut config = rustls::ServerConfig::builder_with_protocol_versions(&[
            &rustls::version::TLS13,
            &rustls::version::TLS12,
        ])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Unusable)?;
        Ok(Self::new(Arc::new(config), handshake_max))
    }

    /// Makes a certificate for `names` and serves with it. For tests and a first start.
    pub fn self_signed(names: &[&str]) -> Result<(Self, SelfSigned), TlsError> {
        let made = SelfSigned::new(names)?;
        let tls =
            Self::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes(), HANDSHAKE_MAX_DEFAULT)?;
        Ok((tls, made))
    }

    /// The same certificate for another listener: session tickets of its own, and these ALPN protocols (RFC 7301).
    /// A client that offers ALPN and none of them is refused; one that offers none is served. No protocols: ALPN is off.
    pub fn for_listener(&self, protocols: &[&str]) -> Result<Self, TlsError> {
        let mut config = rustls::ServerConfig::clone(self.acceptor.config());
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Unusable)?;
        config.session_storage = rustls::server::ServerSessionMemoryCache::new(256);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(Self::new(Arc::new(config), self.handshake_max))
    }

    /// The same with another deadline for the handshake.
    #[must_use]
    pub fn with_handshake_max(mut self, handshake_max: Duration) -> Self {
        self.handshake_max = handshake_max;
        self
    }

    /// Does the handshake on a fresh connection or after STARTTLS. What was read before it must have been discarded.
    pub async fn upgrade(&self, tcp: TcpStream) -> io::Result<Stream> {
        let handshake = tokio::time::timeout(self.handshake_max, self.acceptor.accept(tcp));
        let tls = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Stream::Tls(Box::new(TlsStream::Server(tls))))
    }

    /// The same as the first thing of a connection: nothing is under way yet that a drain would wait for, and it is given up
    /// when one begins.
    pub async fn upgrade_first(&self, tcp: TcpStream, drain: &Drain) -> io::Result<Stream> {
        tokio::select! {
            biased;
            () = drain.requested() => Err(io::ErrorKind::ConnectionAborted.into()),
            upgraded = self.upgrade(tcp) => upgraded,
        }
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
