//! The words under which a session's events are counted.

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// The connection broke.
    Broken,
    /// No command in time.
    CommandTimeout,
    /// No more of a message in time.
    DataTimeout,
    /// The process ends.
    Drained,
    /// The client spoke before the greeting.
    EarlyTalker,
    /// The client closed without QUIT.
    Gone,
    /// No TLS.
    Handshake,
    /// LMTP from an address that may not use it.
    NotAllowed,
    /// Another protocol.
    NotSmtp,
    /// Its address has too many connections.
    PerAddressLimit,
    /// QUIT.
    Quit,
    /// The client did what a session does not survive.
    Refused,
    /// The client does not take its answers.
    ReplyTimeout,
    /// A wait that has not got its own word yet.
    Timeout,
    /// A message below the least data rate.
    TooSlow,
    /// The listener has too many connections, or keeps the rest for others.
    TotalLimit,
}

impl End {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::CommandTimeout => "command-timeout",
            Self::DataTimeout => "data-timeout",
            Self::Drained => "drained",
            Self::EarlyTalker => "early-talker",
            Self::Gone => "gone",
            Self::Handshake => "handshake",
            Self::NotAllowed => "not-allowed",
            Self::NotSmtp => "not-smtp",
            Self::PerAddressLimit => "per-address-limit",
            Self::Quit => "quit",
            Self::Refused => "refused",
            Self::ReplyTimeout => "reply-timeout",
            Self::Timeout => "timeout",
            Self::TooSlow => "too-slow",
            Self::TotalLimit => "total-limit",
        }
    }
}

/// Which command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    Auth,
    BadLine,
    Bdat,
    Data,
    Ehlo,
    Helo,
    Lhlo,
    Mail,
    Noop,
    Other,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
}

impl Command {
    pub(crate) const ALL: [Self; 15] = [
        Self::Auth,
        Self::BadLine,
        Self::Bdat,
        Self::Data,
        Self::Ehlo,
        Self::Helo,
        Self::Lhlo,
        Self::Mail,
        Self::Noop,
        Self::Other,
        Self::Quit,
        Self::Rcpt,
        Self::Rset,
        Self::StartTls,
        Self::Vrfy,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::BadLine => "bad-line",
            Self::Bdat => "bdat",
            Self::Data => "data",
            Self::Ehlo => "ehlo",
            Self::Helo => "helo",
            Self::Lhlo => "lhlo",
            Self::Mail => "mail",
            Self::Noop => "noop",
            Self::Other => "other",
            Self::Quit => "quit",
            Self::Rcpt => "rcpt",
            Self::Rset => "rset",
            Self::StartTls => "starttls",
            Self::Vrfy => "vrfy",
        }
    }

    /// The command that a line begins with.
    pub(crate) fn of(line: &[u8]) -> Self {
        let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let found =
            Self::ALL.into_iter().find(|command| verb.eq_ignore_ascii_case(command.name().as_bytes()));
        found.unwrap_or(Self::Other)
    }
}

/// How a login went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Login {
    Accepted,
    Malformed,
    Refused,
    Throttled,
    Unavailable,
}

impl Login {
    pub(crate) const ALL: [Self; 5] =
        [Self::Accepted, Self::Malformed, Self::Refused, Self::Throttled, Self::Unavailable];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a sender, a recipient or a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    BareCrOrLf,
    ChecksTooSlow,
    DirectoryUnavailable,
    Filtered,
    HeaderTooBig,
    LineTooLong,
    Loop,
    MessageTooBig,
    NotConverted,
    NotLocal,
    Memory,
    Nul,
    QueueFailed,
    QueueFull,
    SenderNotYours,
    UnknownRecipient,
}

impl Refused {
    pub(crate) const ALL: [Self; 16] = [
        Self::BareCrOrLf,
        Self::ChecksTooSlow,
        Self::DirectoryUnavailable,
        Self::Filtered,
        Self::HeaderTooBig,
        Self::LineTooLong,
        Self::Loop,
        Self::MessageTooBig,
        Self::NotConverted,
        Self::NotLocal,
        Self::Memory,
        Self::Nul,
        Self::QueueFailed,
        Self::QueueFull,
        Self::SenderNotYours,
        Self::UnknownRecipient,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BareCrOrLf => "bare-cr-or-lf",
            Self::ChecksTooSlow => "checks-too-slow",
            Self::DirectoryUnavailable => "directory-unavailable",
            Self::Filtered => "filtered",
            Self::HeaderTooBig => "header-too-big",
            Self::LineTooLong => "line-too-long",
            Self::Loop => "loop",
            Self::MessageTooBig => "message-too-big",
            Self::NotConverted => "not-converted",
            Self::NotLocal => "not-local",
            Self::Memory => "memory",
            Self::Nul => "nul",
            Self::QueueFailed => "queue-failed",
            Self::QueueFull => "queue-full",
            Self::SenderNotYours => "sender-not-yours",
            Self::UnknownRecipient => "unknown-recipient",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_by_their_verb() {
        for (line, expected) in [
            (&b"mail FROM:<>"[..], Command::Mail),
            (b"STARTTLS", Command::StartTls),
            (b"", Command::Other),
            (b"ETRN x", Command::Other),
            (b"bdat 5 LAST", Command::Bdat),
        ] {
            assert_eq!(Command::of(line), expected);
        }
    }
}
