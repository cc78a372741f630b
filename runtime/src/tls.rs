//! Certificates and handshakes. The only room that names a TLS crate.
//!
//! TLS 1.2 and 1.3 with aws-lc-rs as the one provider. A server's side ([`ServerTls`]) and a client's ([`ClientTls`]);
//! both give a [`crate::Stream`].
//!
//! ```text
//! files ──read──→ pairs ──→ Shown: name → certificate ──swapped whole──→ Current ←─asked by every handshake── ServerTls
//!   ↑                 ↑ again on SIGHUP and when they change (Certificates)
//!   └── acme: orders, answers challenges, renews
//! ```

mod acme;
mod binding;
mod certificate;
mod client;
mod config;
mod described;
mod fault;
mod files;
mod kept;
mod peer;
mod server;
mod shown;
mod verify;

use std::io;
use std::path::Path;

pub use acme::{AcmeConfig, Challenge};
pub use binding::ChannelBinding;
pub use certificate::{CertificateFacts, fuzz_certificate};
pub use client::ClientTls;
pub use config::{CertificateConfig, TlsConfig};
pub use described::{Described, describe};
pub use fault::TlsFault;
pub use files::Origin;
pub use kept::{Certificates, Reloaded};
pub use peer::PeerCertificate;
pub use server::{SelfSigned, ServerTls};
pub use verify::Tlsa;

/// Why a certificate, a key or a trust store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate and the key don't fit together, or a version is not supported.
    #[error("the certificate or its key can't be used")]
    Unusable(#[source] rustls::Error),
    /// Making a certificate failed.
    #[error("failed to make a self-signed certificate")]
    SelfSigned(#[source] rcgen::Error),
    /// A new certificate is over, and the one in use is not.
    #[error("the certificate has expired")]
    Expired,
    /// No certificate is there that can be the default.
    #[error("there is no certificate to show by default")]
    NoDefault,
    /// Two metrics have one name.
    #[error("failed to register the metrics")]
    Metrics(#[source] prometheus::Error),
    /// A pair of files can't be used.
    #[error("failed to use the certificate `{certificate}` with the key `{key}`")]
    Pair {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// Why.
        #[source]
        source: Box<Self>,
    },
    /// A file can't be read or written.
    #[error("failed to {step} `{path}`")]
    File {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A text that should be PEM is not, or holds nothing of the kind that is needed.
    #[error("no usable {what} in PEM form: {reason}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What the reader said.
        reason: String,
    },
}

impl TlsError {
    /// The same, saying which pair of files it is about.
    fn of_pair(self, certificate: &Path, key: &Path) -> Self {
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        Self::Pair { certificate, key, source: Box::new(self) }
    }
}

/// Makes aws-lc-rs the process's cryptography. First thing in `main`; calling it again does nothing.
pub fn install_crypto_provider() {
    // An error says that a provider is there already: nothing to do.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Reads a certificate as far as a channel binding needs it.
pub fn fuzz_end_point(data: &[u8]) {
    binding::fuzz(data);
}

#[cfg(test)]
mod tests;
