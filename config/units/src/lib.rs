//! Sizes and durations as people write them in the configuration: `"256 KiB"`, `"30s"`.
//!
//! What it is not: a general units library. Only what a configuration needs, one canonical form
//! each, and an error that shows what is expected.

mod size;
mod span;

pub use size::{ByteSize, ByteSizeError};
pub use span::{Span, SpanError};
