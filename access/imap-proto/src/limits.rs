//! What a peer may make us hold. There is no `Default`: the access room's configuration decides.

/// Limits of one command's octets. A session uses a small set before login and a larger one after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Octets of one line without its line end, the text between literals included each for itself.
    pub line_max: usize,
    /// Octets of one literal that is no message of APPEND.
    pub literal_max: u64,
    /// Octets of a literal of APPEND; 0 gives APPEND no larger literals than others (before login).
    pub message_max: u64,
    /// Octets of one literal that the client sends without waiting: `u64::MAX` for LITERAL+, 4,096 for
    /// LITERAL- (RFC 7888 §5).
    pub non_sync_literal_max: u64,
    /// Literals in one command.
    pub literals_max: usize,
    /// Octets of all lines and literals of one command; APPEND may have `message_max` more.
    pub command_max: u64,
    /// Octets of a refused command that are read and thrown away to find its end; the connection must close when it is longer.
    pub discard_max: u64,
    /// Quirk `lone-lf`: a line feed without a carriage return ends a line. Off, it is an error.
    pub lone_line_feed: bool,
}

impl FrameLimits {
    /// Before login: 8 KiB in all.
    pub const BEFORE_LOGIN: Self = Self {
        line_max: 8 * 1024,
        literal_max: 1024,
        message_max: 0,
        non_sync_literal_max: 1024,
        literals_max: 4,
        command_max: 8 * 1024,
        discard_max: 64 * 1024,
        lone_line_feed: false,
    };
}

/// Limits of one command's parts. All work and memory of the parser is bounded by these and by the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLimits {
    /// Parentheses and NOTs within each other in SEARCH; numbers in `BODY[1.2.3]`.
    pub nesting_max: usize,
    /// Ranges in all sequence sets of one command, before they are joined.
    pub ranges_max: usize,
    /// Search keys in one command, each word of it counted.
    pub search_keys_max: usize,
    /// Members of any other list: flags, FETCH items, header names, STATUS items, patterns.
    pub list_max: usize,
    /// Quirk `raw-utf8-mailbox`: mailbox names may be UTF-8 beside modified UTF-7. To be set once the client has enabled UTF8=ACCEPT or IMAP4rev2.
    pub utf8_mailboxes: bool,
}
