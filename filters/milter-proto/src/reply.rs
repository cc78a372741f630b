//! What a milter says.
//!
//! ```abnf
//! continue = "c"   accept = "a"   reject = "r"   tempfail = "t"   discard = "d"   skip = "s"   progress = "p"
//! connection-failed = "f"         shutdown = "4"                  reply-code = "y" text
//! ```

use crate::modification::Modification;
use crate::packet::{self, Packet};
use crate::reply_code::ReplyCode;
use crate::text;

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Go on.
    Continue,
    /// Take it and ask no further.
    Accept,
    /// Refuse for good.
    Reject,
    /// Refuse for now.
    Tempfail,
    /// Take it and drop it.
    Discard,
    /// Send no more of this kind.
    Skip,
    /// It takes longer.
    Progress,
    /// The milter itself has failed.
    ConnectionFailed,
    /// The server is to close the session (421).
    Shutdown,
    /// Refuse with this reply.
    Code(ReplyCode),
    /// The answer to our offer; [`crate::Options`] reads it.
    Options(Vec<u8>),
    /// A change.
    Modification(Modification),
}

/// Why a packet is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A letter that means nothing.
    #[error("an unknown reply {0:#04x}")]
    Unknown(u8),
    /// Data that does not fit the letter.
    #[error("a malformed reply {0:#04x}")]
    Syntax(u8),
    /// An SMTP reply that no client may be shown.
    #[error("an SMTP reply that is none")]
    Code,
    /// A name that no field can have.
    #[error("a field name that is none")]
    FieldName,
    /// A value that would end its field.
    #[error("a field value with a bare CR or LF")]
    FieldValue,
    /// An address with control characters.
    #[error("an address that is none")]
    Address,
}

impl Reply {
    /// Reads a packet.
    pub fn parse(packet: Packet<'_>) -> Result<Self, ReplyError> {
        let plain = match packet.code {
            b'c' => Self::Continue,
            b'a' => Self::Accept,
            b'r' => Self::Reject,
            b't' => Self::Tempfail,
            b'd' => Self::Discard,
            b's' => Self::Skip,
            b'p' => Self::Progress,
            b'f' => Self::ConnectionFailed,
            b'4' => Self::Shutdown,
            b'O' => return Ok(Self::Options(packet.data.to_vec())),
            b'y' => {
                let text = text::only(packet.data).ok_or(ReplyError::Syntax(b'y'))?;
                return ReplyCode::parse(text).map(Self::Code).ok_or(ReplyError::Code);
            }
            code => {
                let modification = Modification::parse(code, packet.data).ok_or(ReplyError::Unknown(code))?;
                return modification.map(Self::Modification);
            }
        };
        if packet.data.is_empty() { Ok(plain) } else { Err(ReplyError::Syntax(packet.code)) }
    }

    /// The letter on the wire.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Continue => b'c',
            Self::Accept => b'a',
            Self::Reject => b'r',
            Self::Tempfail => b't',
            Self::Discard => b'd',
            Self::Skip => b's',
            Self::Progress => b'p',
            Self::ConnectionFailed => b'f',
            Self::Shutdown => b'4',
            Self::Code(_) => b'y',
            Self::Options(_) => b'O',
            Self::Modification(modification) => modification.code(),
        }
    }

    /// Appends the packet, as a milter does.
    pub fn write(&self, out: &mut Vec<u8>) {
        packet::write(out, self.code(), |out| match self {
            Self::Code(code) => code.fill(out),
            Self::Options(data) => out.extend_from_slice(data),
            Self::Modification(modification) => modification.fill(out),
            _ => {}
        });
    }
}

