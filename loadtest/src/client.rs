//! One session with a server of each protocol, as mail clients hold it. Framing and parsing are those of our protocol rooms.

pub(crate) mod http;
pub(crate) mod imap;
pub(crate) mod pop3;
pub(crate) mod smtp;
