//! The message behind BDAT (RFC 3030 §2): counted octets, and the rules of text behind DATA.
//!
//! ```text
//!  begin(n) ── decode ── … ── left() == 0    a chunk; its octets are taken whatever they are
//!  begin(m) ── decode ── … ── left() == 0    the next; a line may be cut anywhere between two
//!  finish()                                  the last line gets its CRLF if it has none
//! ```
//!
//! Where the message ends is never in doubt here, since octets are counted: a wrong one poisons the message and nothing
//! else. A bare CR or LF, a NUL and a line over the limit are refused as they are behind DATA: what is stored can be sent on with
//! DATA to anybody. With BINARYMIME only the octets are counted ([`ChunkDecoder::binary`]), and whoever takes them makes lines of
//! them (docs/decisions/027-chunking-and-binarymime.md).

use memchr::memchr3;

use crate::Poison;
use crate::limits::DataLimits;

/// Takes the chunks of one message.
#[derive(Debug, Clone)]
pub struct ChunkDecoder {
    limits: DataLimits,
    /// Octets of this chunk that did not come yet.
    left: u64,
    /// Octets in the line under way.
    line: usize,
    /// Whether the last octet was a CR.
    after_cr: bool,
    size: u64,
    poison: Option<Poison>,
    /// Whether lines are judged.
    is_text: bool,
}

impl ChunkDecoder {
    /// A decoder at the beginning of a message.
    pub const fn new(limits: DataLimits) -> Self {
        Self { limits, left: 0, line: 0, after_cr: false, size: 0, poison: None, is_text: true }
    }

    /// The same for a message of any octets (RFC 3030 §3): only its size is judged.
    pub const fn binary(limits: DataLimits) -> Self {
        Self { is_text: false, ..Self::new(limits) }
    }

    /// A chunk of `size` octets follows. One that leads over the limit poisons the message at once.
    pub const fn begin(&mut self, size: u64) {
        self.left = size;
        if self.size.saturating_add(size) > self.limits.message_max {
            self.taint(Poison::MessageTooBig);
        }
    }

    /// Takes octets of the chunk and hands them on; gives how many it took. Nothing is handed on once the message is
    /// poisoned.
    pub fn decode<F: FnMut(&[u8])>(&mut self, input: &[u8], mut take: F) -> usize {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let part = input.get(..length).unwrap_or_default();
        self.left -= part.len() as u64;
        self.size = self.size.saturating_add(part.len() as u64);
        if self.poison.is_none() && self.is_text {
            self.judge(part);
        }
        if self.poison.is_none() && !part.is_empty() {
            take(part);
        }
        part.len()
    }

    /// Octets of the chunk that are still to come.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// The message is complete. Gives the line end that its last line lacks: a text file's last line has one in every
    /// other way that the message may take.
    pub const fn finish(&mut self) -> &'static [u8] {
        if self.after_cr {
            self.taint(Poison::BareCr);
        }
        if self.line == 0 || self.poison.is_some() {
            return b"";
        }
        self.line = 0;
        self.size = self.size.saturating_add(2);
        if self.size > self.limits.message_max {
            self.taint(Poison::MessageTooBig);
        }
        b"\r\n"
    }

    /// Why the message is refused; `None` for a good one.
    pub const fn poison(&self) -> Option<Poison> {
        self.poison
    }

    /// Octets of the message so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn judge(&mut self, part: &[u8]) {
        let mut rest = part;
        while let Some((byte, behind)) = rest.split_first() {
            if std::mem::take(&mut self.after_cr) {
                if *byte == b'\n' {
                    self.line = 0;
                    rest = behind;
                    continue;
                }
                self.taint(Poison::BareCr);
            }
            // Text is skipped in one stride to the next octet that means something.
            let stride = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
            let (text, found) = rest.split_at_checked(stride).unwrap_or((rest, &[]));
            self.line = self.line.saturating_add(text.len());
            if self.line > self.limits.line_max {
                self.taint(Poison::LineTooLong);
            }
            let Some((byte, behind)) = found.split_first() else { return };
            match byte {
                b'\r' => self.after_cr = true,
                b'\n' => self.taint(Poison::BareLf),
                _ => self.taint(Poison::Nul),
            }
            rest = behind;
        }
    }

    const fn taint(&mut self, poison: Poison) {
        if self.poison.is_none() {
            self.poison = Some(poison);
        }
    }
}

