//! What the mail server says.
//!
//! ```abnf
//! connect  = "C" text family                       ; the client's name
//! family   = "U" / ( ( "4" / "6" / "L" ) port text ) ; port: uint16; an address, or a path
//! helo     = "H" text
//! mail     = "M" 1*text                            ; "<address>", then ESMTP parameters
//! rcpt     = "R" 1*text
//! data     = "T"
//! unknown  = "U" text                              ; the line
//! header   = "L" text text                         ; name, value; lines of a value end in LF
//! end-of-headers = "N"      body = "B" *OCTET      end-of-message = "E" *OCTET
//! abort    = "A"            quit = "Q"             quit-new-connection = "K"
//! ```

use std::net::{IpAddr, SocketAddr};

use crate::macros::Stage;
use crate::options::Options;
use crate::packet::{self, Packet};
use crate::text;

/// From where a client comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer<'a> {
    /// Nobody knows.
    Unknown,
    /// Over IP.
    Inet(SocketAddr),
    /// Over a Unix socket of this path.
    Local(&'a [u8]),
}

/// One command. Texts are octets without NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// Our offer.
    Negotiate(Options),
    /// Macros for the command that follows, by its code.
    Macros(u8, Vec<(&'a [u8], &'a [u8])>),
    /// A client connected.
    Connect {
        /// Its name, or `unknown`.
        hostname: &'a [u8],
        /// Its address.
        peer: Peer<'a>,
    },
    /// What it calls itself.
    Helo(&'a [u8]),
    /// The sender in angle brackets, then parameters.
    Mail(Vec<&'a [u8]>),
    /// A recipient in angle brackets, then parameters.
    Rcpt(Vec<&'a [u8]>),
    /// DATA.
    Data,
    /// A command that we do not know.
    Unknown(&'a [u8]),
    /// A header field: its name and all behind the colon.
    Header(&'a [u8], &'a [u8]),
    /// The end of the header section.
    EndOfHeaders,
    /// A piece of the body, at most [`packet::BODY_CHUNK_MAX`] octets.
    Body(&'a [u8]),
    /// The end of the message.
    EndOfMessage,
    /// This message is over.
    Abort,
    /// This connection is over.
    Quit,
    /// This client is gone, another one comes.
    QuitNewConnection,
}

/// A command that a milter may be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The offer.
    Negotiate,
    /// The connection.
    Connect,
    /// HELO.
    Helo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// An unknown command.
    Unknown,
    /// A header field.
    Header,
    /// The end of the header section.
    EndOfHeaders,
    /// A piece of the body.
    Body,
    /// The end of the message.
    EndOfMessage,
}

impl Step {
    /// The stage whose macros go before it.
    pub(crate) const fn stage(self) -> Option<Stage> {
        match self {
            Self::Connect => Some(Stage::Connect),
            Self::Helo => Some(Stage::Helo),
            Self::Mail => Some(Stage::Mail),
            Self::Rcpt => Some(Stage::Rcpt),
            Self::Data => Some(Stage::Data),
            Self::EndOfHeaders => Some(Stage::EndOfHeaders),
            Self::EndOfMessage => Some(Stage::EndOfMessage),
            Self::Negotiate | Self::Unknown | Self::Header | Self::Body => None,
        }
    }

    /// As it is called in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Negotiate => "negotiation",
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Unknown => "unknown",
            Self::Header => "header",
            Self::EndOfHeaders => "end of headers",
            Self::Body => "body",
            Self::EndOfMessage => "end of message",
        }
    }
}

impl<'a> Command<'a> {
    /// The letter on the wire.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Negotiate(_) => b'O',
            Self::Macros(..) => b'D',
            Self::Connect { .. } => b'C',
            Self::Helo(_) => b'H',
            Self::Mail(_) => b'M',
            Self::Rcpt(_) => b'R',
            Self::Data => b'T',
            Self::Unknown(_) => b'U',
            Self::Header(..) => b'L',
            Self::EndOfHeaders => b'N',
            Self::Body(_) => b'B',
            Self::EndOfMessage => b'E',
            Self::Abort => b'A',
            Self::Quit => b'Q',
            Self::QuitNewConnection => b'K',
        }
    }

    /// What is asked; `None` where no answer is ever due.
    pub const fn step(&self) -> Option<Step> {
        match self {
            Self::Negotiate(_) => Some(Step::Negotiate),
            Self::Connect { .. } => Some(Step::Connect),
            Self::Helo(_) => Some(Step::Helo),
            Self::Mail(_) => Some(Step::Mail),
            Self::Rcpt(_) => Some(Step::Rcpt),
            Self::Data => Some(Step::Data),
            Self::Unknown(_) => Some(Step::Unknown),
            Self::Header(..) => Some(Step::Header),
            Self::EndOfHeaders => Some(Step::EndOfHeaders),
            Self::Body(_) => Some(Step::Body),
            Self::EndOfMessage => Some(Step::EndOfMessage),
            Self::Macros(..) | Self::Abort | Self::Quit | Self::QuitNewConnection => None,
        }
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        packet::write(out, self.code(), |out| self.fill(out));
    }

    fn fill(&self, out: &mut Vec<u8>) {
        match self {
            Self::Negotiate(options) => options.fill(out),
            Self::Macros(code, pairs) => {
                out.push(*code);
                for (name, value) in pairs {
                    text::put(out, name);
                    text::put(out, value);
                }
            }
            Self::Connect { hostname, peer } => {
                text::put(out, hostname);
                peer.fill(out);
            }
            Self::Helo(line) | Self::Unknown(line) => text::put(out, line),
            Self::Mail(words) | Self::Rcpt(words) => words.iter().for_each(|word| text::put(out, word)),
            Self::Header(name, value) => {
                text::put(out, name);
                text::put(out, value);
            }
            Self::Body(piece) => out.extend_from_slice(piece),
            Self::Data | Self::EndOfHeaders | Self::EndOfMessage => {}
            Self::Abort | Self::Quit | Self::QuitNewConnection => {}
        }
    }

    /// Reads a packet, as a milter does. `None` for what is none of these.
    pub fn parse(packet: Packet<'a>) -> Option<Self> {
        let mut data = packet.data;
        let empty = |command| packet.data.is_empty().then_some(command);
        match packet.code {
            b'O' => Options::parse(data).map(Self::Negotiate),
            b'D' => {
                let (code, rest) = data.split_first()?;
                let mut texts = text::all(rest)?.into_iter();
                let mut pairs = Vec::new();
                while let Some(name) = texts.next() {
                    pairs.push((name, texts.next()?));
                }
                Some(Self::Macros(*code, pairs))
            }
            b'C' => {
                let hostname = text::take(&mut data)?;
                Some(Self::Connect { hostname, peer: Peer::parse(data)? })
            }
            b'H' => text::only(data).map(Self::Helo),
            b'M' => text::all(data).filter(|words| !words.is_empty()).map(Self::Mail),
            b'R' => text::all(data).filter(|words| !words.is_empty()).map(Self::Rcpt),
            b'T' => empty(Self::Data),
            b'U' => text::only(data).map(Self::Unknown),
            b'L' => {
                let name = text::take(&mut data)?;
                text::only(data).map(|value| Self::Header(name, value))
            }
            b'N' => empty(Self::EndOfHeaders),
            b'B' => Some(Self::Body(data)),
            b'E' => empty(Self::EndOfMessage),
            b'A' => empty(Self::Abort),
            b'Q' => empty(Self::Quit),
            b'K' => empty(Self::QuitNewConnection),
            _ => None,
        }
    }
}

