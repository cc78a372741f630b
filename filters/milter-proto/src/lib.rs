//! The mail server's side of the Sendmail milter protocol, version 6, without input and output: commands to send, packets received, and what they mean.
//!
//! ```text
//!  the gateway ──▶ Command ──Session::send──▶ octets ──────────────────────────▶ the milter
//!                                             octets ──frame──▶ Packet ─────────┐
//!  the gateway ◀── Event (answer, modification, progress) ◀──Session::receive───┘
//! ```
//!
//! A packet is a length of four octets, a command letter, and data (there is no RFC; this is what libmilter 8.18 and its peers speak):
//!
//! ```abnf
//! packet      = length code *OCTET       ; length: uint32, big endian, octets of code and data
//! code        = OCTET
//! text        = *%x01-FF %x00
//! negotiation = "O" version actions steps *( stage text )   ; all uint32
//! macros      = "D" code *( text text )  ; code of the command that follows
//! ```
//!
//! What it is not: no sockets, no clock, no look-up. It does not say what a failure means; that is in the caller's configuration.
//!
//! Failure behaviour: a packet that is wrong, that nobody asked for, or that was not negotiated is a [`Fault`], and the session is over: nobody can know what
//! such a milter takes the rest for. Nothing is allocated because a peer announced a number. Limits are arguments.

mod command;
mod limits;
mod macros;
mod modification;
mod options;
mod packet;
mod reply;
mod reply_code;
mod session;
mod text;

pub use command::{Command, Peer, Step};
pub use limits::Limits;
pub use macros::{MacroLists, Macros, Stage};
pub use modification::Modification;
pub use options::{Actions, Options, OptionsError, Steps, VERSION, VERSION_MIN};
pub use packet::{BODY_CHUNK_MAX, DATA_MAX, FrameError, Packet, frame};
pub use reply::{Reply, ReplyError};
pub use reply_code::ReplyCode;
pub use session::{Answer, Event, Fault, Misuse, Session};

/// Feeds arbitrary octets to the reader of packets.
pub fn fuzz_packet(input: &[u8]) {
    packet::fuzz(input);
}

/// Feeds arbitrary octets to the parser of commands, as a milter has it: what is read is written the same.
pub fn fuzz_command(input: &[u8]) {
    command::fuzz(input);
}

/// Feeds arbitrary octets to the parser of replies: what is read is safe to use, and written the same.
pub fn fuzz_reply(input: &[u8]) {
    reply::fuzz(input);
}

/// Lets arbitrary octets answer a whole session: no change before the end of a message, none that was not negotiated.
pub fn fuzz_session(input: &[u8]) {
    session::fuzz(input);
}
