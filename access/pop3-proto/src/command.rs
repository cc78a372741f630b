//! What a client asks for.

use std::fmt;

use envelope::Secret;

/// A command with its arguments.
///
/// ```abnf
/// command = "USER" SP name / "PASS" SP string / "APOP" SP name SP digest     ; RFC 1939 §7
///         / "AUTH" [SP mechanism [SP initial-response]]                      ; RFC 5034 §4
///         / "CAPA" / "STLS"                                                  ; RFC 2449 §5, RFC 2595 §4
///         / "STAT" / "LIST" [SP msg] / "RETR" SP msg / "DELE" SP msg         ; RFC 1939 §5
///         / "NOOP" / "RSET" / "QUIT"
///         / "TOP" SP msg SP n / "UIDL" [SP msg]                              ; RFC 1939 §7
/// msg     = 1*DIGIT
/// n       = 1*DIGIT
/// ```
///
/// Keywords are read without regard to case. Numbers too large to be a message's saturate: they are well-formed, and no
/// message has them (quirk `number-overflow`).
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// `APOP`: known, never offered, since it needs passwords in clear on the server.
    Apop,
    /// Begins a SASL exchange.
    Auth {
        /// The mechanism's name.
        mechanism: Vec<u8>,
        /// The initial response in base64, or `=`.
        initial: Option<Secret<Vec<u8>>>,
    },
    /// `AUTH` alone: which mechanisms are there. Older than RFC 5034, and still asked by clients (quirk `auth-list`).
    AuthList,
    /// What the server can do.
    Capa,
    /// Marks a message as deleted.
    Dele(u32),
    /// The size of one message or all.
    List(Option<u32>),
    /// Nothing.
    Noop,
    /// The password for the name given before: the rest of the line, spaces included.
    Pass(Secret<Vec<u8>>),
    /// The end; in TRANSACTION with the deletions.
    Quit,
    /// A message.
    Retr(u32),
    /// Forgets the deletions.
    Rset,
    /// How many messages, and their octets.
    Stat,
    /// Begins TLS.
    Stls,
    /// A message's header and its first lines.
    Top {
        /// Which message.
        number: u32,
        /// How many lines of the body.
        lines: u64,
    },
    /// The unique id of one message or all.
    Uidl(Option<u32>),
    /// The name to log in with: the rest of the line.
    User(Vec<u8>),
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The arguments are missing, too many or of the wrong form.
    #[error("the arguments are wrong")]
    Arguments,
    /// There is no such command.
    #[error("there is no such command")]
    Unknown,
}

impl Command {
    /// Reads one line without its line end.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let (keyword, rest) = split(line);
        let mut upper = [0; 4];
        let keyword = match upper.get_mut(..keyword.len()) {
            Some(upper) => {
                upper.copy_from_slice(keyword);
                upper.make_ascii_uppercase();
                &*upper
            }
            None => return Err(CommandError::Unknown),
        };
        match keyword {
            b"APOP" => Ok(Self::Apop),
            b"AUTH" => auth(rest),
            b"CAPA" => alone(Self::Capa, rest),
            b"DELE" => one_number(rest).map(Self::Dele),
            b"LIST" => maybe_number(rest).map(Self::List),
            b"NOOP" => alone(Self::Noop, rest),
            b"PASS" => rest.map(|rest| Self::Pass(Secret::new(rest.to_vec()))).ok_or(CommandError::Arguments),
            b"QUIT" => alone(Self::Quit, rest),
            b"RETR" => one_number(rest).map(Self::Retr),
            b"RSET" => alone(Self::Rset, rest),
            b"STAT" => alone(Self::Stat, rest),
            b"STLS" => alone(Self::Stls, rest),
            b"TOP" => top(rest),
            b"UIDL" => maybe_number(rest).map(Self::Uidl),
            b"USER" => {
                let name = rest.filter(|rest| !rest.is_empty());
                name.map(|name| Self::User(name.to_vec())).ok_or(CommandError::Arguments)
            }
            _ => Err(CommandError::Unknown),
        }
    }
}

impl fmt::Debug for Command {
    /// The keyword only: names and passwords don't belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apop => "APOP",
            Self::Auth { .. } | Self::AuthList => "AUTH",
            Self::Capa => "CAPA",
            Self::Dele(_) => "DELE",
            Self::List(_) => "LIST",
            Self::Noop => "NOOP",
            Self::Pass(_) => "PASS",
            Self::Quit => "QUIT",
            Self::Retr(_) => "RETR",
            Self::Rset => "RSET",
            Self::Stat => "STAT",
            Self::Stls => "STLS",
            Self::Top { .. } => "TOP",
            Self::Uidl(_) => "UIDL",
            Self::User(_) => "USER",
        })
    }
}

/// The part before the first space, and the part behind it when there is a space.
fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = text.splitn(2, |octet| *octet == b' ');
    (parts.next().unwrap_or_default(), parts.next())
}

/// Spaces at the end of a line are harmless where no argument can hold one: clients send them (quirk `trailing-space`).
fn trimmed(rest: Option<&[u8]>) -> Option<&[u8]> {
    rest.map(<[u8]>::trim_ascii_end).filter(|rest| !rest.is_empty())
}

