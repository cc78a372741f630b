//! What clients are told: the only place of this role that makes wire text. (What the protocol itself refuses has
//! its words in smtp-proto.)

use envelope::MessageId;
use filters::Refusal;
use smtp_proto::{Poison, Reply};

/// The message is durable.
pub(crate) fn queued(id: MessageId) -> Reply {
    Reply::enhanced(250, (2, 0, 0), format!("queued as {id}"))
}

/// A chunk is taken; the message is not complete.
pub(crate) fn chunk_taken(size: u64) -> Reply {
    Reply::enhanced(250, (2, 0, 0), format!("{size} octets received"))
}

pub(crate) fn sender_ok() -> Reply {
    Reply::enhanced(250, (2, 1, 0), "Sender OK")
}

pub(crate) fn sender_not_yours() -> Reply {
    Reply::enhanced(553, (5, 7, 1), "This sender address does not belong to your account")
}

pub(crate) fn recipient_ok() -> Reply {
    Reply::enhanced(250, (2, 1, 5), "Recipient OK")
}

pub(crate) fn recipient_unknown() -> Reply {
    Reply::enhanced(550, (5, 1, 1), "No such user here")
}

pub(crate) fn relaying_denied() -> Reply {
    Reply::enhanced(550, (5, 7, 1), "Relaying denied: this domain is not served here")
}

pub(crate) fn from_not_yours() -> Reply {
    Reply::enhanced(550, (5, 7, 1), "The From field names an address that does not belong to your account")
}

pub(crate) fn directory_unavailable() -> Reply {
    Reply::enhanced(451, (4, 3, 0), "The directory is unavailable, try again later")
}

pub(crate) fn logged_in() -> Reply {
    Reply::enhanced(235, (2, 7, 0), "Authentication successful")
}

/// One answer for a wrong name and a wrong password.
pub(crate) fn login_refused() -> Reply {
    Reply::enhanced(535, (5, 7, 8), "Authentication credentials invalid")
}

pub(crate) fn login_throttled() -> Reply {
    Reply::enhanced(454, (4, 7, 0), "Too many failed logins, try again later")
}

pub(crate) fn login_unavailable() -> Reply {
    Reply::enhanced(454, (4, 7, 0), "Temporary authentication failure")
}

pub(crate) fn login_malformed() -> Reply {
    Reply::enhanced(501, (5, 5, 2), "The response is not usable")
}

pub(crate) fn poisoned(poison: Poison) -> Reply {
    match poison {
        Poison::BareCr => Reply::enhanced(550, (5, 6, 0), "Message refused: bare CR, a line ends with CRLF"),
        Poison::BareLf => Reply::enhanced(550, (5, 6, 0), "Message refused: bare LF, a line ends with CRLF"),
        Poison::LineTooLong => Reply::enhanced(550, (5, 6, 0), "Message refused: a line is too long"),
        Poison::MessageTooBig => Reply::enhanced(552, (5, 3, 4), "Message size exceeds the limit"),
        Poison::Nul => Reply::enhanced(550, (5, 6, 0), "Message refused: it holds a NUL octet"),
    }
}

/// RFC 3463 §3.7
pub(crate) fn not_converted(why: impl std::fmt::Display) -> Reply {
    Reply::enhanced(554, (5, 6, 3), format!("Message refused, it can't be converted from BINARYMIME: {why}"))
}

pub(crate) fn header_too_big() -> Reply {
    Reply::enhanced(552, (5, 3, 4), "Message refused: its header section is too large")
}

pub(crate) fn header_fields() -> Reply {
    Reply::enhanced(554, (5, 6, 0), "Message refused: it has too many header fields")
}

pub(crate) fn routing_loop() -> Reply {
    Reply::enhanced(554, (5, 4, 6), "Message refused: too many hops, it runs in a loop")
}

pub(crate) fn queue_full() -> Reply {
    Reply::enhanced(452, (4, 3, 1), "Insufficient system storage, try again later")
}

pub(crate) fn memory_short() -> Reply {
    Reply::enhanced(452, (4, 3, 1), "Too many messages at once, try again later")
}

pub(crate) fn checks_too_slow() -> Reply {
    Reply::enhanced(421, (4, 3, 0), "Message could not be checked in time, try again later")
}

pub(crate) fn queue_failed() -> Reply {
    Reply::enhanced(451, (4, 3, 0), "The message could not be stored, try again later")
}

pub(crate) fn draining() -> Reply {
    Reply::enhanced(421, (4, 3, 2), "Service shutting down, closing connection")
}

pub(crate) fn timed_out() -> Reply {
    Reply::enhanced(421, (4, 4, 2), "Timeout, closing connection")
}

pub(crate) fn early_talker() -> Reply {
    Reply::enhanced(554, (5, 5, 0), "You spoke before the greeting")
}

pub(crate) fn not_allowed() -> Reply {
    Reply::enhanced(554, (5, 7, 1), "Your address may not deliver here")
}

pub(crate) fn busy() -> Reply {
    Reply::enhanced(421, (4, 3, 2), "Too many connections, try again later, closing connection")
}

pub(crate) fn too_many_connections() -> Reply {
    Reply::enhanced(421, (4, 7, 0), "Too many connections from your address, closing connection")
}

/// What a filter wants the client told.
pub(crate) fn filtered(refusal: &Refusal) -> Reply {
    Reply::enhanced(refusal.code, refusal.enhanced, refusal.text.clone())
}

/// The same in place of the greeting, which ends the session: 554 or 421 (RFC 5321 §3.1, §4.2.2).
pub(crate) fn unwelcome(refusal: &Refusal) -> Reply {
    let code = if refusal.is_temporary() { 421 } else { 554 };
    Reply::enhanced(code, refusal.enhanced, refusal.text.clone())
}
