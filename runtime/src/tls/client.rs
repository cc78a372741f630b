//! The client's side: for load tests, checks and tests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::TlsError;
use super::server::certificates;
use crate::Stream;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);

/// The client's side of TLS. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
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
        Ok(Stream::Tls(Box::new(TlsStream::Client(tls))))
    }
}
