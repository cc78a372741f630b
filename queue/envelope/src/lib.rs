//! The shared words of Sluice: what a message is called, where it comes from and where it goes.
//!
//! Every room may name this crate and nothing else that is shared. It holds values, not behaviour:
//! an [`Address`] that exists is valid, a [`MessageId`] that exists is a ULID, a [`Secret`] never prints.
//!
//! What it is not: no sockets, no files, no clock, no randomness (both are arguments), no logging.
//!
//! Failure behaviour: parsing returns an error that says what is wrong; nothing here panics.

mod account;
mod address;
mod code;
mod disposition;
mod domain;
mod dsn;
mod local_part;
mod message;
mod message_id;
mod quota;
mod secret;

pub use account::AccountId;
pub use address::{Address, AddressError, ReversePath};
pub use code::EnhancedCode;
pub use disposition::Disposition;
pub use domain::{Domain, DomainError};
pub use dsn::{Notify, OriginalRecipient, Return};
pub use local_part::{LocalPart, LocalPartError};
pub use message::{Entrance, Envelope, Filtered, List, Origin, Priority, Recipient, Timestamp};
pub use message_id::{MessageId, MessageIdError};
pub use quota::{Quota, Usage};
pub use secret::Secret;
