//! Replies: written by the server, read by the client.

use std::borrow::Cow;
use std::fmt;

use envelope::EnhancedCode;
use memchr::memchr;

/// A reply: code, enhanced code, one or more lines of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// `class.subject.detail` (RFC 2034); none in greetings, EHLO answers and challenges.
    pub enhanced: Option<EnhancedCode>,
    /// The text, a line each; never empty.
    pub lines: Vec<Cow<'static, str>>,
}

/// Why octets are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line that does not begin with a code, or another code than the line before.
    #[error("the server's answer is not an SMTP reply")]
    Syntax,
    /// More or longer lines than a reply may have.
    #[error("the server's answer is too long")]
    TooLong,
}

impl Reply {
    /// A reply of one line.
    pub fn new<T: Into<Cow<'static, str>>>(code: u16, enhanced: Option<EnhancedCode>, text: T) -> Self {
        Self { code, enhanced, lines: vec![text.into()] }
    }

    /// A reply of one line with an enhanced code, given by its three numbers.
    pub fn enhanced<T: Into<Cow<'static, str>>>(code: u16, enhanced: (u8, u16, u16), text: T) -> Self {
        let (class, subject, detail) = enhanced;
        Self::new(code, Some(EnhancedCode::new(class, subject, detail)), text)
    }

    /// 2xx or 3xx.
    pub const fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 4xx.
    pub const fn is_transient(&self) -> bool {
        self.code >= 400 && self.code < 500
    }

    /// 5xx.
    pub const fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Appends the wire form. Control characters in the text become `?`: no text from a peer can end the line.
    ///
    /// ```abnf
    /// Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF   ; RFC 5321 §4.2
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index == last { ' ' } else { '-' };
            out.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some(enhanced) = self.enhanced {
                out.extend_from_slice(format!("{enhanced} ").as_bytes());
            }
            out.extend(line.bytes().map(|byte| if byte.is_ascii_control() { b'?' } else { byte }));
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    /// In one line, for logs and reports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        self.lines.iter().try_for_each(|line| write!(f, " {line}"))
    }
}

/// Reads replies. Quirk `reply-bare-lf`: a lone LF ends a line here too, since a client has nothing to lose by it.
#[derive(Debug, Clone, Default)]
pub struct ReplyDecoder {
    partial: Option<Reply>,
}

/// Octets in a line and lines in a reply (RFC 5321 §4.5.3.1.5 has 512; servers send more).
const LINE_MAX: usize = 2048;
/// Lines in one reply.
const LINES_MAX: usize = 128;

impl ReplyDecoder {
    /// Takes a line from the start of `buffer`: how many octets it took, and the reply if it was the last line.
    /// `Ok((0, None))` asks for more octets.
    pub fn decode(&mut self, buffer: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let Some(end) = memchr(b'\n', buffer) else {
            return if buffer.len() > LINE_MAX { Err(ReplyError::TooLong) } else { Ok((0, None)) };
        };
        if end > LINE_MAX {
            return Err(ReplyError::TooLong);
        }
        let line = buffer.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, more, text) = split(line).ok_or(ReplyError::Syntax)?;
        let (enhanced, text) = split_enhanced(code, &text);
        let reply = self.partial.get_or_insert_with(|| Reply { code, enhanced, lines: Vec::new() });
        if reply.code != code {
            return Err(ReplyError::Syntax);
        }
        if reply.lines.len() == LINES_MAX {
            return Err(ReplyError::TooLong);
        }
        reply.lines.push(Cow::Owned(text));
        Ok((end + 1, if more { None } else { self.partial.take() }))
    }
}

/// The most that is kept of what a server sends ahead of being asked, in octets.
const AHEAD_MAX: usize = 64 * 1024;

/// What a client has read, and the replies in it.
#[derive(Debug, Default)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    decoder: ReplyDecoder,
}

