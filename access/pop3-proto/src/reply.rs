//! What a server answers.

use std::fmt;

/// Why something failed, for programs (RFC 2449 §8, RFC 3206 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseCode {
    /// The credentials are the problem.
    Auth,
    /// Another session has the maildrop.
    InUse,
    /// A failure of the system that a person has to mend.
    SysPerm,
    /// A failure of the system that passes.
    SysTemp,
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auth => "[AUTH]",
            Self::InUse => "[IN-USE]",
            Self::SysPerm => "[SYS/PERM]",
            Self::SysTemp => "[SYS/TEMP]",
        })
    }
}

/// One reply, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    text: String,
}

impl Reply {
    /// `+OK text`.
    pub fn ok(text: impl fmt::Display) -> Self {
        Self { text: format!("+OK {text}\r\n") }
    }

    /// `-ERR text`.
    pub fn err(text: impl fmt::Display) -> Self {
        Self { text: format!("-ERR {text}\r\n") }
    }

    /// `-ERR [CODE] text`.
    pub fn err_with(code: ResponseCode, text: impl fmt::Display) -> Self {
        Self::err(format_args!("{code} {text}"))
    }

    /// `+ challenge`, in a SASL exchange (RFC 5034 §4).
    pub fn challenge(base64: &str) -> Self {
        Self { text: format!("+ {base64}\r\n") }
    }

    /// `+OK text`, then `lines`, none of which begins with a dot, then the dot.
    pub(crate) fn lines(text: &str, lines: &[&str]) -> Self {
        let mut reply = Self::ok(text);
        for line in lines {
            reply.text += line;
            reply.text += "\r\n";
        }
        reply.text += ".\r\n";
        reply
    }

    /// Whether it says `-ERR`.
    pub fn is_err(&self) -> bool {
        self.text.starts_with('-')
    }

    /// The octets to send.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}
