//! Certificates and handshakes. The only room that names a TLS crate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::Stream;

/// The server's side of TLS. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    handshake_max: Duration,
}

impl ServerTls {
    /// Wraps a configuration; a handshake takes at most `handshake_max`.
    pub fn new(config: Arc<rustls::ServerConfig>, handshake_max: Duration) -> Self {
        Self { acceptor: TlsAcceptor::from(config), handshake_max }
    }

    /// Does the handshake on a fresh connection or after STARTTLS. What was read before it must have been discarded.
    pub async fn upgrade(&self, tcp: TcpStream) -> io::Result<Stream> {
        let handshake = tokio::time::timeout(self.handshake_max, self.acceptor.accept(tcp));
        let tls = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Stream::Tls(Box::new(tls)))
    }
}
