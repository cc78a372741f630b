//! Messages that are in a store already: what rules would have been told of them, and how they are named to people.

use serde::Serialize;

use super::cases::Situation;
use super::facts::decoded;
use crate::authentication::Author;
use crate::fields::{self, Field};

/// By what people know a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Headline {
    /// The Message-ID field.
    pub message_id: String,
    /// The first author's address.
    pub from: String,
    /// The Subject field, decoded.
    pub subject: String,
}

/// Reads the header section of a message, as far as it can be read.
pub fn headline(message: &[u8]) -> Headline {
    let fields = fields::split(message);
    let first = |name: &[u8]| {
        let found = fields.iter().find(|field| field.is(name));
        found.map(|field| decoded(field).trim().to_owned()).unwrap_or_default()
    };
    Headline {
        message_id: first(b"message-id"),
        from: Author::read(message).addresses.into_iter().next().unwrap_or_default(),
        subject: first(b"subject"),
    }
}

impl Situation {
    /// Of a message that a node called `hostname` accepted: when its trace field says that the client logged in (RFC 3848), the sender counts as the
    /// account. `now` is in seconds since 1970. Everything else is read from the message.
    pub fn of_stored(message: &[u8], hostname: &str, now: u64) -> Self {
        let fields = fields::split(message);
        let first = |name: &[u8]| fields.iter().find(|field| field.is(name)).map(Field::unfolded);
        let submitted = first(b"received").is_some_and(|trace| is_submission(&trace, hostname));
        let sender = || first(b"return-path")?.trim_matches(['<', '>', ' ']).parse().ok();
        Self { account: if submitted { sender() } else { None }, now: Some(now), ..Self::default() }
    }
}

/// Whether a Received field is of this host and names a protocol of RFC 3848 or RFC 6531 that ends in the `A` of a login.
fn is_submission(trace: &str, hostname: &str) -> bool {
    let mut words = trace.split_whitespace().skip_while(|word| *word != "by");
    let (by, with, protocol) = (words.nth(1), words.next(), words.next());
    by.is_some_and(|by| by.eq_ignore_ascii_case(hostname))
        && with == Some("with")
        && protocol.is_some_and(|protocol| protocol.contains("SMTP") && protocol.ends_with('A'))
}
