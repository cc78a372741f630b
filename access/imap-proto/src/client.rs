//! The client's side, as far as tests and load tests need it: where a response ends and of which kind it is.
//!
//! A response is a line; a line that ends in `{n}` goes on after n octets. The framing is the server's,
//! with the difference that nobody waits.

use std::fmt;

use crate::frame::{Expect, Frame, FrameError, FrameEvent, Framer};
use crate::response::status::Condition;
use crate::{FrameLimits, Tag};

/// Cuts a stream of octets into responses.
#[derive(Default)]
pub struct ResponseFramer(Framer);

/// What the octets so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseEvent {
    /// All input is consumed and more is needed.
    Incomplete,
    /// A response.
    Response(Response),
    /// The server sent what breaks the limits or the framing; the connection is of no more use.
    Broken(FrameError),
}

/// One complete response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response(Frame);

/// Of which kind a response is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseKind<'a> {
    /// `+ …`: the text or challenge.
    Continuation(&'a [u8]),
    /// `* …`: what follows the star.
    Untagged(&'a [u8]),
    /// `tag OK …`: the end of a command.
    Tagged {
        /// The command's tag.
        tag: Tag,
        /// How it went.
        condition: Condition,
        /// Code and text.
        text: &'a [u8],
    },
    /// None of these: no IMAP server.
    Unknown,
}

impl ResponseFramer {
    /// A framer at the beginning of a response.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the front of `input`; gives how many were taken and what they amount to.
    pub fn push(&mut self, input: &[u8], limits: &FrameLimits) -> (usize, ResponseEvent) {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            let (count, event) = self.0.push(rest, Expect::Command, limits);
            taken += count;
            match event {
                FrameEvent::Continue { .. } => {}
                FrameEvent::Incomplete => return (taken, ResponseEvent::Incomplete),
                FrameEvent::Frame(frame) => return (taken, ResponseEvent::Response(Response(frame))),
                FrameEvent::Line(line) => {
                    let frame = Frame { text: line.0, literals: Vec::new() };
                    return (taken, ResponseEvent::Response(Response(frame)));
                }
                FrameEvent::Refused(refusal) => return (taken, ResponseEvent::Broken(refusal.error)),
            }
        }
    }
}

impl Response {
    /// The text, in which each literal is its announcement and CRLF.
    pub fn text(&self) -> &[u8] {
        &self.0.text
    }

    /// The literals in order.
    pub fn literals(&self) -> &[Vec<u8>] {
        &self.0.literals
    }

    /// The text with the literals in their places, as it came.
    pub fn octets(&self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.0.octets());
        let mut literals = self.0.literals.iter();
        let mut rest = self.0.text.as_slice();
        while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
            let (line, behind) = rest.split_at(at + 2);
            whole.extend_from_slice(line);
            whole.extend_from_slice(literals.next().map(Vec::as_slice).unwrap_or_default());
            rest = behind;
        }
        whole.extend_from_slice(rest);
        whole
    }

    /// ```abnf
    /// response = *(continue-req / response-data) response-done     ; RFC 3501 §9
    /// ```
    pub fn kind(&self) -> ResponseKind<'_> {
        let (word, rest) = first_word(&self.0.text);
        match word {
            b"+" => ResponseKind::Continuation(rest),
            b"*" => ResponseKind::Untagged(rest),
            _ => {
                let (name, text) = first_word(rest);
                match (Tag::parse(word), condition(name)) {
                    (Some(tag), Some(condition)) => ResponseKind::Tagged { tag, condition, text },
                    _ => ResponseKind::Unknown,
                }
            }
        }
    }

    /// The status of an untagged or tagged status response.
    pub fn condition(&self) -> Option<Condition> {
        match self.kind() {
            ResponseKind::Tagged { condition, .. } => Some(condition),
            ResponseKind::Untagged(rest) => condition(first_word(rest).0),
            ResponseKind::Continuation(_) | ResponseKind::Unknown => None,
        }
    }

    /// The text between the brackets of a status response.
    pub fn code(&self) -> Option<&[u8]> {
        let status = match self.kind() {
            ResponseKind::Tagged { text, .. } => text,
            ResponseKind::Untagged(rest) => {
                let (name, text) = first_word(rest);
                condition(name)?;
                text
            }
            ResponseKind::Continuation(_) | ResponseKind::Unknown => return None,
        };
        let inner = status.strip_prefix(b"[")?;
        inner.get(..memchr::memchr(b']', inner)?)
    }

    /// Number and name of `* 23 EXISTS`, `* 2 EXPUNGE`, `* 12 FETCH (…`.
    pub fn numbered(&self) -> Option<(u32, &[u8])> {
        let ResponseKind::Untagged(rest) = self.kind() else { return None };
        let (number, rest) = first_word(rest);
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        Some((number, first_word(rest).0))
    }
}

