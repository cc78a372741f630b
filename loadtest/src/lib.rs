//! Load over the wire, as any client makes it: what a mail system does with it, and that nothing was lost.
//!
//! ```text
//!  population ── who has mail, how much, read with what
//!  people, message ── one of them; one of their messages
//!  driver/* on client/* on wire ── what is done: SMTP, IMAP, POP3, webmail, admin pages
//!  pace ── when: as fast as answers come, or at a rate whatever the server does
//!  run ── loads side by side, with chaos and the servers' own metrics ──▶ recorder ──▶ report
//!  ledger ── each accepted message found exactly once
//! ```
//! What it is not: it names no role and reads no file of the system under test, so that it drives any server: Postfix, Dovecot, Exchange.
//!
//! Everything is drawn from a seed: the same load twice is the same load.

mod chaos;
mod client;
mod day;
mod driver;
pub mod ledger;
mod message;
mod pace;
mod people;
pub mod population;
mod random;
mod recorder;
mod report;
mod run;
mod scrape;
mod size;
mod wire;

pub use chaos::{ORDERS_MAX, Order, orders};
pub use day::curve as day_curve;
pub use driver::admin::AdminLoad;
pub use driver::idle::IdleLoad;
pub use driver::imap::{ImapLoad, Script, Single};
pub use driver::pop3::Pop3Load;
pub use driver::smtp::SmtpLoad;
pub use driver::watch::WatchLoad;
pub use driver::web::WebLoad;
pub use message::Sizes;
pub use pace::{Curve, Pace, Until};
pub use people::People;
pub use report::{Comparison, Judged, Operation, Point, Report, Requirement, Sample, Series, compare};
pub use run::{Load, Paced, Progress, Run, Settle};
pub use scrape::Endpoint;
pub use size::{Costs, Sizing, Wanted};
pub use wire::{Encryption, Target};
