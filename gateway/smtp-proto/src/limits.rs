//! What one peer may ask of one session. No defaults here: the role's configuration names each value.

/// Limits of command lines.
#[derive(Debug, Clone, Copy)]
pub struct LineLimits {
    /// Octets in a command line with its CRLF (RFC 5321 §4.5.3.1.4 asks for at least 512, more with extensions).
    pub command_max: usize,
    /// Octets in a line of an AUTH exchange with its CRLF (RFC 4954 §4.5.3.1.6 asks for 12,288).
    pub auth_max: usize,
}

/// Limits of the text behind DATA.
#[derive(Debug, Clone, Copy)]
pub struct DataLimits {
    /// Octets in one line without its CRLF (RFC 5321 §4.5.3.1.6 asks for at least 998).
    pub line_max: usize,
    /// Octets in the whole message.
    pub message_max: u64,
}

/// Limits of a session.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Recipients of one transaction (RFC 5321 §4.5.3.1.8 asks for at least 100).
    pub recipients_max: usize,
    /// Transactions of one session: what LIMITS announces as MAILMAX (RFC 9422).
    pub transactions_max: u32,
    /// Refusals (5xx) before the session is closed with 421.
    pub errors_max: u32,
    /// Commands that move no mail (NOOP, RSET, VRFY, HELP, EHLO again) before the session is closed with 421;
    /// a finished message sets the count back.
    pub idle_commands_max: u32,
    /// Octets in a message: what SIZE announces, and MAIL's SIZE is held against (RFC 1870).
    pub message_max: u64,
    /// AUTH exchanges that may fail before the session is closed with 421.
    pub auth_failures_max: u32,
}