fn alone(command: Command, rest: Option<&[u8]>) -> Result<Command, CommandError> {
    if trimmed(rest).is_none() { Ok(command) } else { Err(CommandError::Arguments) }
}

fn auth(rest: Option<&[u8]>) -> Result<Command, CommandError> {
    let Some(rest) = trimmed(rest) else { return Ok(Command::AuthList) };
    let (mechanism, initial) = split(rest);
    let initial = match initial {
        Some(initial) if initial.is_empty() || initial.contains(&b' ') => {
            return Err(CommandError::Arguments);
        }
        initial => initial.map(|initial| Secret::new(initial.to_vec())),
    };
    Ok(Command::Auth { mechanism: mechanism.to_vec(), initial })
}

fn top(rest: Option<&[u8]>) -> Result<Command, CommandError> {
    let (message, lines) = split(trimmed(rest).ok_or(CommandError::Arguments)?);
    let lines = lines.ok_or(CommandError::Arguments)?;
    Ok(Command::Top { number: message_number(message)?, lines: number(lines)? })
}

fn maybe_number(rest: Option<&[u8]>) -> Result<Option<u32>, CommandError> {
    trimmed(rest).map(message_number).transpose()
}

fn one_number(rest: Option<&[u8]>) -> Result<u32, CommandError> {
    message_number(trimmed(rest).ok_or(CommandError::Arguments)?)
}

fn message_number(digits: &[u8]) -> Result<u32, CommandError> {
    number(digits).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

fn number(digits: &[u8]) -> Result<u64, CommandError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(CommandError::Arguments);
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Ok(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Command, CommandError>) {
        assert_eq!(Command::parse(line.as_bytes()), expected, "{line:?}");
    }

    #[test]
    fn commands() {
        check("QUIT", Ok(Command::Quit));
        check("quit ", Ok(Command::Quit));
        check("StAt", Ok(Command::Stat));
        check("NOOP", Ok(Command::Noop));
        check("RSET", Ok(Command::Rset));
        check("CAPA", Ok(Command::Capa));
        check("STLS", Ok(Command::Stls));
        check("LIST", Ok(Command::List(None)));
        check("LIST 2", Ok(Command::List(Some(2))));
        check("UIDL ", Ok(Command::Uidl(None)));
        check("UIDL 007", Ok(Command::Uidl(Some(7))));
        check("RETR 1", Ok(Command::Retr(1)));
        check("DELE 4294967295", Ok(Command::Dele(u32::MAX)));
        check("TOP 1 10", Ok(Command::Top { number: 1, lines: 10 }));
        check("USER mr smith@example.test", Ok(Command::User(b"mr smith@example.test".to_vec())));
        check("PASS  two spaces ", Ok(Command::Pass(Secret::new(b" two spaces ".to_vec()))));
        check("PASS ", Ok(Command::Pass(Secret::new(Vec::new()))));
        check("APOP mrose c4c9334bac560ecc979e58001b3e22fb", Ok(Command::Apop));
        check("AUTH", Ok(Command::AuthList));
        check("AUTH PLAIN", Ok(Command::Auth { mechanism: b"PLAIN".to_vec(), initial: None }));
        let initial = Some(Secret::new(b"=".to_vec()));
        check("auth plain =", Ok(Command::Auth { mechanism: b"plain".to_vec(), initial }));
    }

    #[test]
    fn numbers_too_large_are_numbers() {
        check("RETR 0", Ok(Command::Retr(0)));
        check("RETR 4294967296", Ok(Command::Retr(u32::MAX)));
        check("TOP 1 18446744073709551616", Ok(Command::Top { number: 1, lines: u64::MAX }));
        check(&format!("LIST {}", "9".repeat(200)), Ok(Command::List(Some(u32::MAX))));
    }

    #[test]
    fn wrong_arguments() {
        for line in [
            "QUIT now",
            "STAT 1",
            "NOOP x",
            "RETR",
            "RETR ",
            "RETR -1",
            "RETR +1",
            "RETR x",
            "RETR 1 2",
            "RETR 1.0",
            "DELE",
            "LIST 1 2",
            "UIDL x",
            "TOP",
            "TOP 1",
            "TOP 1 ",
            "TOP 1 -1",
            "TOP 1 2 3",
            "TOP  1 2",
            "USER",
            "USER ",
            "PASS",
            "AUTH PLAIN a b",
            "AUTH PLAIN  x",
            "RETR 1\0",
            "RETR ١",
        ] {
            check(line, Err(CommandError::Arguments));
        }
    }

    #[test]
    fn unknown_commands() {
        for line in [
            "",
            " ",
            " QUIT",
            "LAST",
            "XYZZY",
            "QUITQUIT",
            "QUI",
            "STAT\r",
            "\0\0\0\0",
            "EHLO x",
            "GET / HTTP/1.1",
        ] {
            check(line, Err(CommandError::Unknown));
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let debug = |line: &[u8]| format!("{:?}", Command::parse(line).unwrap());
        assert_eq!(debug(b"PASS hunter2"), "PASS");
        assert_eq!(debug(b"AUTH PLAIN AGEAYg=="), "AUTH");
    }
}