/// The first octet of `input` says where it is cut into chunks; the rest is the message.
pub(crate) fn fuzz(input: &[u8]) {
    let limits = DataLimits { line_max: 64, message_max: 512 };
    let (cut, message) =
        input.split_first().map_or((1, input), |(cut, rest)| (usize::from(*cut).max(1), rest));
    let run = |piece: usize| {
        let mut decoder = ChunkDecoder::new(limits);
        let mut out = Vec::new();
        for chunk in message.chunks(cut) {
            decoder.begin(chunk.len() as u64);
            // What follows the chunk is not taken with it.
            let wire = [chunk, b"\r\nMAIL FROM:<>\r\n"].concat();
            let mut taken = 0;
            while decoder.left() > 0 {
                let rest = wire.get(taken..).unwrap_or_default();
                taken +=
                    decoder.decode(rest.get(..piece).unwrap_or(rest), |slice| out.extend_from_slice(slice));
            }
            assert!(taken == chunk.len(), "a chunk is consumed exactly");
            assert!(decoder.decode(&wire, |_| {}) == 0, "nothing is taken behind a chunk");
        }
        let end = decoder.finish();
        out.extend_from_slice(end);
        (decoder.poison().is_none(), decoder.poison().is_none().then_some(out))
    };
    let whole = run(message.len().max(1));
    for piece in [1, 2, 5] {
        assert!(run(piece) == whole, "segments do not matter");
    }
    // The same message behind DATA has the same fate.
    if let (true, Some(expected)) = whole {
        let mut wire = Vec::new();
        let mut stuffer = crate::DotStuffer::default();
        stuffer.encode(message, &mut wire);
        stuffer.finish(&mut wire);
        let mut decoder = crate::DataDecoder::new(limits);
        let mut out = Vec::new();
        let progress = decoder.decode(&wire, |slice| out.extend_from_slice(slice));
        assert!(progress.finished && decoder.poison().is_none(), "good in chunks is good behind DATA");
        assert!(out == expected, "and the same octets");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DataLimits = DataLimits { line_max: 20, message_max: 100 };

    /// What becomes of the chunks: octets, or why not.
    fn check(chunks: &[&[u8]], expected: Result<&[u8], Poison>) {
        let mut decoder = ChunkDecoder::new(LIMITS);
        let mut out = Vec::new();
        for chunk in chunks {
            decoder.begin(chunk.len() as u64);
            assert_eq!(decoder.decode(chunk, |slice| out.extend_from_slice(slice)), chunk.len());
            assert_eq!(decoder.left(), 0);
        }
        out.extend_from_slice(decoder.finish());
        let got = decoder.poison().map_or(Ok(out.escape_ascii().to_string()), Err);
        assert_eq!(got, expected.map(|text| text.escape_ascii().to_string()), "{chunks:?}");
    }

    #[test]
    fn messages() {
        check(&[], Ok(b""));
        check(&[b""], Ok(b""));
        check(&[b"a\r\n", b"b\r\n"], Ok(b"a\r\nb\r\n"));
        check(&[b"a\r", b"\nb", b"", b"\r\n"], Ok(b"a\r\nb\r\n"));
        check(&[b".\r\n..\r\n.\r\n"], Ok(b".\r\n..\r\n.\r\n"));
        check(&[b"a\r\nno end"], Ok(b"a\r\nno end\r\n"));
    }

    #[test]
    fn the_rules_of_text_hold() {
        check(&[b"a\nb\r\n"], Err(Poison::BareLf));
        check(&[b"a\rb\r\n"], Err(Poison::BareCr));
        check(&[b"a\r\r\n"], Err(Poison::BareCr));
        check(&[b"a\r", b"b\r\n"], Err(Poison::BareCr));
        check(&[b"a\r"], Err(Poison::BareCr));
        check(&[b"\n"], Err(Poison::BareLf));
        check(&[b"a\0b\r\n"], Err(Poison::Nul));
        for (length, good) in [(19, true), (20, true), (21, false)] {
            let line = [&b"x".repeat(length)[..], b"\r\n"].concat();
            check(&[&line], if good { Ok(&line) } else { Err(Poison::LineTooLong) });
            let (head, tail) = line.split_at(10);
            check(&[head, tail], if good { Ok(&line) } else { Err(Poison::LineTooLong) });
        }
    }

    #[test]
    fn the_size_counts_over_all_chunks() {
        let line = b"12345678\r\n";
        for (last, good) in [(9, true), (10, true), (11, false)] {
            let mut chunks = vec![&line[..]; 9];
            let text = [&b"y".repeat(last - 2)[..], b"\r\n"].concat();
            chunks.push(&text);
            let whole = chunks.concat();
            check(&chunks, if good { Ok(&whole) } else { Err(Poison::MessageTooBig) });
        }
        let mut decoder = ChunkDecoder::new(LIMITS);
        for size in [101, 1 << 63, u64::MAX] {
            decoder.begin(size);
            assert_eq!((decoder.poison(), decoder.left()), (Some(Poison::MessageTooBig), size));
        }
        // The line end that is put in counts too.
        for (length, good) in [(98, true), (99, false)] {
            let text = [&b"1234567\r\n".repeat(9)[..], &b"x".repeat(length - 81)[..]].concat();
            let mut decoder = ChunkDecoder::new(LIMITS);
            decoder.begin(text.len() as u64);
            decoder.decode(&text, |_| {});
            decoder.finish();
            assert_eq!(decoder.poison().is_none(), good, "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn chunks_and_segments_do_not_matter(cut in 0u8..40, parts in proptest::collection::vec("(\r\n|\r|\n|\\.|a|\0|\r\n\\.\r\n)", 0..40)) {
            fuzz(&[&[cut], parts.concat().as_bytes()].concat());
        }

        #[test]
        fn what_is_good_is_good_behind_data(cut in 0u8..40, lines in proptest::collection::vec("[.a]{0,9}", 0..30)) {
            fuzz(&[&[cut], lines.join("\r\n").as_bytes()].concat());
        }
    }
}
