//! The server's session (RFC 1939 §3): see the crate's documentation for the diagram.

mod authorization;
mod transaction;

use envelope::Secret;

use crate::{Command, CommandError, ListKind, Maildrop, Message, Reply};

/// What the server offers on this connection now. It changes with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Whether STLS is possible: there is a certificate and no TLS yet.
    pub starttls: bool,
    /// Whether anybody can log in: there is TLS, or the policy allows this peer without.
    pub login: bool,
    /// Whether USER and PASS are among the ways.
    pub passwords: bool,
    /// The SASL mechanisms, in the order in which to announce them.
    pub mechanisms: &'a [&'a str],
}

/// Where a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// AUTHORIZATION: nobody is logged in.
    Authorization {
        /// The name of a USER before.
        user: Option<Vec<u8>>,
    },
    /// AUTHORIZATION: the next line is a SASL response.
    Exchange,
    /// AUTHORIZATION: credentials are being checked; ends with [`Session::opened`], [`Session::refused`] or
    /// [`Session::challenged`].
    Checking,
    /// TRANSACTION: the maildrop is open.
    Transaction(Maildrop),
    /// The connection ends.
    Ended,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send the reply and close; deletes nothing.
    Close(Reply),
    /// Send `+OK`, the listing of the open maildrop, and a dot.
    List(ListKind),
    /// Check the name and the password.
    Login {
        /// The name.
        login: Vec<u8>,
        /// The password.
        password: Secret<Vec<u8>>,
    },
    /// Send the reply.
    Reply(Reply),
    /// Send the message with that number, or with `lines` its header and so many lines.
    Retrieve {
        /// Which one.
        message: Message,
        /// For TOP, how many lines of the body.
        lines: Option<u64>,
    },
    /// Begin a SASL exchange.
    SaslBegin {
        /// The mechanism's name.
        mechanism: Vec<u8>,
        /// The initial response in base64, or `=`.
        initial: Option<Secret<Vec<u8>>>,
    },
    /// Go on with the SASL exchange: the client's line.
    SaslRespond(Secret<Vec<u8>>),
    /// Send the reply, forget all input that is buffered, and do the TLS handshake.
    StartTls(Reply),
    /// UPDATE: remove these messages, say how it went, and close.
    Update {
        /// The messages that are marked as deleted.
        deleted: Vec<u32>,
    },
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// The session after the greeting, or after a TLS handshake: nothing from before is kept.
    pub const fn new() -> Self {
        Self::Authorization { user: None }
    }

    /// The greeting. Without a timestamp in angle brackets: there is no APOP.
    pub fn greeting() -> Reply {
        Reply::ok("Sluice POP3 ready")
    }

    /// Takes one line from the client.
    pub fn step(self, line: &[u8], offer: Offer<'_>) -> (Self, Action) {
        if self == Self::Exchange {
            return (Self::Checking, Action::SaslRespond(Secret::new(line.to_vec())));
        }
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => return (self, Action::Reply(error_reply(error))),
        };
        match self {
            Self::Authorization { user } => authorization::step(user, command, offer),
            Self::Transaction(maildrop) => transaction::step(maildrop, command, offer),
            // The driver gives no line in these states.
            Self::Checking | Self::Exchange | Self::Ended => {
                (Self::Ended, Action::Close(Reply::err("not now")))
            }
        }
    }

    /// The credentials were right and the maildrop is open.
    pub fn opened(maildrop: Maildrop) -> (Self, Reply) {
        let (count, octets) = maildrop.totals();
        (Self::Transaction(maildrop), Reply::ok(format_args!("{count} messages, {octets} octets")))
    }

    /// The login failed: the client may try again.
    pub const fn refused() -> Self {
        Self::new()
    }

    /// The mechanism asks for more.
    pub fn challenged(challenge: &str) -> (Self, Reply) {
        (Self::Exchange, Reply::challenge(challenge))
    }
}

fn error_reply(error: CommandError) -> Reply {
    match error {
        CommandError::Arguments => Reply::err("wrong arguments"),
        CommandError::Unknown => Reply::err("unknown command"),
    }
}

/// CAPA (RFC 2449 §5). The list does not depend on the state, only on TLS.
fn capabilities(offer: Offer<'_>) -> Reply {
    let mut lines = vec!["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"];
    let sasl = format!("SASL {}", offer.mechanisms.join(" "));
    if offer.login && offer.passwords {
        lines.push("USER");
    }
    if offer.login && !offer.mechanisms.is_empty() {
        lines.push(&sasl);
    }
    if offer.starttls {
        lines.push("STLS");
    }
    lines.push("IMPLEMENTATION Sluice");
    Reply::lines("what this server can do", &lines)
}

#[cfg(test)]
mod tests;
