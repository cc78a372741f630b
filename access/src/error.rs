//! Why the role can't start.

use std::io;
use std::net::SocketAddr;

/// A listener or a metric could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken or not ours.
    #[error("failed to listen on {address} for {listener}")]
    Listen {
        /// Which listener.
        listener: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Two metrics have one name.
    #[error("failed to register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The certificate can't be used.
    #[error("failed to set up TLS")]
    Tls(#[from] runtime::TlsError),
    /// A listener that begins with TLS has no certificate.
    #[error("the listener {listener} needs a certificate, and none is configured")]
    NoCertificate {
        /// Which listener.
        listener: &'static str,
    },
}
