//! SASL for servers (RFC 4422): PLAIN (RFC 4616) and LOGIN, and how passwords are kept (argon2id).
//!
//! What it is not: no directory and no protocol. It turns what a client sends behind `AUTH` into
//! [`Credentials`]; whether they are right is the directory's answer. No clock, no randomness (salts are
//! arguments), no sockets.
//!
//! ```text
//! SMTP  AUTH PLAIN [initial]      ┐             ┌ Step::Challenge(exchange, text) → send text, read a line, respond
//! IMAP  AUTHENTICATE PLAIN [init] ├→ begin() →──┤
//! POP3  AUTH PLAIN [initial]      ┘             └ Step::Finished(credentials)     → ask the directory
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
pub mod password;
pub mod server;

pub use credentials::Credentials;
pub use error::SaslError;
pub use fuzz::{fuzz_exchange, fuzz_password_hash};

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
