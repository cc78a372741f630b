//! POP3 on the wire (RFC 1939 with RFC 2449, 2595, 5034): framing, commands, replies and the server's session.
//!
//! What it is not: no sockets, no files, no clock, no passwords checked, no SASL mechanisms. Bytes go in, [`Action`]s come out, and
//! whoever drives the session does what they say.
//!
//! ```text
//! bytes → Framer → line → Session::step → Action
//!
//!              ┌─────────────── AUTHORIZATION ───────────────┐          ┌─ TRANSACTION ─┐
//! greeting ──→ │ Authorization ──PASS, AUTH──→ Checking ──────┼─ opened →│ Transaction   │──QUIT──→ Ended (UPDATE)
//!              │      ↑  ↑                        │  │ challenge        └───────────────┘
//!              │      │  └───────── refused ──────┘  ↓       │
//!              │      └──── refused ──────────── Exchange    │──QUIT──→ Ended
//!              └─────────────────────────────────────────────┘
//! ```
//!
//! A connection that ends without QUIT never reaches UPDATE: nothing is deleted (RFC 1939 §6).
//!
//! Failure behaviour: a line over its limit is dropped whole and answered `-ERR`; an unknown command, one in the wrong
//! state or with wrong arguments changes nothing. Nothing panics, and nothing is allocated by a peer's number.

pub mod client;
mod command;
mod frame;
mod fuzz;
mod maildrop;
mod reply;
mod session;
mod stuffing;
mod top;

pub use command::{Command, CommandError};
pub use frame::{Framer, LineTooLong};
pub use fuzz::{fuzz_client, fuzz_command, fuzz_session, fuzz_stuffing};
pub use maildrop::{ListKind, Maildrop, Message};
pub use reply::{Reply, ResponseCode};
pub use session::{Action, Offer, Session};
pub use stuffing::Stuffer;
pub use top::TopCutter;

/// What a client may send. No defaults: the server takes them from its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one line with its line end. RFC 2449 §4 asks for 255; an AUTH response may be longer (RFC 5034 §4).
    pub line_octets_max: usize,
}