pub(crate) fn fuzz(input: &[u8]) {
    let Some((code, data)) = input.split_first() else { return };
    let Ok(reply) = Reply::parse(Packet { code: *code, data }) else { return };
    if let Reply::Modification(
        Modification::AddHeader { name, value }
        | Modification::InsertHeader { name, value, .. }
        | Modification::ChangeHeader { name, value, .. },
    ) = &reply
    {
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'), "a name is one");
        let lines: Vec<&str> = value.split("\r\n").collect();
        assert!(lines.iter().all(|line| !line.contains(['\r', '\n', '\0'])), "no bare CR or LF");
        assert!(lines.iter().skip(1).all(|line| line.starts_with([' ', '\t'])), "no line begins a field");
    }
    if let Reply::Code(code) = &reply {
        assert!((400..600).contains(&code.code), "a refusal");
        assert!(!code.lines.iter().any(|line| line.contains(char::is_control)), "one line each");
    }
    let mut wire = Vec::new();
    reply.write(&mut wire);
    let read = packet::frame(&wire, wire.len()).ok().flatten().map(|(packet, _)| Reply::parse(packet));
    assert_eq!(read, Some(Ok(reply)), "a reply is written as it was read");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(packet: &[u8]) -> Result<Reply, ReplyError> {
        Reply::parse(Packet { code: packet[0], data: &packet[1..] })
    }

    fn check(packet: &[u8], expected: Modification) {
        assert_eq!(parse(packet), Ok(Reply::Modification(expected)), "{}", String::from_utf8_lossy(packet));
    }

    fn refused(packet: &[u8], expected: ReplyError) {
        assert_eq!(parse(packet), Err(expected), "{}", String::from_utf8_lossy(packet));
    }

    #[test]
    fn changes_of_fields() {
        let (name, value) = ("X-A".to_owned(), "b".to_owned());
        check(b"hX-A\0b\0", Modification::AddHeader { name: name.clone(), value: value.clone() });
        check(
            b"i\0\0\0\0X-A\0b\0",
            Modification::InsertHeader { index: 0, name: name.clone(), value: value.clone() },
        );
        check(b"m\0\0\0\x02X-A\0b\0", Modification::ChangeHeader { index: 2, name: name.clone(), value });
        check(
            b"m\0\0\0\0X-A\0\0",
            Modification::ChangeHeader { index: 1, name: name.clone(), value: String::new() },
        );
        for wire in [&b"hX-A\0a\n\tb\r\n c\0"[..], b"hX-A\0a\r\n\tb\n c\0"] {
            check(wire, Modification::AddHeader { name: name.clone(), value: "a\r\n\tb\r\n c".to_owned() });
        }
        check(b"hX-A\0\xff\0", Modification::AddHeader { name, value: "\u{fffd}".to_owned() });
    }

    #[test]
    fn fields_that_would_break_out() {
        for value in
            ["a\nb", "a\r\nb: c", "a\r\n\r\nbody", "a\rb", "a\n", "a\r", "a\r\r\n b", "\n", "a\n\n b"]
        {
            refused(format!("hX\0{value}\0").as_bytes(), ReplyError::FieldValue);
        }
        for name in ["", "a b", "a:", "a\r\n", "\u{fc}", "a\t", "\x7f"] {
            refused(format!("h{name}\0v\0").as_bytes(), ReplyError::FieldName);
        }
        for packet in [&b"hX\0a"[..], b"hX\0a\0b\0", b"hX\0", b"h", b"hX\0a\0b"] {
            refused(packet, ReplyError::Syntax(b'h'));
        }
        refused(b"i\0\0\0", ReplyError::Syntax(b'i'));
        refused(b"i\x80\0\0\0X\0a\0", ReplyError::Syntax(b'i'));
        refused(b"m\xff\xff\xff\xffX\0a\0", ReplyError::Syntax(b'm'));
    }

    #[test]
    fn changes_of_the_envelope() {
        let add = |address: &str, parameters: Option<&str>| Modification::AddRecipient {
            address: address.to_owned(),
            parameters: parameters.map(str::to_owned),
        };
        check(b"+<a@b.test>\0", add("a@b.test", None));
        check(b"+a@b.test\0", add("a@b.test", None));
        check(b"2<a@b.test>\0NOTIFY=NEVER\0", add("a@b.test", Some("NOTIFY=NEVER")));
        check(b"2<a@b.test>\0", add("a@b.test", None));
        check(b"-<a@b.test>\0", Modification::RemoveRecipient("a@b.test".to_owned()));
        check(b"e<>\0", Modification::ChangeFrom { address: String::new(), parameters: None });
        check(b"qwhy\r\n\0", Modification::Quarantine("why??".to_owned()));
        check(b"ba\0\r", Modification::ReplaceBody(b"a\0\r".to_vec()));
        check(b"b", Modification::ReplaceBody(Vec::new()));
        refused(b"+<a@b.test>\r\nDATA\0", ReplyError::Address);
        refused(b"+a@b.test", ReplyError::Syntax(b'+'));
        refused(b"+a@b.test\0x\0", ReplyError::Syntax(b'+'));
        refused(b"e\0x\0y\0", ReplyError::Syntax(b'e'));
        refused(b"+\xff\0", ReplyError::Address);
    }

    #[test]
    fn other_replies() {
        for (packet, reply) in [
            (b"c", Reply::Continue),
            (b"a", Reply::Accept),
            (b"r", Reply::Reject),
            (b"t", Reply::Tempfail),
            (b"d", Reply::Discard),
            (b"s", Reply::Skip),
            (b"p", Reply::Progress),
            (b"f", Reply::ConnectionFailed),
            (b"4", Reply::Shutdown),
        ] {
            assert_eq!(parse(packet), Ok(reply));
            refused(&[packet[0], 0], ReplyError::Syntax(packet[0]));
        }
        assert!(matches!(parse(b"y550 5.7.1 no\0"), Ok(Reply::Code(_))));
        refused(b"y250 ok\0", ReplyError::Code);
        refused(b"y550 a\0\0", ReplyError::Syntax(b'y'));
        refused(b"y550 a", ReplyError::Syntax(b'y'));
        refused(b"l\0", ReplyError::Unknown(b'l'));
        refused(b"\0", ReplyError::Unknown(0));
    }

    proptest! {
        #[test]
        fn changes_survive(name in "[!-9;-~]{1,20}", value in "[^\0\r\n]{0,20}(\r\n [^\0\r\n]{0,20}){0,3}", index in 0u32..1000) {
            let change = Reply::Modification(Modification::InsertHeader { index, name, value });
            let mut wire = Vec::new();
            change.write(&mut wire);
            let (packet, _) = packet::frame(&wire, 1 << 20).unwrap().unwrap();
            prop_assert_eq!(Reply::parse(packet), Ok(change));
        }

        #[test]
        fn never_panics(code in "[hime2+qby4cartdsfpO-]", data in "([ -~]|\0|\r|\n|\r\n |\\PC){0,60}") {
            fuzz(&[code.as_bytes(), data.as_bytes(), b"\0"].concat());
            fuzz(&[code.as_bytes(), data.as_bytes()].concat());
        }

        #[test]
        fn codes_never_panic(text in "[2-5][0-9]{2}[ -]([ -~]|\r\n|%|5\\.7\\.1 |550 ){0,20}") {
            fuzz(&[b"y", text.as_bytes(), b"\0"].concat());
        }
    }
}
