//! The other direction: message text made ready for DATA.

use memchr::memchr2;

use crate::data::DataDecoder;
use crate::limits::DataLimits;

/// Doubles dots at line starts, makes every line end CRLF and adds the end (RFC 5321 §4.5.2).
/// A bare CR or LF in stored text becomes CRLF: nothing leaves here that another server could read as an end.
#[derive(Debug, Clone)]
pub struct DotStuffer {
    line_start: bool,
    after_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self { line_start: true, after_cr: false }
    }
}

impl DotStuffer {
    /// Appends the wire form of `text`, which may come in pieces, to `out`.
    pub fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while let Some(first) = rest.first().copied() {
            if self.after_cr {
                // The line end was written when the CR came.
                self.after_cr = false;
                if first == b'\n' {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            }
            if matches!(first, b'\r' | b'\n') {
                out.extend_from_slice(b"\r\n");
                self.line_start = true;
                self.after_cr = first == b'\r';
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            if self.line_start && first == b'.' {
                out.push(b'.');
            }
            let (line, next) = rest.split_at(memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()));
            out.extend_from_slice(line);
            self.line_start = false;
            rest = next;
        }
    }

    /// Appends the end of the message: the last line's CRLF when it is missing, then `.` CRLF.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

pub(crate) fn fuzz(input: &[u8]) {
    let mut wire = Vec::new();
    let mut pieces = Vec::new();
    let mut stuffer = DotStuffer::default();
    stuffer.encode(input, &mut wire);
    stuffer.finish(&mut wire);
    let mut stuffer = DotStuffer::default();
    for piece in input.chunks(3) {
        stuffer.encode(piece, &mut pieces);
    }
    stuffer.finish(&mut pieces);
    assert!(wire == pieces, "the wire form does not depend on the pieces");

    let limits = DataLimits { line_max: usize::MAX, message_max: u64::MAX };
    let mut decoder = DataDecoder::new(limits);
    let mut back = Vec::new();
    let progress = decoder.decode(&wire, |slice| back.extend_from_slice(slice));
    assert!(progress.finished && progress.consumed == wire.len(), "one message, and nothing behind it");
    if decoder.poison().is_none() && is_crlf_text(input) {
        assert!(back == input, "CRLF text survives octet by octet");
    }
}

/// Whether every CR and LF is part of a CRLF and the text ends with one.
fn is_crlf_text(text: &[u8]) -> bool {
    let without = text.split(|byte| *byte == b'\n').collect::<Vec<_>>();
    let Some((last, lines)) = without.split_last() else { return true };
    last.is_empty()
        && lines.iter().all(|line| line.ends_with(b"\r") && memchr::memchr_iter(b'\r', line).count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_smuggling_outbound() {
        // A stored message that holds what others take for an end (CVE-2023-51764 and its kin): on the wire every line ends
        // with CRLF, and the one end that anybody can see is the true one.
        let smuggled = b"MAIL FROM:<x>\r\nDATA\r\nx";
        for separator in [
            &b"\n.\n"[..],
            b"\n.\r",
            b"\r.\n",
            b"\r.\r",
            b"\n.\r\n",
            b"\r.\r\n",
            b"\r\n\0.\r\n",
            b"\r\n.\n",
            b"\r\n.\r",
            b"\r\n.\r\r\n",
            b"\r\r\n.\r\r\n",
            b"\r\n\x0b.\r\n",
            b"\r\n .\r\n",
            b"\r\n\xe2\x80\xa8.\r\n",
            b"\r\n.\r\n",
        ] {
            let text = [&b"A: b\r\n\r\na"[..], separator, smuggled].concat();
            for piece in [1, 2, 3, text.len()] {
                let mut wire = Vec::new();
                let mut stuffer = DotStuffer::default();
                text.chunks(piece).for_each(|part| stuffer.encode(part, &mut wire));
                stuffer.finish(&mut wire);
                let case = wire.escape_ascii().to_string();
                for (at, octet) in wire.iter().enumerate() {
                    assert!(*octet != b'\n' || at > 0 && wire[at - 1] == b'\r', "{case}");
                    assert!(*octet != b'\r' || wire.get(at + 1) == Some(&b'\n'), "{case}");
                }
                // A lax server sees what a strict one sees.
                let ends = wire.windows(4).enumerate().filter(|(_, four)| *four == b"\n.\r\n");
                assert_eq!(ends.map(|(at, _)| at).collect::<Vec<_>>(), [wire.len() - 4], "{case}");
            }
        }
    }

    fn check(text: &[u8], expected: &[u8]) {
        let mut out = Vec::new();
        let mut stuffer = DotStuffer::default();
        stuffer.encode(text, &mut out);
        stuffer.finish(&mut out);
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        fuzz(text);
    }

    #[test]
    fn dots() {
        check(b"", b".\r\n");
        check(b".", b"..\r\n.\r\n");
        check(b"a\r\n.\r\n..b\r\nc.\r\n", b"a\r\n..\r\n...b\r\nc.\r\n.\r\n");
        check(b"no end", b"no end\r\n.\r\n");
    }

    #[test]
    fn line_ends_become_crlf() {
        check(b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n");
        check(b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n");
        check(b"a\r\r\n.\r\r\nb", b"a\r\n\r\n..\r\n\r\nb\r\n.\r\n");
        check(b"a\n\r.\n", b"a\r\n\r\n..\r\n.\r\n");
    }

    proptest::proptest! {
        #[test]
        fn nothing_ends_early(parts in proptest::collection::vec("(\r\n|\r|\n|\\.|a|\r\n\\.\r\n)", 0..40)) {
            fuzz(parts.concat().as_bytes());
        }
    }
}