impl ReplyReader {
    /// Where octets go as they are read.
    pub const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The next reply; none: more must be read. A server that talks without being asked is [`ReplyError::TooLong`].
    pub fn reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let (taken, reply) = self.decoder.decode(&self.buffer)?;
            self.buffer.drain(..taken.min(self.buffer.len()));
            if reply.is_some() || taken == 0 {
                return if self.buffer.len() > AHEAD_MAX { Err(ReplyError::TooLong) } else { Ok(reply) };
            }
        }
    }

    /// Forgets what was read: before the handshake anybody on the way may have put it there (RFC 3207 §6).
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Code, whether more lines follow, text.
fn split(line: &[u8]) -> Option<(u16, bool, String)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code: u16 =
        str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    if !(200..600).contains(&code) {
        return None;
    }
    let more = match rest.first() {
        None | Some(b' ') => false,
        Some(b'-') => true,
        Some(_) => return None,
    };
    let text = String::from_utf8_lossy(rest.get(1..).unwrap_or_default());
    Some((code, more, text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()))
}

/// Takes the enhanced code off a text, if its class fits the reply.
fn split_enhanced(code: u16, text: &str) -> (Option<EnhancedCode>, String) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first.parse::<EnhancedCode>() {
        Ok(enhanced) if u16::from(enhanced.class()) == code / 100 => (Some(enhanced), rest.to_owned()),
        _ => (None, text.to_owned()),
    }
}

pub(crate) fn fuzz(input: &[u8]) {
    let mut decoder = ReplyDecoder::default();
    let mut rest = input;
    while let Ok((consumed, reply)) = decoder.decode(rest) {
        if let Some(reply) = reply {
            // An octet that is no letter has become one of three octets: the line may be too long by now.
            let is_replaced = reply.lines.iter().any(|line| line.contains('\u{fffd}'));
            let mut wire = Vec::new();
            reply.write(&mut wire);
            assert!(
                is_replaced || ReplyDecoder::default().decode(&wire).is_ok_and(|(taken, _)| taken > 0),
                "what is printed can be read"
            );
        }
        if consumed == 0 {
            break;
        }
        rest = rest.get(consumed..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut wire: &[u8]) -> Result<Vec<Reply>, ReplyError> {
        let (mut decoder, mut replies) = (ReplyDecoder::default(), Vec::new());
        loop {
            let (consumed, reply) = decoder.decode(wire)?;
            replies.extend(reply);
            if consumed == 0 {
                return Ok(replies);
            }
            wire = &wire[consumed..];
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let replies = vec![
            Reply::new(220, None, "mx.example.test ESMTP"),
            Reply { code: 250, enhanced: None, lines: vec!["a".into(), "SIZE 10".into(), "HELP".into()] },
            Reply::enhanced(550, (5, 1, 1), "no such user"),
            Reply {
                code: 452,
                enhanced: Some(EnhancedCode::new(4, 3, 1)),
                lines: vec!["a".into(), "b".into()],
            },
        ];
        let mut wire = Vec::new();
        replies.iter().for_each(|reply| reply.write(&mut wire));
        assert_eq!(read(&wire).unwrap(), replies);
    }

    #[test]
    fn text_cannot_break_the_line() {
        let mut wire = Vec::new();
        Reply::enhanced(550, (5, 1, 1), "a\r\n250 ok\0").write(&mut wire);
        assert_eq!(wire, b"550 5.1.1 a??250 ok?\r\n");
    }

    #[test]
    fn odd_servers() {
        assert_eq!(read(b"250\r\n").unwrap()[0].code, 250);
        assert_eq!(read(b"250 ok\n").unwrap()[0].lines, ["ok"]);
        assert_eq!(read(b"250-a\r\n550 b\r\n"), Err(ReplyError::Syntax));
        assert_eq!(read(b"hello\r\n"), Err(ReplyError::Syntax));
        assert_eq!(read(b"199 x\r\n"), Err(ReplyError::Syntax));
        assert_eq!(read(b"25"), Ok(vec![]));
        assert_eq!(read(&b"250-a\r\n".repeat(129)), Err(ReplyError::TooLong));
        assert_eq!(read(&b"2".repeat(2049)), Err(ReplyError::TooLong));
        assert_eq!(read(b"250 5.1.1 class does not fit\r\n").unwrap()[0].enhanced, None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "([2-5][0-9][0-9][ -]|\\PC|\r\n){0,30}") {
            fuzz(text.as_bytes());
        }
    }
}
