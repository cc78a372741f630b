//! Mailboxes: a Maildir++ on a disk or on NFS, with an index that is only a cache.
//!
//! Synchronous: callers run it on a blocking pool. Every file operation goes through [`Fs`].
//!
//! What it is not: it knows no IMAP, no SMTP and no passwords.

mod api;

pub use api::*;
