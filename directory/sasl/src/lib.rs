//! SASL for servers (RFC 4422): PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 with and without channel binding (RFC 5802, RFC 7677),
//! OAUTHBEARER (RFC 7628) and XOAUTH2; and how passwords are kept: argon2id, and what SCRAM needs.
//!
//! What it is not: no directory and no protocol. It turns what a client sends behind `AUTH` into
//! [`Credentials`], a proof or a token; whether they are right is the directory's answer. No clock, no randomness (salts and
//! nonces are arguments), no sockets.
//!
//! ```text
//! SMTP  AUTH PLAIN [initial]      ┐             ┌ Challenge(exchange, text) → send text, read a line, respond
//! IMAP  AUTHENTICATE PLAIN [init] ├→ begin() →──┤ Finished(credentials)     → ask the directory
//! POP3  AUTH PLAIN [initial]      ┘             │ Secret → the directory's secret → Challenge → Proof → directory → Challenge → Proven
//!                                               └ Token  → the directory → in, or Challenge → Refused
//! ```
//!
//! Challenges and responses are base64 text here, as on the wire of all three protocols; the caller adds its own
//! frame (`334 `, `+ `). The framing in front must bound a line, [`Limits`] bound what it holds.
//!
//! Failure behaviour: any response that is not exactly the mechanism's form ends the exchange with a
//! [`SaslError`]; nothing is guessed, nothing panics, and no secret is part of an error.

pub mod client;
mod credentials;
mod error;
mod fuzz;
mod mechanism;
pub mod password;
pub mod scram;
pub mod server;

pub use credentials::Credentials;
pub use error::SaslError;
pub use fuzz::{fuzz_exchange, fuzz_password_hash, fuzz_scram_secret};
pub use mechanism::Mechanism;
pub use scram::{ScramSecret, ScramSecretError};

/// How much a client may send. No defaults: each protocol takes them from its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one base64 response.
    pub response_octets_max: usize,
    /// Octets of the authorization identity and of the login name, each.
    pub login_octets_max: usize,
    /// Octets of the password.
    pub password_octets_max: usize,
}
