//! Commands: one complete line in, one value out.

mod auth;
mod bdat;
mod hello;
mod mail;
mod rcpt;
mod vrfy;

use std::borrow::Cow;

pub use auth::Auth;
pub use bdat::Bdat;
pub use hello::ClientName;
pub use mail::{BodyType, Mail};
pub use rcpt::Rcpt;
pub use vrfy::Vrfy;

use crate::{ParameterError, PathError};

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Log in (RFC 4954).
    Auth(Auth),
    /// A chunk of the message (RFC 3030).
    Bdat(Bdat),
    /// The message follows.
    Data,
    /// Who the client is, with extensions.
    Ehlo(ClientName),
    /// Who is on this list.
    Expn,
    /// Who the client is, without extensions.
    Helo(ClientName),
    /// What can be asked.
    Help,
    /// From whom.
    Mail(Mail),
    /// Who the client is, in LMTP (RFC 2033 §4.1).
    Lhlo(ClientName),
    /// Nothing.
    Noop,
    /// A command of RFC 5321's forerunners or of an extension that is not offered, by its name.
    NotOffered(&'static str),
    /// The end.
    Quit,
    /// To whom.
    Rcpt(Rcpt),
    /// Forget the transaction.
    Rset,
    /// Encrypt from here on (RFC 3207).
    StartTls,
    /// Is this somebody.
    Vrfy(Vrfy),
}

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The argument is missing, or there is one where none belongs.
    #[error("the argument of {0} is not well formed")]
    Argument(&'static str),
    /// BDAT without a size that can be read: nobody can say where the commands go on.
    #[error("a chunk without a size")]
    Chunk,
    /// A control character, or octets that are not UTF-8.
    #[error("a command is printable text")]
    Characters,
    /// The first word of another protocol, such as `GET`, or of a message, such as `Subject:`.
    #[error("this is not SMTP")]
    NotSmtp,
    /// A parameter of MAIL or RCPT.
    #[error("a parameter is refused")]
    Parameter(#[source] ParameterError),
    /// The path of RCPT.
    #[error("the recipient is not valid")]
    Recipient(#[source] PathError),
    /// The path of MAIL.
    #[error("the sender is not valid")]
    Sender(#[source] PathError),
    /// No such command.
    #[error("the command is not known")]
    Unknown,
}

/// First words of requests of other protocols, which Postfix drops at once too, and of a PROXY header from an address that is
/// no balancer's.
const FOREIGN_VERBS: [&str; 8] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PROXY", "PUT"];

/// Commands that others know and nobody here: old ones, those of extensions that are not offered, and those with which a
/// proxy speaks for somebody else (XCLIENT, XFORWARD), which nobody may.
const NOT_OFFERED: [&str; 13] = [
    "ATRN", "BURL", "ETRN", "MTRK", "ONEX", "SAML", "SEND", "SOML", "TURN", "VERB", "XCLIENT", "XEXCH50",
    "XFORWARD",
];

impl Command {
    /// Parses a line without its CRLF.
    ///
    /// ```abnf
    /// command = verb [SP argument] *WSP             ; RFC 5321 §4.1.1; the verb in any case of letters
    /// ```
    ///
    /// Quirk `trailing-space`: white space at the end is ignored (RFC 5321 §4.1.1: SHOULD).
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let text = match String::from_utf8_lossy(line) {
            Cow::Owned(text) if !is_hello(&text) => return Err(CommandError::Characters),
            text => text,
        };
        let text = text.trim_end_matches([' ', '\t']);
        if text.chars().any(char::is_control) {
            return Err(CommandError::Characters);
        }
        let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
        let verb = verb.to_ascii_uppercase();
        let bare = |command: Self, name| {
            if argument.is_empty() { Ok(command) } else { Err(CommandError::Argument(name)) }
        };
        match verb.as_str() {
            "AUTH" => Auth::parse(argument).map(Self::Auth),
            "BDAT" => Bdat::parse(argument).map(Self::Bdat),
            "DATA" => bare(Self::Data, "DATA"),
            "EHLO" => ClientName::parse(argument).map(Self::Ehlo).ok_or(CommandError::Argument("EHLO")),
            // RFC 5321 §4.1.1.7: what list is asked for is of no interest.
            "EXPN" => Ok(Self::Expn),
            "HELO" => ClientName::parse(argument).map(Self::Helo).ok_or(CommandError::Argument("HELO")),
            "HELP" => Ok(Self::Help),
            "LHLO" => ClientName::parse(argument).map(Self::Lhlo).ok_or(CommandError::Argument("LHLO")),
            "MAIL" => Mail::parse(argument).map(Self::Mail),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => bare(Self::Quit, "QUIT"),
            "RCPT" => Rcpt::parse(argument).map(Self::Rcpt),
            "RSET" => bare(Self::Rset, "RSET"),
            "STARTTLS" => bare(Self::StartTls, "STARTTLS"),
            "VRFY" => Vrfy::parse(argument).map(Self::Vrfy),
            // A header field: a message is being read as commands.
            other if FOREIGN_VERBS.contains(&other) || other.contains(':') => Err(CommandError::NotSmtp),
            other => {
                let name = NOT_OFFERED.into_iter().find(|name| *name == other);
                name.map(Self::NotOffered).ok_or(CommandError::Unknown)
            }
        }
    }
}

/// Quirk `client-name`: machines that call themselves something in an old character set are served.
fn is_hello(text: &str) -> bool {
    let verbs = ["EHLO ", "HELO ", "LHLO "];
    text.get(..5).is_some_and(|start| verbs.into_iter().any(|verb| start.eq_ignore_ascii_case(verb)))
}

/// What follows `keyword` and a colon, in any case of letters.
/// Quirk `space-after-colon`: spaces behind the colon are ignored; many clients send one.
fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let head = argument.get(..keyword.len())?;
    let rest = argument.get(keyword.len()..)?;
    head.eq_ignore_ascii_case(keyword).then(|| rest.trim_start_matches(' '))
}

pub(crate) fn fuzz(input: &[u8]) {
    match Command::parse(input) {
        Ok(Command::Mail(mail)) => {
            let again = Command::parse(format!("MAIL FROM:<{}>", mail.reverse_path).as_bytes());
            assert!(
                matches!(again, Ok(Command::Mail(printed)) if printed.reverse_path == mail.reverse_path),
                "a printed sender is the same sender"
            );
        }
        Ok(Command::Ehlo(name) | Command::Helo(name) | Command::Lhlo(name)) => {
            assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "a name is safe to print");
        }
        Ok(_) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[u8], expected: Result<Command, CommandError>) {
        assert_eq!(Command::parse(line), expected, "{}", String::from_utf8_lossy(line));
    }

    #[test]
    fn quirk_client_name_in_an_old_character_set() {
        let Ok(Command::Ehlo(name)) = Command::parse(b"ehlo B\xfcro-PC") else { panic!("an EHLO") };
        assert_eq!(name.as_str(), "B?ro-PC");
        check(b"MAIL FROM:<b\xfcro@x.test>", Err(CommandError::Characters));
        check(b"EHLO \xfc\x01", Err(CommandError::Characters));
        check(b"E\xfcLO x", Err(CommandError::Characters));
        assert!(!name.is_ascii() && ClientName::parse("pc.test").is_some_and(|name| name.is_ascii()));
    }

    #[test]
    fn verbs() {
        check(b"DATA", Ok(Command::Data));
        check(b"dAtA  \t", Ok(Command::Data));
        check(b"NOOP whatever", Ok(Command::Noop));
        check(b"QUIT", Ok(Command::Quit));
        check(b"rset", Ok(Command::Rset));
        check(b"VRFY a", Ok(Command::Vrfy(Vrfy { needs_utf8: false })));
        check(b"EXPN a", Ok(Command::Expn));
        check(b"HELP", Ok(Command::Help));
        check(b"STARTTLS", Ok(Command::StartTls));
    }

    #[test]
    fn refused() {
        check(b"", Err(CommandError::Unknown));
        check(b" NOOP", Err(CommandError::Unknown));
        check(b"ETRN 'x", Ok(Command::NotOffered("ETRN")));
        check(b"turn", Ok(Command::NotOffered("TURN")));
        check(b"XCLIENT ADDR=127.0.0.1", Ok(Command::NotOffered("XCLIENT")));
        check(b"XFORWARD NAME=x", Ok(Command::NotOffered("XFORWARD")));
        check(b"XCLIENTS", Err(CommandError::Unknown));
        check(b"BDAT -1", Err(CommandError::Chunk));
        check(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2", Err(CommandError::NotSmtp));
        check(b"GET / HTTP/1.1", Err(CommandError::NotSmtp));
        check(b"post / HTTP/1.1", Err(CommandError::NotSmtp));
        check(b"DATA now", Err(CommandError::Argument("DATA")));
        check(b"QUIT now", Err(CommandError::Argument("QUIT")));
        check(b"RSET x", Err(CommandError::Argument("RSET")));
        check(b"STARTTLS x", Err(CommandError::Argument("STARTTLS")));
        check(b"EHLO", Err(CommandError::Argument("EHLO")));
        check(b"NOOP \x01", Err(CommandError::Characters));
        check(b"NOOP \xff", Err(CommandError::Characters));
        check(b"NOOP \xc2\x85", Err(CommandError::Characters));
        check(b"MAIL\tFROM:<a@b.test>", Err(CommandError::Characters));
    }

    #[test]
    fn never_panics() {
        for input in [&b"MAIL FROM:"[..], b"RCPT TO:<", b"AUTH ", b"BDAT", b"VRFY", b"MAIL FRO\xc3\xbc:<>"] {
            fuzz(input);
        }
        proptest::proptest!(|(tail in "\\PC{0,40}", verb in "(MAIL FROM:|RCPT TO:|AUTH |BDAT |EHLO |)")| {
            fuzz(format!("{verb}{tail}").as_bytes());
        });
    }
}
