//! How a process of Sluice runs: listeners, TLS, drain, telemetry, health, blocking work.
//!
//! What it is not: it knows no mail.

mod blocking;
mod drain;
mod serve;
mod stream;
pub mod tls;

pub use blocking::{BlockingError, BlockingPool};
pub use drain::Drain;
pub use serve::{Accepted, Admission, ConnectionLimits, serve};
pub use stream::Stream;
pub use tls::{ClientTls, SelfSigned, ServerTls, TlsConfig, TlsError, install_crypto_provider};
