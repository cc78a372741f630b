//! How a process of Sluice runs: listeners, TLS, drain, telemetry, health, blocking work.
//!
//! What it is not: it knows no mail.

mod blocking;
mod drain;
pub mod fetch;
pub mod health;
mod memory;
mod pages;
pub mod process;
mod processors;
mod proxy;
mod serve;
pub mod signals;
mod stream;
pub mod telemetry;
pub mod tls;
pub mod trail;

pub use blocking::{BlockingError, BlockingPool};
pub use drain::Drain;
pub use health::{Health, HealthConfig};
pub use memory::{HeldMemory, MemoryBudget};
pub use processors::Processors;
pub use serve::{Accepted, Admission, ConnectionLimits, Overload, serve};
pub use stream::{Encrypted, Stream, WriteDeadline};
pub use telemetry::{LogConfig, LogFormat};
pub use tls::{
    Certificates, ChannelBinding, ClientTls, PeerCertificate, SelfSigned, ServerTls, TlsConfig, TlsError,
    TlsFault, Tlsa, install_crypto_provider,
};

/// Feeds arbitrary octets to the reader of PROXY headers: one that is taken was taken whole, and nothing behind it.
pub fn fuzz_proxy_header(input: &[u8]) {
    proxy::fuzz(input);
}
