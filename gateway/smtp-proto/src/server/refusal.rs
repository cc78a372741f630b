//! What the protocol itself refuses, and in which words.

use crate::{CommandError, FrameError, ParameterError, PathError, Reply};

/// Why a command is refused before anybody is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A login is wanted first.
    #[error("not logged in")]
    AuthRequired,
    /// A login is under way or was made.
    #[error("already logged in")]
    AuthTwice,
    /// A name that is not ASCII.
    #[error("a client's name beyond ASCII")]
    ClientName,
    /// The login was broken off.
    #[error("login broken off")]
    AuthCancelled,
    /// The mechanism is not offered.
    #[error("unknown mechanism")]
    AuthMechanism,
    /// The line was no command.
    #[error("no command")]
    Command(CommandError),
    /// Encryption is wanted first.
    #[error("not encrypted")]
    EncryptionRequired,
    /// The line was no line.
    #[error("no line")]
    Frame(FrameError),
    /// The caller broke the order of questions and answers.
    #[error("out of step")]
    OutOfStep,
    /// The message is announced as larger than we take.
    #[error("too big")]
    MessageTooBig,
    /// A command or parameter of an extension that is not offered.
    #[error("{0} is not offered")]
    NotOffered(&'static str),
    /// A parameter of an extension that is not offered.
    #[error("a parameter is not offered")]
    ParameterNotOffered,
    /// Octets came behind a command that must be waited for.
    #[error("improper pipelining")]
    Pipelining,
    /// A command in the wrong place; what should have come.
    #[error("out of order: {0}")]
    Sequence(&'static str),
    /// No recipient was accepted.
    #[error("no recipients")]
    NoRecipients,
    /// More commands without mail than the budget.
    #[error("too many commands")]
    TooManyCommands,
    /// More refusals than the budget.
    #[error("too many errors")]
    TooManyErrors,
    /// More failed logins than the budget.
    #[error("too many failed logins")]
    TooManyLogins,
    /// More recipients than the limit.
    #[error("too many recipients")]
    TooManyRecipients,
    /// More transactions than the limit.
    #[error("too many transactions")]
    TooManyTransactions,
    /// An address beyond ASCII without SMTPUTF8.
    #[error("SMTPUTF8 was not asked for")]
    Utf8,
    /// The same, of a sender.
    #[error("SMTPUTF8 was not asked for")]
    Utf8Sender,
}

impl Refusal {
    /// Whether nothing that follows can be trusted.
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Frame(error) => error.is_fatal(),
            Self::Command(CommandError::Chunk | CommandError::NotSmtp)
            | Self::OutOfStep
            | Self::Pipelining
            | Self::TooManyTransactions => true,
            _ => false,
        }
    }

    /// What the client is told.
    pub fn reply(&self) -> Reply {
        let (code, enhanced, text) = match self {
            Self::AuthRequired => (530, (5, 7, 0), "Authentication required"),
            Self::AuthTwice => (503, (5, 5, 1), "Already authenticated"),
            Self::ClientName => (501, (5, 5, 4), "A mail system has a name in ASCII"),
            Self::AuthCancelled => (501, (5, 7, 0), "Authentication cancelled"),
            Self::AuthMechanism => (504, (5, 5, 4), "Unknown authentication mechanism"),
            Self::Command(error) => return command(error),
            Self::EncryptionRequired => (538, (5, 7, 11), "Encryption required: use STARTTLS first"),
            Self::Frame(error) => return frame(*error),
            Self::OutOfStep => (421, (4, 3, 0), "Internal error, closing connection"),
            Self::MessageTooBig => (552, (5, 3, 4), "Message size exceeds the limit"),
            Self::NotOffered(name) => {
                return Reply::enhanced(502, (5, 5, 1), format!("{name} is not offered"));
            }
            Self::ParameterNotOffered => (555, (5, 5, 4), "Parameter not offered"),
            Self::Pipelining => (554, (5, 5, 0), "Improper use of command pipelining"),
            Self::Sequence(text) => (503, (5, 5, 1), *text),
            Self::NoRecipients => (554, (5, 5, 1), "No valid recipients"),
            Self::TooManyCommands => (421, (4, 7, 0), "Too many commands without mail, closing connection"),
            Self::TooManyErrors => (421, (4, 7, 0), "Too many errors, closing connection"),
            Self::TooManyLogins => (421, (4, 7, 0), "Too many failed logins, closing connection"),
            Self::TooManyRecipients => (452, (4, 5, 3), "Too many recipients, send the rest separately"),
            Self::TooManyTransactions => (
                421,
                (4, 7, 0),
                "Too many messages in one session, send the rest in another, closing connection",
            ),
            // RFC 6531 §3.5: X.6.7 for an address that needs SMTPUTF8.
            Self::Utf8 => (553, (5, 6, 7), "The address needs SMTPUTF8"),
            Self::Utf8Sender => (550, (5, 6, 7), "The address needs SMTPUTF8"),
        };
        Reply::enhanced(code, enhanced, text)
    }
}

fn frame(error: FrameError) -> Reply {
    let text = match error {
        FrameError::BareCr => "A line ends with CRLF: bare CR received, closing connection",
        FrameError::BareLf => "A line ends with CRLF: bare LF received, closing connection",
        FrameError::Nul => "A command holds no NUL",
        FrameError::TooLong => "Line too long",
    };
    Reply::enhanced(500, (5, 5, 2), text)
}

fn command(error: &CommandError) -> Reply {
    let (code, enhanced, text) = match error {
        CommandError::Argument(name) => {
            return Reply::enhanced(501, (5, 5, 4), format!("Syntax: {}", syntax(name)));
        }
        CommandError::Chunk => (501, (5, 5, 4), "Syntax: BDAT size [LAST], closing connection"),
        CommandError::Characters => (500, (5, 5, 2), "A command is printable UTF-8 text"),
        CommandError::NotSmtp => (554, (5, 5, 1), "This is a mail server, closing connection"),
        CommandError::Parameter(ParameterError::Unknown) => (555, (5, 5, 4), "Parameter not known"),
        CommandError::Parameter(ParameterError::Repeated) => (501, (5, 5, 4), "Parameter given twice"),
        CommandError::Parameter(ParameterError::Syntax) => (501, (5, 5, 4), "Parameter not well formed"),
        CommandError::Recipient(error) => return path(error, (5, 1, 3)),
        CommandError::Sender(error) => return path(error, (5, 1, 7)),
        CommandError::Unknown => (500, (5, 5, 1), "Command not recognised"),
    };
    Reply::enhanced(code, enhanced, text)
}

fn path(error: &PathError, enhanced: (u8, u16, u16)) -> Reply {
    let text = match error {
        PathError::Address(_) => "The address is not valid",
        PathError::Brackets => "An address stands in angle brackets: <user@example.test>",
        PathError::Null => "The null path is no recipient",
        PathError::Route => "The source route is not valid",
        PathError::TooLong => "The path is too long",
    };
    Reply::enhanced(501, enhanced, text)
}

fn syntax(command: &str) -> &'static str {
    match command {
        "AUTH" => "AUTH mechanism [initial-response]",
        "EHLO" => "EHLO hostname",
        "HELO" => "HELO hostname",
        "LHLO" => "LHLO hostname",
        "MAIL" => "MAIL FROM:<address> [parameters]",
        "RCPT" => "RCPT TO:<address> [parameters]",
        "VRFY" => "VRFY name",
        _ => "this command takes no argument",
    }
}
