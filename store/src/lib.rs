//! Mailboxes: a Maildir++ on a disk or on NFS, with an index that is only a cache.
//!
//! Synchronous: callers run it on a blocking pool. Every file operation goes through [`Fs`].
//!
//! What it is not: it knows no IMAP, no SMTP and no passwords.
//!
//! # On disk
//! ```text
//! <root>/sluice.volume                    marker: without it the root is refused, it may be an unmounted mount point
//! <root>/sluice.volumes sluice.placing/   with several volumes: their names, locks for placing accounts; see `placement.rs`
//! <root>/<h1>/<h2>/<address>/             an account, which is its INBOX; `.A.B` inside is the mailbox A/B
//!   cur/ new/ tmp/                        messages, CRLF line ends kept; see `file_name.rs` for names
//!   sluice.uidvalidity  sluice.keywords   truth: small, synced, replaced by rename
//!   sluice.lock                           flock: one writer
//!   sluice.index + sluice.journal         cache: snapshot and what came after; see `snapshot.rs`, `record.rs`
//!   sluice.cache                          cache: summaries
//!   sluice.quota                          cache: sums of the mailboxes, in the account alone
//! ```
//!
//! # Promises and failures
//! - A delivery that returned `Ok` is on disk: file and name are synced, and the name says all that its record says. The same id again is a duplicate,
//!   also after the message was moved or expunged here (not when another program removed its file). A delivery that
//!   returned an error may be tried again.
//! - Files are truth. An index, journal or cache that is missing, torn or damaged is made anew from the files under
//!   the lock, with the same UIDs, and a log line. Numbers go on behind the block reserved in `sluice.uidvalidity`.
//! - Nothing is shown to a caller before it is synced, so no number that anybody saw is ever given again.
//! - Flag changes and expunges are answered when their journal record is synced; names and files follow at once when
//!   they are few, else by [`Store::tick`] or [`Store::close`], or by whoever opens the mailbox after a crash.
//! - A sync that failed condemns the file: a message is thrown away and reported, a journal is written anew.
//! - Errors of rename and link are settled by looking at what is there.
//! - A name missing in a listing is looked for again before its message counts as removed by another program.
//! - On a network file system any number of machines may do all of this at once; what is done for it is in
//!   `docs/decisions/011-nfs-discipline.md`, and `examples/soak` proves it.
//! - The lock can't be had in time: a delivery is written the plain Maildir way; other operations say `LockTimeout`.

mod account;
mod append_file;
mod batch;
mod cache;
mod codec;
mod config;
mod error;
mod file_name;
mod flags;
mod fs;
mod items;
mod journal;
mod keywords;
mod layout;
mod lock;
mod mailbox;
mod mailbox_name;
mod metrics;
mod migrate;
mod mount;
mod nodes;
mod owed;
mod placement;
mod probe;
mod record;
mod shared_body;
mod snapshot;
mod special_use;
mod state;
mod store;
mod summary;
mod threads;
mod transfer;
mod uid_validity;
mod usage;
mod view;
mod volume;
mod words;

pub use account::{Account, MailboxInfo};
pub use batch::{Filing, Patience};
pub use config::{Config, VolumeConfig};
pub use error::StoreError;
pub use file_name::fuzz_file_name;
pub use flags::Flags;
pub use fs::{DirectoryItem, FileKind, FileMeta, Free, Fs, FsFile, RealFs};
pub use items::Entry;
pub use journal::fuzz_journal;
pub use mailbox::{Check, Difference, Finding, Mailbox, MailboxStats};
pub use mailbox_name::{MailboxName, MailboxNameError};
pub use migrate::{MigrateError, Migrated, fuzz_uid_list};
pub use probe::{Probed, Verdict, probe};
pub use snapshot::fuzz_snapshot;
pub use special_use::SpecialUse;
pub use store::Store;
pub use summary::{
    Fields, MailAddress, Parameters, Part, PartKind, Summary, fuzz_summary, parse as parse_summary,
};
pub use transfer::Transferred;
pub use view::View;
pub use volume::VolumeState;
pub use words::{Copied, Delivered, Delivery, FlagChange, MailboxStatus, ModSeq, Stored, Uid, UidValidity};

#[cfg(test)]
mod tests;