impl<'a> Peer<'a> {
    fn fill(&self, out: &mut Vec<u8>) {
        let (family, port, place) = match self {
            Self::Unknown => return out.push(b'U'),
            // A client of an IPv6 socket that comes over IPv4 is what it is.
            Self::Inet(address) => match address.ip().to_canonical() {
                IpAddr::V4(ip) => (b'4', address.port(), ip.to_string().into_bytes()),
                IpAddr::V6(ip) => (b'6', address.port(), ip.to_string().into_bytes()),
            },
            Self::Local(path) => (b'L', 0, path.to_vec()),
        };
        out.push(family);
        out.extend_from_slice(&port.to_be_bytes());
        text::put(out, &place);
    }

    fn parse(data: &'a [u8]) -> Option<Self> {
        let (family, rest) = data.split_first()?;
        if *family == b'U' {
            return rest.is_empty().then_some(Self::Unknown);
        }
        let (port, place) = rest.split_first_chunk::<2>()?;
        let (port, place) = (u16::from_be_bytes(*port), text::only(place)?);
        let address = |v4: bool| {
            let ip: IpAddr = str::from_utf8(place).ok()?.parse().ok()?;
            (ip.is_ipv4() == v4).then(|| Self::Inet(SocketAddr::new(ip, port)))
        };
        match family {
            b'4' => address(true),
            b'6' => address(false),
            b'L' => Some(Self::Local(place)),
            _ => None,
        }
    }
}

