//! Load over the wire, as any client makes it, and what it measured.
//!
//! What it is not: it names no role and reads no file of the system under test, so that it drives any server.
//!
//! [`ledger`] is the proof that a system keeps what it accepts: numbered messages, a line for each answer, and afterwards each found in exactly one place.
//!
//! Closed loop: a session sends its next message when the last one is answered. Figures are counts, a rate and latency
//! percentiles from the first octet of MAIL to the answer to the end of DATA.

mod idle;
pub mod ledger;
mod report;
mod smtp;
mod wire;

pub use idle::{IdleLoad, run as idle};
pub use report::Report;
pub use smtp::{SmtpLoad, run as smtp};
