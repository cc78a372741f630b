//! Certificates and handshakes. The only room that names a TLS crate.
//!
//! TLS 1.2 and 1.3 with aws-lc-rs as the one provider. A server's side ([`ServerTls`]) and a client's ([`ClientTls`]);
//! both give a [`crate::Stream`].

mod client;
mod config;
mod files;
mod server;
mod verify;

use std::io;

pub use client::ClientTls;
pub use config::TlsConfig;
pub use files::load_or_create;
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

/// Makes aws-lc-rs the process's cryptography. First thing in `main`; calling it again does nothing.
pub fn install_crypto_provider() {
    // An error says that a provider is there already: nothing to do.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests;
