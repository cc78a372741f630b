//! The IMAP wire (RFC 3501 and extensions), without sockets, clock or storage.
//!
//! ```text
//!  octets → Framer (frame.rs)        lines and literals, every octet limit     → Frame
//!  Frame  → parse_command (parse.rs) grammar, budgets for nesting and counts   → Command
//!  facts  → response::…              encoders that append to a Vec<u8>         → octets
//!  octets → client::ResponseFramer   the other side, for tests and loadtest    → response lines
//! ```
//!
//! What it is not: no session (access owns the states of RFC 3501 §3, since each of them holds store
//! objects), no SASL (the sasl crate), no MIME (the store's summary says what ENVELOPE and BODYSTRUCTURE show).
//!
//! Failure behaviour: a frame that breaks a limit is dropped whole, with the literals it announced, and is
//! never read as commands; where its end can't be known, the refusal says that the connection must
//! close. A frame that does not parse gives a [`CommandError`] with the tag if there is one. Nothing
//! panics, recurses on the peer's input, or allocates by a number that the peer wrote.

mod chars;
pub mod client;
mod command;
mod date;
mod error;
mod flag;
mod frame;
pub mod fuzz;
mod limits;
mod mailbox;
pub mod mutf7;
mod parse;
pub mod response;
mod sequence;
mod tag;

pub use command::{
    Append, Authenticate, AuthenticateLine, Command, CommandBody, Create, Fetch, FetchItem, List, ListReturn,
    ListSelection, Login, Partial, Search, SearchKey, SearchReturn, Section, SectionText, Select, StatusItem,
    Store, StoreChange, Transfer,
};
pub use date::{Date, DateTime};
pub use error::{CommandError, ParseError};
pub use flag::{Flag, KEYWORD_LENGTH_MAX, Keyword, SpecialUse};
pub use frame::{Expect, Frame, FrameError, FrameEvent, Framer, Line, Refusal};
pub use limits::{FrameLimits, ParseLimits};
pub use mailbox::{ListPattern, Mailbox};
pub use parse::{parse_authenticate_line, parse_command};
pub use sequence::{MessageSet, Numbering, SequenceNumber, SequenceSet};
pub use tag::Tag;
