//! Encoders: facts in, octets appended to a `Vec<u8>`. Nothing here fails, and nothing here lets a value break
//! the line: what can't stand in quotes becomes a literal, line ends in free text become blanks.
//!
//! ```text
//! word       numbers, strings, mailbox names, sets: the parts of every response
//! status     OK NO BAD PREAUTH BYE with their codes, and continuation requests
//! data       CAPABILITY LIST STATUS SEARCH ESEARCH FLAGS EXISTS … : untagged responses
//! fetch      FETCH, item by item
//! envelope   ENVELOPE
//! body       BODY and BODYSTRUCTURE
//! ```

pub mod body;
pub mod data;
pub mod envelope;
pub mod fetch;
pub mod status;
pub mod word;

#[cfg(test)]
mod tests;
