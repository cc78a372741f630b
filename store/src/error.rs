//! What can go wrong, and what it means for the message it hit.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envelope::Disposition;

use crate::MailboxNameError;
use crate::fs::is_stale;

/// Why an operation on the store failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another program renames files so fast that it can't be told which messages are there.
    #[error("another program is changing the mailbox too fast")]
    Busy,
    /// CREATE or RENAME onto a mailbox that is there.
    #[error("the mailbox already exists")]
    AlreadyExists,
    /// INBOX is always there (RFC 3501 §5.1).
    #[error("INBOX can't be deleted")]
    InboxIsPermanent,
    /// DELETE of a level that only exists because of its children.
    #[error("the mailbox has child mailboxes")]
    HasChildren,
    /// A file operation failed.
    #[error("failed to {step} `{path}`")]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Another process held the mailbox for too long.
    #[error("the mailbox's lock could not be had within its deadline")]
    LockTimeout,
    /// The account would hold more than it may.
    #[error("the mailbox is full: {used} of {limit}")]
    OverQuota {
        /// What it holds.
        used: String,
        /// What it may hold.
        limit: String,
    },
    /// The volume is below `free_space_min` or `free_files_min`.
    #[error("the volume `{0}` is full")]
    VolumeFull(String),
    /// The account's mail is on another volume now, or removed.
    #[error("the account's mail is not where it was: connect again")]
    Gone,
    /// Another node uses a volume that this one does not know.
    #[error("mail is kept on the volume `{0}` too, which `store.volumes` of this node does not name")]
    UnknownVolume(String),
    /// Not a mailbox name.
    #[error("the mailbox name is not allowed: {0}")]
    Name(#[from] MailboxNameError),
    /// It is not there, or not any more.
    #[error("no such mailbox")]
    NoSuchMailbox,
    /// It is not there, or not any more.
    #[error("no such message")]
    NoSuchMessage,
    /// The marker file at the root is missing: an unmounted mount point must not look like an empty store.
    #[error("the store at `{0}` is not mounted (its marker file is missing)")]
    NotMounted(String),
    /// A named limit of the configuration.
    #[error("a limit is reached: {0}")]
    Limit(&'static str),
    /// A control file says what it can't say.
    #[error("the control file `{path}` is damaged: {problem}")]
    Damaged {
        /// Which.
        path: String,
        /// How.
        problem: &'static str,
    },
}

/// The step of making a second name for a body.
pub(crate) const LINK: &str = "link to";

impl StoreError {
    /// What a delivery that failed so should do. Nothing here is final: mail is never refused because of a disk.
    pub fn disposition(&self) -> Disposition {
        let seconds = match self {
            Self::Busy | Self::LockTimeout => 5,
            Self::Name(_) | Self::AlreadyExists | Self::InboxIsPermanent | Self::HasChildren => {
                return Disposition::Reject;
            }
            _ => 60,
        };
        Disposition::Defer { after: Duration::from_secs(seconds) }
    }

    /// Whether the system said that the file is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the file system can't give the file another name there: too many, another volume, or none at all.
    pub(crate) fn is_link_refused(&self) -> bool {
        use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
        matches!(self, Self::Io { step: LINK, source, .. }
            if matches!(source.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported))
    }

    /// Whether another machine removed or replaced the file while we had it open.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_stale(source))
    }
}

/// Names the step and the file of an I/O error.
pub(crate) trait At<T> {
    fn at(self, step: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, step: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io {
            step,
            path: path.display().to_string(),
            source: Arc::new(source),
        })
    }
}
