//! Lines out of a stream of bytes.

use crate::Limits;

/// A line was over its limit; it was dropped to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line is too long")]
pub struct LineTooLong;

/// Collects bytes and gives lines without their line end. CRLF ends a line; a bare LF does too (quirk `bare-lf`), for people who type
/// into a terminal.
///
/// It never holds more than one limit and one chunk, when the caller takes all lines before it gives more bytes.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where the unread bytes begin.
    start: usize,
    /// How many of the unread bytes are known to hold no LF.
    searched: usize,
    /// The current line was over the limit: drop up to the next LF.
    is_dropping: bool,
}

impl Framer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line, or nothing when more bytes are needed. A line over the limit is reported once, as
    /// soon as it is, and skipped.
    pub fn line(&mut self, limits: &Limits) -> Option<Result<Vec<u8>, LineTooLong>> {
        loop {
            let unread = self.buffer.get(self.start..).unwrap_or_default();
            let unsearched = unread.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', unsearched) else {
                let is_over = unread.len() >= limits.line_octets_max;
                self.searched = unread.len();
                if self.is_dropping {
                    self.discard_buffer();
                    return None;
                }
                if is_over {
                    self.discard_buffer();
                    self.is_dropping = true;
                    return Some(Err(LineTooLong));
                }
                return None;
            };
            let length = self.searched + found + 1;
            let line = unread.get(..length - 1).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            self.start += length;
            self.searched = 0;
            if std::mem::take(&mut self.is_dropping) {
                continue;
            }
            return Some(if length > limits.line_octets_max { Err(LineTooLong) } else { Ok(line) });
        }
    }

    /// Forgets everything that was received: what came before a TLS handshake is not the client's (RFC 2595 §4).
    pub fn discard(&mut self) {
        self.discard_buffer();
        self.is_dropping = false;
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn discard_buffer(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { line_octets_max: 8 };

    /// Lines joined by `|`, a line over the limit as `!`.
    fn lines(framer: &mut Framer) -> String {
        let mut all = Vec::new();
        while let Some(line) = framer.line(&LIMITS) {
            all.push(
                line.map_or_else(|_| "!".to_owned(), |line| String::from_utf8_lossy(&line).into_owned()),
            );
        }
        all.join("|")
    }

    fn check(input: &str, expected: &str) {
        let mut framer = Framer::new();
        framer.push(input.as_bytes());
        assert_eq!(lines(&mut framer), expected, "{input:?} at once");
        let mut framer = Framer::new();
        let mut got = Vec::new();
        for byte in input.bytes() {
            framer.push(&[byte]);
            let new = lines(&mut framer);
            if !new.is_empty() {
                got.push(new);
            }
            assert!(framer.len() <= LIMITS.line_octets_max);
        }
        assert_eq!(got.join("|"), expected, "{input:?} byte by byte");
    }

    #[test]
    fn line_ends() {
        check("NOOP\r\nQUIT\r\n", "NOOP|QUIT");
        check("NOOP\nQUIT\r\n", "NOOP|QUIT");
        check("NO\rOP\r\n", "NO\rOP");
        check("NOOP\r", "");
        check("A\r\r\n", "A\r");
    }

    #[test]
    fn the_limit() {
        check("12345\r\n", "12345");
        check("123456\r\n", "123456");
        check("1234567\r\nA\r\n", "!|A");
        check("12345678901234567890\r\nA\r\n", "!|A");
        check("1234567\nA\n", "1234567|A");
        check("12345678\nA\n", "!|A");
    }

    #[test]
    fn nothing_survives_a_handshake() {
        let mut framer = Framer::new();
        framer.push(b"STLS\r\nUSER x\r\nPA");
        assert_eq!(framer.line(&LIMITS), Some(Ok(b"STLS".to_vec())));
        framer.discard();
        assert!(framer.is_empty());
        framer.push(b"SS y\r\n");
        assert_eq!(lines(&mut framer), "SS y");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(input in "[ab\r\n]{0,60}", cut in 0usize..60) {
            let cut = cut.min(input.len());
            let (one, two) = input.as_bytes().split_at(cut);
            let all = |framer: &mut Framer| -> Vec<_> { std::iter::from_fn(|| framer.line(&LIMITS)).collect() };
            let mut whole = Framer::new();
            whole.push(input.as_bytes());
            let mut parts = Framer::new();
            parts.push(one);
            let mut got = all(&mut parts);
            parts.push(two);
            got.extend(all(&mut parts));
            prop_assert_eq!(got, all(&mut whole));
        }
    }
}
