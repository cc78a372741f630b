//! The text behind DATA: dots unstuffed, the one true end found.
//!
//! ```text
//!              '.'            CR               LF
//! LineStart ────────▶ Dot ────────▶ DotCr ────────▶ the end          CRLF "." CRLF and nothing else
//!     ▲ │ other        │ other        │ other: bare CR
//!     │ ▼              ▼              ▼
//!   LF│ Text ◀──────────── …            a bare CR, a bare LF, a NUL or a line over the limit poisons the
//!     │  │ CR                            message: its octets are dropped, but its end is still CRLF.CRLF,
//!     └─ Cr                              so that no part of it is ever read as a command
//! ```

use memchr::memchr3;

use crate::limits::DataLimits;

/// Takes the text of one message.
#[derive(Debug, Clone)]
pub struct DataDecoder {
    state: State,
    limits: DataLimits,
    line: usize,
    size: u64,
    poison: Option<Poison>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    Dot,
    DotCr,
    Text,
    Cr,
    End,
}

/// Why a message is refused, found while reading it. The first cause stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// CR without LF (RFC 5321 §2.3.8 forbids it).
    #[error("a CR without LF")]
    BareCr,
    /// LF without CR (RFC 5321 §2.3.8 forbids it).
    #[error("an LF without CR")]
    BareLf,
    /// A line over the limit.
    #[error("a line over the limit")]
    LineTooLong,
    /// A message over the limit.
    #[error("a message over the limit")]
    MessageTooBig,
    /// A NUL octet: not text, and no IMAP client could read it (RFC 9051 §4.3).
    #[error("a NUL octet")]
    Nul,
}

impl Poison {
    /// Whether the peer may see the message's end elsewhere than we do, so that the connection can't be used further.
    pub const fn is_smuggling(self) -> bool {
        matches!(self, Self::BareCr | Self::BareLf)
    }
}

/// What one call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataProgress {
    /// Octets taken from the input. All of them, unless the end was found.
    pub consumed: usize,
    /// Whether the end was found.
    pub finished: bool,
}

impl DataDecoder {
    /// A decoder at the beginning of a message.
    pub const fn new(limits: DataLimits) -> Self {
        Self { state: State::LineStart, limits, line: 0, size: 0, poison: None }
    }

    /// Takes octets as they come and hands the message's octets on in slices of `input`, until the end.
    /// Nothing is handed on once the message is poisoned.
    pub fn decode<F: FnMut(&[u8])>(&mut self, input: &[u8], mut take: F) -> DataProgress {
        let mut at = 0;
        // The octets from here to `at` belong to the message and were not handed on yet.
        let mut from = 0;
        while self.state != State::End {
            let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) else { break };
            if self.state == State::Text {
                // Text is skipped in one stride to the next octet that means something.
                let stride = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
                if stride > 0 {
                    self.line += stride;
                    at += stride;
                    continue;
                }
            }
            let byte = rest.first().copied().unwrap_or_default();
            let was = self.state;
            self.step(byte);
            at += 1;
            let stuffed = was == State::LineStart && byte == b'.';
            let ending = matches!((was, byte), (State::Dot, b'\r') | (State::DotCr, _));
            if stuffed || ending {
                self.hand_on(input.get(from..at - 1), &mut take);
                from = at;
            }
        }
        self.hand_on(input.get(from..at), &mut take);
        DataProgress { consumed: at, finished: self.state == State::End }
    }

    /// Why the message is refused; `None` for a good one.
    pub const fn poison(&self) -> Option<Poison> {
        self.poison
    }

    /// Octets of the message so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::LineStart, b'.') => State::Dot,
            (State::Dot, b'\r') => State::DotCr,
            (State::DotCr, b'\n') => State::End,
            (State::Cr, b'\n') => {
                self.end_line();
                State::LineStart
            }
            (State::Cr | State::DotCr, other) => {
                self.taint(Poison::BareCr);
                self.text(other)
            }
            (_, other) => self.text(other),
        };
    }

    /// An octet inside a line.
    fn text(&mut self, byte: u8) -> State {
        match byte {
            b'\r' => return State::Cr,
            b'\n' => self.taint(Poison::BareLf),
            0 => self.taint(Poison::Nul),
            _ => {}
        }
        self.line += 1;
        State::Text
    }

    fn end_line(&mut self) {
        if self.line > self.limits.line_max {
            self.taint(Poison::LineTooLong);
        }
        self.line = 0;
    }

    fn taint(&mut self, poison: Poison) {
        self.poison = self.poison.or(Some(poison));
    }

    fn hand_on<F: FnMut(&[u8])>(&mut self, slice: Option<&[u8]>, take: &mut F) {
        let slice = slice.unwrap_or_default();
        if self.line > self.limits.line_max {
            self.taint(Poison::LineTooLong);
        }
        self.size = self.size.saturating_add(slice.len() as u64);
        if self.size > self.limits.message_max {
            self.taint(Poison::MessageTooBig);
        }
        if self.poison.is_none() && !slice.is_empty() {
            take(slice);
        }
    }
}

