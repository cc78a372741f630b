//! The client's side: for mail to other systems, the webmail's submission, load tests and checks.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::certificate::certificates;
use super::files::read;
use super::shown::Current;
use super::verify::Verifier;
use super::{TlsError, Tlsa};
use crate::Stream;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);

/// The client's side of TLS. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    pub(super) connector: TlsConnector,
}

impl ClientTls {
    /// Trusts the certificates of `pem` and what they signed, and nothing else.
    pub fn trusting(pem: &str) -> Result<Self, TlsError> {
        super::install_crypto_provider();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(pem.as_bytes())? {
            roots.add(certificate).map_err(TlsError::Unusable)?;
        }
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Trusts what the authorities of `file` signed: many certificates in PEM form, those that can't be read left out. Blocks.
    pub fn trusting_authorities(file: &Path) -> Result<Self, TlsError> {
        super::install_crypto_provider();
        let pem = read(file)?;
        let mut roots = rustls::RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates(&pem)?);
        if added == 0 {
            let (what, reason) = ("certificate", format!("none in `{}`", file.display()));
            return Err(TlsError::Pem { what, reason });
        }
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Talks to anybody: against those who only listen (RFC 7435). Never where a secret or a promise depends on it.
    pub fn unverified() -> Self {
        Self::judging(Verifier::anybody())
    }

    /// Talks to whom one of these records vouches for (RFC 7672).
    pub fn dane(records: Vec<Tlsa>) -> Self {
        Self::judging(Verifier::dane(records))
    }

    /// Talks to services that show the certificates of this process, or what the authorities in their chains signed.
    pub(super) fn trusting_ours(current: Arc<Current>) -> Self {
        Self::judging(Verifier::ours(current))
    }

    fn judging(verifier: Verifier) -> Self {
        super::install_crypto_provider();
        let config = rustls::ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Self { connector: TlsConnector::from(Arc::new(config)) }
    }

    /// The same, offering these ALPN protocols (RFC 7301).
    #[must_use]
    pub fn with_protocols(&self, protocols: &[&str]) -> Self {
        let mut config = rustls::ClientConfig::clone(self.connector.config());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self { connector: TlsConnector::from(Arc::new(config)) }
    }

    /// Does the handshake, on a fresh connection or after STARTTLS, with a server that must prove to be `server_name`.
    pub async fn connect(&self, tcp: TcpStream, server_name: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, self.connector.connect(name, tcp));
        let tls = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Stream::encrypted(TlsStream::Client(tls), None))
    }
}
