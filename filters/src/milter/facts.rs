//! What milters are told of a client.

use std::net::SocketAddr;

use milter_proto::Macros;

/// A client, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Where it comes from.
    pub peer: Option<SocketAddr>,
    /// The name of its address, when the name leads back to the address.
    pub hostname: Option<String>,
    /// What this server calls its listener towards milters (`{daemon_name}`). Postfix says its host name, and rspamd takes it for the name in its
    /// Authentication-Results.
    pub daemon: String,
    /// This server's name (`j`).
    pub our_name: String,
    /// The encryption, when there is one.
    pub tls: Option<Tls>,
    /// The listener's name in the configuration of milters: `mx`, `submission`, `submissions`.
    pub listener: String,
    /// Who logged in.
    pub authenticated: Option<Authenticated>,
}

/// How a session is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// For example `TLSv1.3`.
    pub version: String,
    /// For example `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// Octets of the key times eight.
    pub bits: Option<u16>,
    /// The subject of the client's certificate.
    pub subject: Option<String>,
    /// Who signed it.
    pub issuer: Option<String>,
}

/// Who logged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authenticated {
    /// The SASL mechanism.
    pub mechanism: String,
    /// The login name.
    pub login: String,
}

impl Connection {
    /// The name, or the word that Postfix has for none, which milters know.
    pub(crate) fn name(&self) -> &str {
        self.hostname.as_deref().unwrap_or("unknown")
    }

    /// The macros that are known for as long as the client is.
    pub(crate) fn macros(&self) -> Macros {
        let mut macros = Macros::default();
        let address = self.peer.map(|peer| peer.ip().to_canonical().to_string());
        macros.set("j", Some(self.our_name.clone()));
        macros.set("v", Some(concat!("Sluice ", env!("CARGO_PKG_VERSION")).to_owned()));
        macros.set("daemon_name", Some(self.daemon.clone()));
        macros.set("_", address.as_ref().map(|address| format!("{} [{address}]", self.name())));
        macros.set("client_addr", address);
        macros.set("client_name", Some(self.name().to_owned()));
        macros.set("client_port", self.peer.map(|peer| peer.port().to_string()));
        let tls = self.tls.as_ref();
        macros.set("tls_version", tls.map(|tls| tls.version.clone()));
        macros.set("cipher", tls.map(|tls| tls.cipher.clone()));
        macros.set("cipher_bits", tls.and_then(|tls| tls.bits).map(|bits| bits.to_string()));
        macros.set("cert_subject", tls.and_then(|tls| tls.subject.clone()));
        macros.set("cert_issuer", tls.and_then(|tls| tls.issuer.clone()));
        macros.set("auth_type", self.authenticated.as_ref().map(|login| login.mechanism.clone()));
        macros.set("auth_authen", self.authenticated.as_ref().map(|login| login.login.clone()));
        macros
    }
}
