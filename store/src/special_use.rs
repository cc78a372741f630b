//! Mailboxes with a purpose (RFC 6154), known by their names.

use crate::MailboxName;

/// RFC 6154 uses; every account gets Drafts, Junk, Sent and Trash at creation, Archive when made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    /// `\Archive`.
    Archive,
    /// `\Drafts`.
    Drafts,
    /// `\Junk`.
    Junk,
    /// `\Sent`.
    Sent,
    /// `\Trash`.
    Trash,
}

impl SpecialUse {
    pub(crate) const ALL: [Self; 5] = [Self::Archive, Self::Drafts, Self::Junk, Self::Sent, Self::Trash];
    /// Made with the account.
    pub(crate) const DEFAULT: [Self; 4] = [Self::Drafts, Self::Junk, Self::Sent, Self::Trash];

    /// The name of its mailbox.
    pub const fn mailbox_name(self) -> &'static str {
        match self {
            Self::Archive => "Archive",
            Self::Drafts => "Drafts",
            Self::Junk => "Junk",
            Self::Sent => "Sent",
            Self::Trash => "Trash",
        }
    }

    pub(crate) fn of(name: &MailboxName) -> Option<Self> {
        Self::ALL.into_iter().find(|special| special.mailbox_name() == name.as_str())
    }
}
