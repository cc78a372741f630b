//! Command lines: CRLF and nothing else ends one.

use memchr::memchr3;

/// Cuts lines out of a buffer. Remembers what it has looked at, so that a line which arrives byte by byte
/// is looked at once.
#[derive(Debug, Clone, Default)]
pub struct LineDecoder {
    /// Octets at the buffer's start that hold no line end, NUL or bare CR.
    scanned: usize,
    /// Whether the rest of an overlong line is being dropped.
    discarding: bool,
    /// Whether the line under way holds a NUL.
    nul: bool,
}

/// What a buffer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A line without its CRLF, and how many octets it took with it.
    Line(&'a [u8], usize),
    /// A line that is dropped whole; that many octets are to be removed.
    Bad(FrameError, usize),
    /// Not a whole line yet; that many octets at the start are of no use and are to be removed.
    Incomplete(usize),
}

/// Why a line is no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// CR without LF. Nobody can say where the line ends: the connection must be closed.
    #[error("a CR without LF")]
    BareCr,
    /// LF without CR. Nobody can say where the line ends: the connection must be closed.
    #[error("an LF without CR")]
    BareLf,
    /// A NUL octet.
    #[error("a NUL octet")]
    Nul,
    /// Over the limit.
    #[error("a line over the limit")]
    TooLong,
}

impl FrameError {
    /// Whether what follows can't be trusted to be a command.
    pub const fn is_fatal(self) -> bool {
        matches!(self, Self::BareCr | Self::BareLf)
    }
}

impl LineDecoder {
    /// Looks at the start of `buffer`. `length_max` counts the CRLF too. The caller removes the consumed octets
    /// before it asks again.
    pub fn decode<'a>(&mut self, buffer: &'a [u8], length_max: usize) -> Frame<'a> {
        loop {
            let unseen = buffer.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr3(b'\r', b'\n', 0, unseen) else {
                self.scanned = buffer.len();
                return self.incomplete(length_max);
            };
            let at = self.scanned + found;
            match (unseen.get(found), buffer.get(at + 1)) {
                (Some(0), _) => {
                    self.nul = true;
                    self.scanned = at + 1;
                }
                (Some(b'\r'), Some(b'\n')) => return self.complete(buffer, at, length_max),
                (Some(b'\r'), None) => {
                    self.scanned = at;
                    return self.incomplete(length_max);
                }
                (Some(b'\r'), Some(_)) => return self.bad(FrameError::BareCr, at + 1),
                _ => return self.bad(FrameError::BareLf, at + 1),
            }
        }
    }

    fn complete<'a>(&mut self, buffer: &'a [u8], at: usize, length_max: usize) -> Frame<'a> {
        let consumed = at + 2;
        if self.discarding || consumed > length_max {
            return self.bad(FrameError::TooLong, consumed);
        }
        if self.nul {
            return self.bad(FrameError::Nul, consumed);
        }
        *self = Self::default();
        Frame::Line(buffer.get(..at).unwrap_or_default(), consumed)
    }

    fn bad<'a>(&mut self, error: FrameError, consumed: usize) -> Frame<'a> {
        *self = Self::default();
        Frame::Bad(error, consumed)
    }

    /// Over the limit the octets go; the line's end is still awaited, so that its tail is not read as a command.
    const fn incomplete<'a>(&mut self, length_max: usize) -> Frame<'a> {
        if self.scanned < length_max && !self.discarding {
            return Frame::Incomplete(0);
        }
        self.discarding = true;
        let useless = self.scanned;
        self.scanned = 0;
        Frame::Incomplete(useless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every frame of `input`, given in pieces of `piece` octets.
    fn frames(input: &[u8], piece: usize, length_max: usize) -> Vec<Result<Vec<u8>, FrameError>> {
        let mut decoder = LineDecoder::default();
        let (mut buffer, mut out) = (Vec::new(), Vec::new());
        for part in input.chunks(piece) {
            buffer.extend_from_slice(part);
            loop {
                let consumed = match decoder.decode(&buffer, length_max) {
                    Frame::Line(line, consumed) => {
                        out.push(Ok(line.to_vec()));
                        consumed
                    }
                    Frame::Bad(error, consumed) => {
                        out.push(Err(error));
                        consumed
                    }
                    Frame::Incomplete(consumed) => {
                        buffer.drain(..consumed);
                        assert!(buffer.len() <= length_max, "the buffer is bounded");
                        break;
                    }
                };
                buffer.drain(..consumed);
            }
        }
        out
    }

    fn check(input: &[u8], expected: &[Result<&[u8], FrameError>]) {
        let expected: Vec<_> = expected.iter().map(|frame| frame.map(<[u8]>::to_vec)).collect();
        for piece in [1, 2, 3, 7, input.len().max(1)] {
            assert_eq!(frames(input, piece, 12), expected, "{input:?} in pieces of {piece}");
        }
    }

    #[test]
    fn lines() {
        check(b"", &[]);
        check(b"NOOP", &[]);
        check(b"NOOP\r", &[]);
        check(b"\r\n", &[Ok(b"")]);
        check(b"NOOP\r\nQUIT\r\n", &[Ok(b"NOOP"), Ok(b"QUIT")]);
    }

    #[test]
    fn only_crlf_ends_a_line() {
        check(b"NOOP\nQUIT\r\n", &[Err(FrameError::BareLf), Ok(b"QUIT")]);
        check(b"NOOP\rX\r\n", &[Err(FrameError::BareCr), Ok(b"X")]);
        check(b"A\r\r\n", &[Err(FrameError::BareCr), Ok(b"")]);
        check(b"A\0B\r\nC\r\n", &[Err(FrameError::Nul), Ok(b"C")]);
    }

    #[test]
    fn length_limit() {
        check(b"123456789\r\n", &[Ok(b"123456789")]);
        check(b"1234567890\r\n", &[Ok(b"1234567890")]);
        check(b"12345678901\r\n", &[Err(FrameError::TooLong)]);
        check(b"1234567890123456789012345\r\nA\r\n", &[Err(FrameError::TooLong), Ok(b"A")]);
    }
}
