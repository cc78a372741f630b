//! The configuration file: read, checked with every fault at once, explained and shown.
//!
//! What it is not: it knows no role and no key. A role owns its typed configuration; this room reads it from a TOML file and
//! the environment, in this order, the later wins:
//!
//! ```text
//! defaults   T::default()
//! file       [gateway]
//!            message_size_max = "25 MiB"
//! variables  SLUICE_GATEWAY__MESSAGE_SIZE_MAX="50 MiB"        two underscores between levels, one within a name
//! ```
//!
//! Failure behaviour: [`load`] gives every fault that can be found, each with the file and line or the variable, the key, what
//! is wrong and what to do. Nothing is guessed and an unknown key is a fault.

mod check;
mod document;
mod fault;
mod load;
mod reference;
mod schema;
mod secret;
mod show;
mod variables;

pub use fault::{Fault, Faults, Place};
pub use load::{Validate, load, load_text, within};
pub use reference::reference;
pub use secret::{SecretError, read_secret};
pub use show::show;