pub(crate) fn fuzz(input: &[u8]) {
    let limits = DataLimits { line_max: 64, message_max: 512 };
    let run = |piece: usize| {
        let mut decoder = DataDecoder::new(limits);
        let (mut out, mut consumed) = (Vec::new(), 0);
        for part in input.chunks(piece) {
            let progress = decoder.decode(part, |slice| out.extend_from_slice(slice));
            consumed += progress.consumed;
            if progress.finished {
                break;
            }
            assert!(progress.consumed == part.len(), "all is taken until the end");
        }
        (consumed, decoder.poison(), decoder.state, decoder.poison.is_none().then_some(out))
    };
    let whole = run(input.len().max(1));
    for piece in [1, 2, 5] {
        assert_eq!(run(piece).0, whole.0, "the end does not depend on the segments");
        assert_eq!(run(piece).3, whole.3, "nor do the octets");
    }
    if let (consumed, _, State::End, Some(out)) = whole {
        assert!(out.is_empty() || out.ends_with(b"\r\n"), "a message ends with its last line");
        let framed = input.get(..consumed).unwrap_or_default();
        assert!(framed == b".\r\n" || framed.ends_with(b"\r\n.\r\n"), "only CRLF.CRLF ends a message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DataLimits = DataLimits { line_max: 20, message_max: 100 };

    /// What becomes of `input` in pieces of every size: octets, rest, poison.
    fn check(input: &[u8], expected: Option<(&[u8], &[u8])>, poison: Option<Poison>) {
        for piece in [1, 2, 3, 5, input.len().max(1)] {
            let mut decoder = DataDecoder::new(LIMITS);
            let (mut out, mut consumed, mut finished) = (Vec::new(), 0, false);
            for part in input.chunks(piece) {
                let progress = decoder.decode(part, |slice| out.extend_from_slice(slice));
                consumed += progress.consumed;
                finished |= progress.finished;
                if finished {
                    break;
                }
            }
            assert_eq!(decoder.poison(), poison, "{:?} in {piece}", input.escape_ascii().to_string());
            let got = finished.then(|| (out.escape_ascii().to_string(), input[consumed..].to_vec()));
            let expected = expected.map(|(text, rest)| (text.escape_ascii().to_string(), rest.to_vec()));
            let got = if poison.is_some() { got.map(|(_, rest)| (String::new(), rest)) } else { got };
            assert_eq!(got, expected, "{:?} in {piece}", input.escape_ascii().to_string());
        }
    }

    #[test]
    fn messages() {
        check(b".\r\n", Some((b"", b"")), None);
        check(b"\r\n.\r\n", Some((b"\r\n", b"")), None);
        check(b"a\r\n.\r\nQUIT\r\n", Some((b"a\r\n", b"QUIT\r\n")), None);
        check(b"a\r\n.", None, None);
        check(b"a\r\n.\r", None, None);
    }

    #[test]
    fn dots_are_unstuffed() {
        check(b"..\r\n.\r\n", Some((b".\r\n", b"")), None);
        check(b"...x\r\n..\r\n.a\r\nb.\r\n.\r\n", Some((b"..x\r\n.\r\na\r\nb.\r\n", b"")), None);
    }

    #[test]
    fn no_other_end() {
        // The public scanner's list and more (CVE-2023-51764 and its kin): one poisoned message, to the true end.
        let smuggled = b"MAIL FROM:<x>\r\n";
        for (separator, poison) in [
            (&b"\n.\n"[..], Poison::BareLf),
            (b"\n.\r", Poison::BareLf),
            (b"\r.\n", Poison::BareCr),
            (b"\r.\r", Poison::BareCr),
            (b"\n.\r\n", Poison::BareLf),
            (b"\r.\r\n", Poison::BareCr),
            (b"\r\n\0.\r\n", Poison::Nul),
            (b"\r\n.\n", Poison::BareLf),
            (b"\r\n.\r", Poison::BareCr),
            (b"\r\n.\r\r\n", Poison::BareCr),
            (b"\r\r\n.\r\r\n", Poison::BareCr),
        ] {
            let input = [b"a", separator, smuggled, b".\r\nQUIT\r\n"].concat();
            check(&input, Some((b"", b"QUIT\r\n")), Some(poison));
        }
        for separator in [&b"\r\n\x0b.\r\n"[..], b"\r\n .\r\n", b"\r\n\xe2\x80\xa8.\r\n"] {
            let text = [b"a", separator, smuggled].concat();
            let input = [&text, &b".\r\nQUIT\r\n"[..]].concat();
            check(&input, Some((&text, b"QUIT\r\n")), None);
        }
    }

    #[test]
    fn line_limit() {
        for (length, poison) in [(19, None), (20, None), (21, Some(Poison::LineTooLong))] {
            let text = [&b"x".repeat(length)[..], b"\r\n"].concat();
            let expected: &[u8] = if poison.is_some() { b"" } else { &text };
            check(&[&text, &b".\r\n"[..]].concat(), Some((expected, b"")), poison);
            let stuffed = [&b".."[..], &b"x".repeat(length - 1)[..], b"\r\n.\r\n"].concat();
            let text = [&b"."[..], &b"x".repeat(length - 1)[..], b"\r\n"].concat();
            let expected: &[u8] = if poison.is_some() { b"" } else { &text };
            check(&stuffed, Some((expected, b"")), poison);
        }
    }

    #[test]
    fn message_limit() {
        for (last, poison) in [(7, None), (8, None), (9, Some(Poison::MessageTooBig))] {
            let text = [&b"123456789\r\n".repeat(8)[..], &b"y".repeat(last + 2)[..], b"\r\n"].concat();
            assert_eq!(text.len(), 92 + last);
            let expected: &[u8] = if poison.is_some() { b"" } else { &text };
            check(&[&text, &b".\r\n"[..]].concat(), Some((expected, b"")), poison);
        }
    }

    proptest::proptest! {
        #[test]
        fn segments_do_not_matter(parts in proptest::collection::vec("(\r\n|\r|\n|\\.|a|\0|\r\n\\.\r\n)", 0..40)) {
            fuzz(parts.concat().as_bytes());
        }
    }
}
