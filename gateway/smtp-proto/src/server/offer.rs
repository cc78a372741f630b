//! What a listener offers.

use envelope::Domain;

use crate::Reply;

/// Which door a session came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// From other mail systems (RFC 5321).
    Mx,
    /// From people who log in (RFC 6409).
    Submission,
}

/// What one listener offers its clients.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The server's own name, for the greeting.
    pub name: Domain,
    /// Which door this is.
    pub service: Service,
    /// Whether STARTTLS can be asked for.
    pub starttls: bool,
    /// SASL mechanisms, in upper case; none on the MX door.
    pub mechanisms: Vec<&'static str>,
    /// Whether the client may say what it wants to be told of (RFC 3461).
    pub dsn: bool,
    /// Whether passwords may cross an unencrypted connection. For tests on a loopback address only.
    pub plaintext_auth: bool,
}

impl Offer {
    /// Whether AUTH can be used now.
    pub(super) fn auth_possible(&self, tls: bool) -> bool {
        !self.mechanisms.is_empty() && (tls || self.plaintext_auth)
    }
}

/// The answer to HELP (RFC 5321 §4.1.1.8).
pub(super) fn help() -> Reply {
    Reply::enhanced(214, (2, 0, 0), "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT STARTTLS AUTH")
}

/// The answer to VRFY: neither yes nor no, lest addresses be guessed (RFC 5321 §3.5.3, §7.3).
pub(super) fn vrfy() -> Reply {
    Reply::enhanced(252, (2, 5, 0), "Send the message and see")
}
