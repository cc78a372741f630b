//! Sizes, durations and networks as people write them in the configuration: `"256 KiB"`, `"30s"`, `"192.0.2.0/24"`.
//!
//! What it is not: a general units library. Only what a configuration needs, one canonical form
//! each, and an error that shows what is expected.

mod network;
mod size;
mod span;

pub use network::{Network, NetworkError};
pub use size::{ByteSize, ByteSizeError};
pub use span::{Span, SpanError};
