//! The client's side: [`Session`] speaks with one server, any number of messages one after the other.
//!
//! The caller writes what [`Next`] holds, reads with a [`ReplyReader`](crate::ReplyReader) and gives each reply to [`Session::reply`]. The message's text
//! goes through a [`DotStuffer`](crate::DotStuffer) when [`Next::SendStuffed`] asks for it.

mod extensions;
mod failure;
mod session;

pub use failure::{Failure, Step};
pub use session::{Answer, Encryption, Hello, Next, Session, To, Transaction, Verdict};
