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

/// Octets of text in a reply: with its codes it fits a line of SMTP (RFC 5321 §4.5.3.1.5).
const REPLY_TEXT_MAX: usize = 400;

/// A peer's words in a reply to a client: one line of printable ASCII, which is what every client may be told (RFC 6531 §3.5 allows more only to some).
pub(crate) fn reply_text(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.trim().chars().take(REPLY_TEXT_MAX).map(printable).collect()
}
