//! What milters and scanners have in common: an address, a connection, and a breaker that stops asking who does not answer.

mod address;
mod breaker;
mod metrics;
mod stream;

pub use address::{PeerAddress, PeerAddressError};
pub use breaker::BreakerConfig;
pub(crate) use breaker::{Breaker, Permit};
pub(crate) use metrics::{Counts, Figures, Outcome};
pub(crate) use stream::Stream;
