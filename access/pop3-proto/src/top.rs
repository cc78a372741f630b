//! Where TOP ends.

/// Cuts a message behind its header, the empty line and a number of body lines (RFC 1939 §7, TOP). Takes pieces of any length.
#[derive(Debug, Clone, Copy)]
pub struct TopCutter {
    lines_left: u64,
    is_in_body: bool,
    /// Whether the current line holds anything but CR.
    is_line_empty: bool,
}

impl TopCutter {
    /// For a header and `lines` lines of the body.
    pub const fn new(lines: u64) -> Self {
        Self { lines_left: lines, is_in_body: false, is_line_empty: true }
    }

    /// How much of the next `piece` belongs to the answer. Less than all means that the answer is complete; whether it is
    /// also tells [`Self::is_complete`].
    pub fn take(&mut self, piece: &[u8]) -> usize {
        for (index, octet) in piece.iter().enumerate() {
            if self.is_complete() {
                return index;
            }
            match octet {
                b'\n' if self.is_in_body => self.lines_left = self.lines_left.saturating_sub(1),
                b'\n' if self.is_line_empty => self.is_in_body = true,
                b'\n' => self.is_line_empty = true,
                b'\r' => {}
                _ => self.is_line_empty = false,
            }
        }
        piece.len()
    }

    /// Whether nothing that follows belongs to the answer.
    pub const fn is_complete(&self) -> bool {
        self.is_in_body && self.lines_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, lines: u64, expected: &str) {
        for size in 1..=message.len() {
            let (mut cutter, mut out) = (TopCutter::new(lines), Vec::new());
            for piece in message.as_bytes().chunks(size) {
                let taken = cutter.take(piece);
                out.extend_from_slice(&piece[..taken]);
            }
            assert_eq!(String::from_utf8_lossy(&out), expected, "{lines} lines in pieces of {size}");
        }
    }

    #[test]
    fn cuts() {
        let message = "A: b\r\nC: d\r\n\r\none\r\n\r\nthree\r\nfour";
        check(message, 0, "A: b\r\nC: d\r\n\r\n");
        check(message, 1, "A: b\r\nC: d\r\n\r\none\r\n");
        check(message, 2, "A: b\r\nC: d\r\n\r\none\r\n\r\n");
        check(message, 4, message);
        check(message, u64::MAX, message);
        check("A: b\r\n", 0, "A: b\r\n");
        check("\r\nbody\r\nmore", 1, "\r\nbody\r\n");
        check("A: b", 5, "A: b");
    }
}
