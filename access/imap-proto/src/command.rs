//! Commands as values: what a client asked, with everything that can be checked without a mailbox
//! already checked.

mod fetch;
mod list;
mod search;

use envelope::Secret;

pub use fetch::{Fetch, FetchItem, Partial, Section, SectionText};
pub use list::{List, ListReturn, ListSelection, StatusItem};
pub use search::{Search, SearchKey, SearchReturn};

use crate::{DateTime, Flag, Mailbox, MessageSet, Numbering, SpecialUse, Tag};

/// One complete command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The word that the tagged answer repeats.
    pub tag: Tag,
    /// What is asked.
    pub body: CommandBody,
}

/// What a client asks. Commands are grouped by the state in which they are allowed, as RFC 3501 §6
/// does; the parser takes each of them in any state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandBody {
    // Any state: RFC 3501 §6.1.
    /// `CAPABILITY`
    Capability,
    /// `NOOP`
    Noop,
    /// `LOGOUT`
    Logout,
    /// `ID`: field and value pairs, none for `NIL` (RFC 2971).
    Id(Vec<(String, Option<String>)>),

    // Not authenticated: RFC 3501 §6.2.
    /// `STARTTLS`
    StartTls,
    /// `AUTHENTICATE`
    Authenticate(Authenticate),
    /// `LOGIN`
    Login(Login),

    // Authenticated: RFC 3501 §6.3.
    /// `ENABLE`: capability names in upper case (RFC 5161).
    Enable(Vec<String>),
    /// `SELECT`
    Select(Select),
    /// `EXAMINE`
    Examine(Select),
    /// `CREATE`
    Create(Create),
    /// `DELETE`
    Delete(Mailbox),
    /// `RENAME`
    Rename {
        /// The mailbox that is there.
        from: Mailbox,
        /// Its new name.
        to: Mailbox,
    },
    /// `SUBSCRIBE`
    Subscribe(Mailbox),
    /// `UNSUBSCRIBE`
    Unsubscribe(Mailbox),
    /// `LIST`, plain or extended.
    List(List),
    /// `LSUB`: a [`List`] with one pattern and no options.
    Lsub(List),
    /// `STATUS`
    Status {
        /// The mailbox.
        mailbox: Mailbox,
        /// At least one item, each once.
        items: Vec<StatusItem>,
    },
    /// `APPEND`
    Append(Append),
    /// `NAMESPACE` (RFC 2342).
    Namespace,
    /// `IDLE`: the next line is `DONE` (RFC 2177).
    Idle,

    // Selected: RFC 3501 §6.4.
    /// `CHECK`
    Check,
    /// `CLOSE`
    Close,
    /// `UNSELECT` (RFC 3691).
    Unselect,
    /// `EXPUNGE`
    Expunge,
    /// `UID EXPUNGE` (RFC 4315 §2.1): UIDs.
    UidExpunge(MessageSet),
    /// `SEARCH`, `UID SEARCH`
    Search(Search),
    /// `FETCH`, `UID FETCH`
    Fetch(Fetch),
    /// `STORE`, `UID STORE`
    Store(Store),
    /// `COPY`, `UID COPY`
    Copy(Transfer),
    /// `MOVE`, `UID MOVE` (RFC 6851).
    Move(Transfer),
}

impl CommandBody {
    /// The command's name as the RFC writes it, for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::Id(_) => "ID",
            Self::StartTls => "STARTTLS",
            Self::Authenticate(_) => "AUTHENTICATE",
            Self::Login(_) => "LOGIN",
            Self::Enable(_) => "ENABLE",
            Self::Select(_) => "SELECT",
            Self::Examine(_) => "EXAMINE",
            Self::Create(_) => "CREATE",
            Self::Delete(_) => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Unsubscribe(_) => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub(_) => "LSUB",
            Self::Status { .. } => "STATUS",
            Self::Append(_) => "APPEND",
            Self::Namespace => "NAMESPACE",
            Self::Idle => "IDLE",
            Self::Check => "CHECK",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge => "EXPUNGE",
            Self::UidExpunge(_) => "UID EXPUNGE",
            Self::Search(_) => "SEARCH",
            Self::Fetch(_) => "FETCH",
            Self::Store(_) => "STORE",
            Self::Copy(_) => "COPY",
            Self::Move(_) => "MOVE",
        }
    }
}

/// `LOGIN` (RFC 3501 §6.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name, UTF-8.
    pub user: String,
    /// The password's octets.
    pub password: Secret<Vec<u8>>,
}

/// `AUTHENTICATE` (RFC 3501 §6.2.2, initial response by RFC 4959).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticate {
    /// The SASL mechanism in upper case.
    pub mechanism: String,
    /// The initial response, decoded; `=` on the wire is an empty one.
    pub initial_response: Option<Secret<Vec<u8>>>,
}

/// A line that the client sends after a continuation request of AUTHENTICATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthenticateLine {
    /// `*`: the client gives up.
    Cancel,
    /// The response, decoded.
    Response(Secret<Vec<u8>>),
}

/// `SELECT` and `EXAMINE` (RFC 3501 §6.3.1, parameters by RFC 4466 §2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// The mailbox.
    pub mailbox: Mailbox,
    /// `(CONDSTORE)` (RFC 7162 §3.1.8).
    pub condstore: bool,
}

/// `CREATE` (RFC 3501 §6.3.3, `USE` by RFC 6154 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// The name as given, without a trailing hierarchy delimiter `/`.
    pub mailbox: Mailbox,
    /// `(USE (…))`
    pub special_uses: Vec<SpecialUse>,
}

/// `APPEND` (RFC 3501 §6.3.11).
#[derive(Clone, PartialEq, Eq)]
pub struct Append {
    /// The target.
    pub mailbox: Mailbox,
    /// The new message's flags.
    pub flags: Vec<Flag>,
    /// INTERNALDATE; the time of the command when none.
    pub date_time: Option<DateTime>,
    /// The message's octets, moved out of the frame.
    pub message: Vec<u8>,
}

/// The message's octets don't print.
impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append")
            .field("mailbox", &self.mailbox)
            .field("flags", &self.flags)
            .field("date_time", &self.date_time)
            .field("message_octets", &self.message.len())
            .finish()
    }
}

/// `STORE` (RFC 3501 §6.4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Whether `messages` are UIDs.
    pub numbering: Numbering,
    /// The messages.
    pub messages: MessageSet,
    /// What happens to the flags.
    pub change: StoreChange,
    /// `.SILENT`: no FETCH responses for the change.
    pub silent: bool,
    /// The flags, each once.
    pub flags: Vec<Flag>,
    /// `(UNCHANGEDSINCE n)` (RFC 7162 §3.1.3).
    pub unchanged_since: Option<u64>,
}

/// What STORE does with its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreChange {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// `COPY` and `MOVE` (RFC 3501 §6.4.7, RFC 6851).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Whether `messages` are UIDs.
    pub numbering: Numbering,
    /// The messages.
    pub messages: MessageSet,
    /// The target.
    pub mailbox: Mailbox,
}
