//! How a command ends: the tagged answer. The only place that turns an error into wire text.

use std::borrow::Cow;
use std::io;

use imap_proto::{FrameError, ParseError};
use store::StoreError;

use crate::login::LoginError;
use crate::work::WorkError;

/// A status response without its tag (RFC 3501 §7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) condition: Condition,
    /// The response code without its brackets.
    pub(crate) code: Option<Cow<'static, str>>,
    pub(crate) text: Cow<'static, str>,
    /// What the goodbye says that follows, when the session can't go on.
    pub(crate) goodbye: Option<&'static str>,
}

/// What a client hears whose mail went to another volume while it was signed in.
pub(crate) const MOVED: &str = "The mail is in another place now, connect again";

/// What a status response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Ok,
    No,
    Bad,
}

impl Condition {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::No => "no",
            Self::Bad => "bad",
        }
    }
}

impl Reply {
    const fn new(condition: Condition, text: Cow<'static, str>) -> Self {
        Self { condition, code: None, text, goodbye: None }
    }

    pub(crate) fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Condition::Ok, text.into())
    }

    pub(crate) fn no(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Condition::No, text.into())
    }

    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Condition::Bad, text.into())
    }

    #[must_use]
    pub(crate) fn with_code(self, code: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// The response with its tag, or `*`.
    pub(crate) fn encode(&self, tag: &str, out: &mut Vec<u8>) {
        for part in [tag, " ", self.condition.as_str(), " "] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(code) = &self.code {
            out.push(b'[');
            out.extend_from_slice(code.as_bytes());
            out.extend_from_slice(b"] ");
        }
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// What a client that does something impossible in this state is told.
pub(crate) const WRONG_STATE: &str = "The command is not allowed now";

impl From<WorkError> for Reply {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Blocking(error) => {
                tracing::warn!(%error, "a command waited too long for the store");
                Self::no("The server is busy, try again").with_code("UNAVAILABLE")
            }
            WorkError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Reply {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::AlreadyExists => Self::no("The mailbox already exists").with_code("ALREADYEXISTS"),
            StoreError::InboxIsPermanent => Self::no("INBOX can't be deleted").with_code("CANNOT"),
            StoreError::HasChildren => Self::no("The mailbox has child mailboxes").with_code("CANNOT"),
            StoreError::Name(_) => Self::no("The mailbox name is not allowed").with_code("CANNOT"),
            StoreError::NoSuchMailbox => Self::no("No such mailbox").with_code("NONEXISTENT"),
            StoreError::Gone => Self { goodbye: Some(MOVED), ..Self::no("The mail is in another place now") }
                .with_code("UNAVAILABLE"),
            StoreError::VolumeFull(volume) => {
                tracing::warn!(volume, "the volume is full");
                Self::no("There is no space left").with_code("OVERQUOTA")
            }
            StoreError::NoSuchMessage => {
                Self::no("A message is not there any more").with_code("EXPUNGEISSUED")
            }
            // RFC 9208 §4.4
            StoreError::OverQuota { .. } => Self::no(error.to_string()).with_code("OVERQUOTA"),
            StoreError::Limit(what) => Self::no(format!("A limit is reached: {what}")).with_code("LIMIT"),
            StoreError::LockTimeout => Self::no("The mailbox is in use, try again").with_code("INUSE"),
            StoreError::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                tracing::error!(error = ?error, "the store is full");
                Self::no("There is no space left").with_code("OVERQUOTA")
            }
            _ => {
                tracing::warn!(error = ?error, "the store failed");
                Self::no("The mail store is not available, try again").with_code("UNAVAILABLE")
            }
        }
    }
}

impl From<LoginError> for Reply {
    fn from(error: LoginError) -> Self {
        match error {
            // One answer for a wrong name, a wrong password and too many of them.
            LoginError::Refused | LoginError::Throttled => {
                Self::no("Wrong name or password").with_code("AUTHENTICATIONFAILED")
            }
            LoginError::Unavailable => {
                Self::no("Logins can't be checked now, try again").with_code("UNAVAILABLE")
            }
        }
    }
}

impl From<ParseError> for Reply {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Charset => {
                Self::no("The charset is not supported").with_code("BADCHARSET (US-ASCII UTF-8)")
            }
            error => Self::bad(capitalised(&error.to_string())),
        }
    }
}

impl From<FrameError> for Reply {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::LiteralTooLarge { append: true, .. } => {
                Self::no("The message is too large").with_code("TOOBIG")
            }
            error => Self::bad(capitalised(&error.to_string())),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
