//! SMTP (RFC 5321) without input and output: bytes in, events and bytes out.
//!
//! ```text
//!  octets ──LineDecoder──▶ line ──Command::parse──▶ Command ──server::Session──▶ Action ──▶ the gateway
//!         ──DataDecoder──▶ message octets, dots unstuffed     (behind DATA)
//!         ──ChunkDecoder─▶ message octets, counted            (behind BDAT)
//!  the gateway ──▶ Reply ──▶ octets                       client::Session speaks the other side
//! ```
//!
//! Two stages: **frame** (CRLF lines, the text behind DATA), then **parse** (one complete frame). A frame
//! that is wrong is dropped whole and never read again as something else: a bare CR or LF is an error in
//! a command and poisons a message, so that no two servers can disagree about where a message ends.
//!
//! What it is not: no sockets, no clock, no logging, no directory. It asks for a decision
//! ([`server::Action`]) and is told the answer ([`server::Input`]).
//!
//! Failure behaviour: every decoder returns an error with a name or asks for more octets; nothing panics,
//! and nothing is allocated because a peer announced a number. Limits are arguments.

mod chunk;
pub mod client;
mod command;
mod data;
mod limits;
mod line;
mod parameter;
mod path;
mod reply;
pub mod server;
mod stuffing;

pub use chunk::ChunkDecoder;
pub use command::{Auth, Bdat, BodyType, ClientName, Command, CommandError, Mail, Rcpt, Vrfy};
pub use data::{DataDecoder, DataProgress, Poison};
pub use limits::{DataLimits, LineLimits, SessionLimits};
pub use line::{Frame, FrameError, LineDecoder};
pub use parameter::ParameterError;
pub use path::{ForwardPath, PathError};
pub use reply::{Reply, ReplyDecoder, ReplyError, ReplyReader};
pub use stuffing::DotStuffer;

/// Feeds arbitrary octets to the command parser.
pub fn fuzz_command(input: &[u8]) {
    command::fuzz(input);
}

/// Feeds arbitrary octets to the decoder of message text, whole and in pieces: both must agree.
pub fn fuzz_data(input: &[u8]) {
    data::fuzz(input);
}

/// Cuts an arbitrary message into chunks: each is consumed exactly, and the message has the fate it would have behind DATA.
pub fn fuzz_chunks(input: &[u8]) {
    chunk::fuzz(input);
}

/// Feeds arbitrary octets to a server session of each kind, whole and byte by byte: every reply must be one, every chunk is
/// consumed exactly, and both get the same answers.
pub fn fuzz_session(input: &[u8]) {
    server::fuzz(input);
}

/// Feeds arbitrary octets to the client's reply decoder.
pub fn fuzz_reply(input: &[u8]) {
    reply::fuzz(input);
}

/// Stuffs arbitrary message text and reads it back: the octets must survive.
pub fn fuzz_stuffing(input: &[u8]) {
    stuffing::fuzz(input);
}