pub(crate) fn fuzz(input: &[u8]) {
    let Some((code, data)) = input.split_first() else { return };
    let Some(command) = Command::parse(Packet { code: *code, data }) else { return };
    let mut wire = Vec::new();
    command.write(&mut wire);
    let read = packet::frame(&wire, wire.len()).ok().flatten().and_then(|(packet, _)| Command::parse(packet));
    let same = |again: &Command<'_>| match (again, &command) {
        // An address has several spellings, and so do lists of macros.
        (Command::Connect { .. }, Command::Connect { .. })
        | (Command::Negotiate(_), Command::Negotiate(_)) => true,
        (again, command) => again == command,
    };
    assert!(read.as_ref().is_some_and(same), "a command is written as it was read: {command:?}, {read:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(command: &Command<'_>, expected: &[u8]) {
        let mut wire = Vec::new();
        command.write(&mut wire);
        let (packet, taken) = packet::frame(&wire, 1 << 20).unwrap().unwrap();
        assert_eq!(taken, wire.len());
        assert_eq!([&[packet.code], packet.data].concat(), expected, "{command:?}");
        assert_eq!(Command::parse(packet).as_ref(), Some(command));
    }

    #[test]
    fn on_the_wire() {
        let inet = |text: &str| Peer::Inet(text.parse().unwrap());
        check(&Command::Connect { hostname: b"a.test", peer: Peer::Unknown }, b"Ca.test\0U");
        check(
            &Command::Connect { hostname: b"a.test", peer: inet("192.0.2.1:258") },
            b"Ca.test\x004\x01\x02192.0.2.1\0",
        );
        check(
            &Command::Connect { hostname: b"a.test", peer: inet("[2001:db8::1]:25") },
            b"Ca.test\x006\x00\x192001:db8::1\0",
        );
        check(&Command::Connect { hostname: b"h", peer: Peer::Local(b"/run/x") }, b"Ch\0L\0\0/run/x\0");
        check(&Command::Helo(b"a.test"), b"Ha.test\0");
        check(&Command::Mail(vec![b"<a@b.test>", b"SIZE=5"]), b"M<a@b.test>\0SIZE=5\0");
        check(&Command::Rcpt(vec![b"<a@b.test>"]), b"R<a@b.test>\0");
        check(&Command::Data, b"T");
        check(&Command::Unknown(b"FROB"), b"UFROB\0");
        check(&Command::Header(b"Subject", b" a\n b"), b"LSubject\0 a\n b\0");
        check(&Command::EndOfHeaders, b"N");
        check(&Command::Body(b"a\0b\r\n"), b"Ba\0b\r\n");
        check(&Command::EndOfMessage, b"E");
        check(&Command::Abort, b"A");
        check(&Command::Quit, b"Q");
        check(&Command::QuitNewConnection, b"K");
        check(&Command::Macros(b'M', vec![(b"i", b"1"), (b"{x}", b"")]), b"DMi\x001\0{x}\0\0");
        check(&Command::Negotiate(Options::offer()), b"O\0\0\0\x06\0\0\x01\xff\0\x1f\xf7\xff");
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket() {
        let mut wire = Vec::new();
        Command::Connect { hostname: b"h", peer: Peer::Inet("[::ffff:192.0.2.1]:9".parse().unwrap()) }
            .write(&mut wire);
        assert!(wire.ends_with(b"h\x004\0\x09192.0.2.1\0"));
    }

    proptest! {
        #[test]
        fn words_survive(words in proptest::collection::vec("[^\0]{0,20}", 1..5)) {
            let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let mut wire = Vec::new();
            Command::Rcpt(words.clone()).write(&mut wire);
            let (packet, _) = packet::frame(&wire, 1 << 20).unwrap().unwrap();
            prop_assert_eq!(Command::parse(packet), Some(Command::Rcpt(words)));
        }

        #[test]
        fn never_panics(code in "[ODCHMRTULNBEAQK]", data: Vec<u8>) {
            fuzz(&[code.as_bytes(), &data].concat());
        }
    }
}
