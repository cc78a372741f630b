//! What is wrong with a command.

use crate::Tag;

/// A command that is framed and does not parse. The session answers `tag BAD text`, `* BAD text` without a tag,
/// and `NO [BADCHARSET …]` for [`ParseError::Charset`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct CommandError {
    /// The tag, when the line has one.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub error: ParseError,
}

/// Why a command does not parse. `Display` is fit for the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The line does not begin with a tag.
    #[error("the command does not begin with a tag")]
    Tag,
    /// There is no command behind the tag.
    #[error("the command is missing")]
    MissingCommand,
    /// A name that is no command.
    #[error("unknown command")]
    UnknownCommand,
    /// Something else stands where the named thing should.
    #[error("{0} is expected here")]
    Expected(&'static str),
    /// The command is complete and goes on.
    #[error("there is text behind the end of the command")]
    Trailing,
    /// A number that is zero where zero is not allowed, or too large.
    #[error("the number is out of range")]
    Number,
    /// No such day or time.
    #[error("there is no such date or time")]
    Date,
    /// A flag that begins with a backslash and is none of the system flags.
    #[error("unknown system flag")]
    SystemFlag,
    /// A keyword or another word is longer than its limit.
    #[error("a word is too long")]
    WordTooLong,
    /// The mailbox name is not modified UTF-7.
    #[error("the mailbox name is not valid modified UTF-7")]
    MailboxName,
    /// An option, item or search key that this server does not know.
    #[error("unknown {0}")]
    Unknown(&'static str),
    /// RECURSIVEMATCH or REMOTE alone.
    #[error("RECURSIVEMATCH needs another selection option")]
    RecursiveMatchAlone,
    /// Not base64.
    #[error("the response is not base64")]
    Base64,
    /// A text that must be UTF-8 and is not.
    #[error("the text is not UTF-8")]
    Utf8,
    /// NUL in a string.
    #[error("NUL is not allowed in a string")]
    Nul,
    /// SEARCH names a charset other than US-ASCII and UTF-8: `NO [BADCHARSET (US-ASCII UTF-8)]`.
    #[error("the charset is not supported")]
    Charset,
    /// A limit of [`crate::ParseLimits`] is reached.
    #[error("the command has too many {0}")]
    TooMany(&'static str),
    /// Parentheses, NOTs or body parts are nested too deeply.
    #[error("the command is nested too deeply")]
    TooDeep,
}