/// A word and what follows the space behind it.
fn first_word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, b""),
    }
}

fn condition(name: &[u8]) -> Option<Condition> {
    let known = [Condition::Ok, Condition::No, Condition::Bad, Condition::PreAuth, Condition::Bye];
    known.into_iter().find(|condition| condition.as_str().as_bytes().eq_ignore_ascii_case(name))
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.octets()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn responses(input: &[u8], size: usize) -> Vec<Response> {
        let limits =
            FrameLimits { line_max: 1000, literal_max: 1000, command_max: 4000, ..FrameLimits::BEFORE_LOGIN };
        let mut framer = ResponseFramer::new();
        let mut found = Vec::new();
        for piece in input.chunks(size) {
            let mut rest = piece;
            loop {
                let (taken, event) = framer.push(rest, &limits);
                rest = &rest[taken..];
                match event {
                    ResponseEvent::Incomplete => break,
                    ResponseEvent::Response(response) => found.push(response),
                    ResponseEvent::Broken(error) => panic!("{error}"),
                }
            }
        }
        found
    }

    #[test]
    fn a_session() {
        let input = b"* OK [CAPABILITY IMAP4rev1] ready\r\n+ go on\r\n+ \r\n* 12 FETCH (BODY[] {7}\r\na\r\nb OK X {0}\r\n)\r\n\
                      * 3 EXISTS\r\nA1 NO [LIMIT] full\r\nA2 BAD what\r\n* BYE\r\n220 smtp\r\n";
        for size in [1, 3, 1000] {
            let found = responses(input, size);
            let octets: Vec<u8> =
                found.iter().flat_map(|response| [response.octets(), b"\r\n".to_vec()].concat()).collect();
            assert_eq!(octets, input);
            let [greeting, go, empty, fetch, exists, no, bad, bye, smtp] = found.as_slice() else { panic!() };
            assert_eq!(
                (greeting.code(), greeting.condition()),
                (Some(b"CAPABILITY IMAP4rev1".as_slice()), Some(Condition::Ok))
            );
            assert_eq!(go.kind(), ResponseKind::Continuation(b"go on"));
            assert_eq!(empty.kind(), ResponseKind::Continuation(b""));
            assert_eq!(fetch.numbered(), Some((12, b"FETCH".as_slice())));
            assert_eq!(fetch.literals(), [b"a\r\nb OK".to_vec(), Vec::new()]);
            assert_eq!(exists.numbered(), Some((3, b"EXISTS".as_slice())));
            let tag = Tag::parse(b"A1").unwrap();
            assert_eq!(
                no.kind(),
                ResponseKind::Tagged { tag, condition: Condition::No, text: b"[LIMIT] full" }
            );
            assert_eq!((no.code(), bad.code()), (Some(b"LIMIT".as_slice()), None));
            assert_eq!(bye.condition(), Some(Condition::Bye));
            assert_eq!(smtp.kind(), ResponseKind::Unknown);
        }
    }
}
