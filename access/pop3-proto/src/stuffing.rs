//! Dots at the beginning of lines (RFC 1939 §3).

/// Encodes a message in pieces of any length: doubles a dot at the beginning of a line, and ends with a line that holds
/// only a dot.
#[derive(Debug, Clone, Copy)]
pub struct Stuffer {
    last: u8,
}

impl Default for Stuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Stuffer {
    /// At the beginning of a message.
    pub const fn new() -> Self {
        Self { last: b'\n' }
    }

    /// Appends the encoded `piece` to `out`. A dot behind a bare LF is doubled too: a client that takes that for a
    /// line end must not see the end of the message there.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut start = 0;
        for dot in memchr::memchr_iter(b'.', piece) {
            let before = dot.checked_sub(1).and_then(|index| piece.get(index)).copied().unwrap_or(self.last);
            if before == b'\n' {
                out.extend_from_slice(piece.get(start..dot).unwrap_or_default());
                out.push(b'.');
                start = dot;
            }
        }
        out.extend_from_slice(piece.get(start..).unwrap_or_default());
        self.last = piece.last().copied().unwrap_or(self.last);
    }

    /// Appends the end. A message that does not end with a line end gets one.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.last != b'\n' {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: &str) {
        for size in 1..=message.len().max(1) {
            let (mut stuffer, mut out) = (Stuffer::new(), Vec::new());
            for piece in message.as_bytes().chunks(size) {
                stuffer.write(piece, &mut out);
            }
            stuffer.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{message:?} in pieces of {size}");
        }
    }

    #[test]
    fn dots() {
        check("", ".\r\n");
        check("a\r\n", "a\r\n.\r\n");
        check("a", "a\r\n.\r\n");
        check(".", "..\r\n.\r\n");
        check(".\r\n", "..\r\n.\r\n");
        check("..\r\n.x\r\n...\r\n", "...\r\n..x\r\n....\r\n.\r\n");
        check("a.b\r\n\r\n.\r\n\r\n", "a.b\r\n\r\n..\r\n\r\n.\r\n");
        check("a\n.\nb", "a\n..\nb\r\n.\r\n");
        check("a\r.b", "a\r.b\r\n.\r\n");
    }
}
