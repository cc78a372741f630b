//! The trail: what became of every message, one JSON object a line, for `sluice trace`.
//!
//! ```text
//! <directory>/<process>.<YYYY-MM-DD>.jsonl        the day is UTC
//! {"time":"2026-01-02T03:04:05.678Z","id":"01ARZ…","event":"delivered","recipient":"a@example.test",…,"text":"…"}
//! ```
//!
//! Every event of the target `sluice::message` becomes a record. Several processes may append to the same directory; each
//! has files of its own. Control characters are escaped, so that a record is always one line. A line lost in a crash is
//! a line of history, never a message.

mod file;
mod find;
mod layer;

pub(crate) use file::TrailFile;
pub use find::{TrailRecord, find};
pub(crate) use layer::TrailLayer;

/// Events of this target are the trail.
pub const TARGET: &str = "sluice::message";
