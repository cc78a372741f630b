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
    /// From mail systems of our own, one answer for each recipient (RFC 2033).
    Lmtp,
}

impl Service {
    /// Whether messages may hold any octets (RFC 3030 §3): from people, whose mail we sign, not from systems that sign before they send.
    pub(super) const fn takes_binary(self) -> bool {
        matches!(self, Self::Submission)
    }

    /// Whether clients say LHLO here and get one answer for each recipient.
    pub(super) const fn is_lmtp(self) -> bool {
        matches!(self, Self::Lmtp)
    }
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
    /// SASL mechanisms, in upper case; none where nobody logs in.
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
pub(super) fn help(service: Service) -> Reply {
    let hello = if service.is_lmtp() { "LHLO" } else { "EHLO HELO" };
    let login = if service == Service::Submission { " AUTH" } else { "" };
    let text = format!("{hello} MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS{login}");
    Reply::enhanced(214, (2, 0, 0), text)
}

/// The answer to VRFY: neither yes nor no, lest addresses be guessed (RFC 5321 §3.5.3, §7.3).
pub(super) fn vrfy() -> Reply {
    Reply::enhanced(252, (2, 5, 0), "Send the message and see")
}
