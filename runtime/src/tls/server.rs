//! The server's side.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::TlsError;
use super::binding::{self, ChannelBinding};
use super::certificate::Certificate;
use super::peer::ClientAuthorities;
use super::shown::{Current, Shown};
use crate::{Drain, Stream};

/// How long a handshake may take when the caller names no time.
const HANDSHAKE_MAX_DEFAULT: Duration = Duration::from_secs(30);

/// Sessions of a listener that are remembered for clients of TLS 1.2 that take no tickets.
const SESSIONS_MAX: usize = 256;

/// How long a certificate that we made is valid.
const SELF_SIGNED_VALIDITY: time::Duration = time::Duration::days(3650);

/// The server's side of TLS. Cheap to clone; clones share their session tickets.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    handshake_max: Duration,
    current: Arc<Current>,
    /// Who may vouch for clients, for listeners that ask.
    clients: Option<Arc<ClientAuthorities>>,
    asks: bool,
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
    /// Shows what is current, and asks nobody for a certificate yet.
    pub(super) fn showing(
        current: Arc<Current>,
        clients: Option<Arc<ClientAuthorities>>,
        handshake_max: Duration,
    ) -> Result<Self, TlsError> {
        let acceptor = acceptor(&current, None, &[])?;
        Ok(Self { acceptor, handshake_max, current, clients, asks: false })
    }

    /// Takes a certificate chain (leaf first) and its key, both PEM.
    pub fn from_pem(certificate: &[u8], key: &[u8], handshake_max: Duration) -> Result<Self, TlsError> {
        super::install_crypto_provider();
        let shown = Shown::new(Arc::new(Certificate::from_pem(certificate, key)?), &[]);
        Self::showing(Arc::new(Current::new(shown)), None, handshake_max)
    }

    /// Makes a certificate for `names` and serves with it. For tests and a first start.
    pub fn self_signed(names: &[&str]) -> Result<(Self, SelfSigned), TlsError> {
        let made = SelfSigned::new(names)?;
        let tls =
            Self::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes(), HANDSHAKE_MAX_DEFAULT)?;
        Ok((tls, made))
    }

    /// The same certificates for another listener: session tickets of its own, and these ALPN protocols (RFC 7301).
    /// A client that offers ALPN and none of them is refused; one that offers none is served. No protocols: ALPN is off.
    pub fn for_listener(&self, protocols: &[&str]) -> Result<Self, TlsError> {
        let acceptor = acceptor(&self.current, None, protocols)?;
        Ok(Self { acceptor, asks: false, ..self.clone() })
    }

    /// The same for a listener that asks clients for a certificate, when the configuration names authorities for them. Nobody needs one; whose it
    /// is says [`Stream::peer_certificate`].
    pub fn for_listener_asking(&self, protocols: &[&str]) -> Result<Self, TlsError> {
        let acceptor = acceptor(&self.current, self.clients.as_ref(), protocols)?;
        Ok(Self { acceptor, asks: true, ..self.clone() })
    }

    /// The same with another deadline for the handshake.
    #[must_use]
    pub fn with_handshake_max(mut self, handshake_max: Duration) -> Self {
        self.handshake_max = handshake_max;
        self
    }

    /// What a login over `stream`, which this has upgraded, can be bound to. Where several certificates come into question for the name that the client
    /// asked for, or they were changed since, the one that it saw is not known for sure: then a login bound to it fails.
    pub fn channel_binding(&self, stream: &Stream) -> ChannelBinding {
        let Stream::Tls(tls) = stream else { return ChannelBinding::default() };
        let TlsStream::Server(server) = &***tls else { return ChannelBinding::default() };
        let shown = self.current.shown();
        let certificate = shown.only(server.get_ref().1.server_name());
        let leaf = certificate.and_then(|certificate| certificate.key.cert.first());
        ChannelBinding {
            exporter: binding::exporter(stream),
            server_end_point: leaf.and_then(binding::end_point),
        }
    }

    /// Does the handshake on a fresh connection or after STARTTLS. What was read before it must have been discarded.
    pub async fn upgrade(&self, tcp: TcpStream) -> io::Result<Stream> {
        let handshake = tokio::time::timeout(self.handshake_max, self.acceptor.accept(tcp));
        let tls = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let asked = self.clients.as_ref().filter(|_| self.asks);
        let peer = asked.and_then(|clients| clients.judge(tls.get_ref().1.peer_certificates()));
        Ok(Stream::encrypted(TlsStream::Server(tls), peer))
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

/// TLS 1.2 and 1.3 with session tickets of its own.
fn acceptor(
    current: &Arc<Current>,
    clients: Option<&Arc<ClientAuthorities>>,
    protocols: &[&str],
) -> Result<TlsAcceptor, TlsError> {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder = rustls::ServerConfig::builder_with_protocol_versions(&versions);
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::<ClientAuthorities>::clone(clients)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::<Current>::clone(current));
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Unusable)?;
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
