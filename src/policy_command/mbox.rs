//! Messages of an mbox file (RFC 4155): each begins behind a line `From …` that stands first or behind an empty line. A `>` before `From ` was put there by
//! the writer and goes.

use std::io::{self, BufRead, Read as _};

/// Octets that are read of a line at once.
const CHUNK_MAX: u64 = 64 << 10;
const SEPARATOR: &[u8] = b"From ";

/// Reads one message after the other; holds one.
pub(super) struct Mbox<R> {
    reader: R,
    message_max: usize,
    began: bool,
    over: bool,
}

/// A message of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its octets.
    Whole(Vec<u8>),
    /// It has more octets than wanted.
    TooLarge,
}

impl<R: BufRead> Mbox<R> {
    pub(super) const fn new(reader: R, message_max: usize) -> Self {
        Self { reader, message_max, began: false, over: false }
    }

    /// The next message; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Part>> {
        if self.over {
            return Ok(None);
        }
        let (mut message, mut too_large) = (Vec::new(), false);
        // Whether the chunk begins a line, and whether the line before it was empty.
        let (mut at_start, mut behind_empty) = (true, !self.began);
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            self.reader.by_ref().take(CHUNK_MAX).read_until(b'\n', &mut chunk)?;
            if chunk.is_empty() {
                self.over = true;
                if !self.began {
                    return Ok(None);
                }
                break;
            }
            let ends = chunk.last() == Some(&b'\n');
            if at_start && behind_empty && chunk.starts_with(SEPARATOR) {
                self.skip_rest_of_line(ends)?;
                if self.began {
                    without_last_empty_line(&mut message);
                    break;
                }
                self.began = true;
                behind_empty = true;
                continue;
            }
            self.began = true;
            let content = if at_start { unquoted(&chunk) } else { &chunk };
            if message.len() + content.len() > self.message_max {
                too_large = true;
                message = Vec::new();
            } else if !too_large {
                message.extend_from_slice(content);
            }
            behind_empty = at_start && matches!(chunk.as_slice(), b"\n" | b"\r\n");
            at_start = ends;
        }
        Ok(Some(if too_large { Part::TooLarge } else { Part::Whole(message) }))
    }

    fn skip_rest_of_line(&mut self, mut ended: bool) -> io::Result<()> {
        let mut chunk = Vec::new();
        while !ended {
            chunk.clear();
            self.reader.by_ref().take(CHUNK_MAX).read_until(b'\n', &mut chunk)?;
            ended = chunk.is_empty() || chunk.last() == Some(&b'\n');
        }
        Ok(())
    }
}

/// A line `>From `, `>>From ` and so on without its first `>`.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|octet| **octet == b'>').count();
    match line.split_at_checked(1) {
        Some((_, rest))
            if quotes > 0 && line.get(quotes..).is_some_and(|rest| rest.starts_with(SEPARATOR)) =>
        {
            rest
        }
        _ => line,
    }
}

/// The empty line before a separator is the file's.
fn without_last_empty_line(message: &mut Vec<u8>) {
    for end in [b"\r\n".as_slice(), b"\n"] {
        if message.ends_with(end) {
            message.truncate(message.len() - end.len());
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], max: usize) -> Vec<Part> {
        let mut mbox = Mbox::new(text, max);
        let mut parts = Vec::new();
        while let Some(part) = mbox.next().unwrap() {
            parts.push(part);
        }
        parts
    }

    fn check(text: &str, expected: &[&str]) {
        let expected: Vec<Part> = expected.iter().map(|part| Part::Whole(part.as_bytes().to_vec())).collect();
        assert_eq!(read(text.as_bytes(), 1000), expected, "{text:?}");
    }

    #[test]
    fn messages_are_told_apart() {
        check("", &[]);
        check("From a\nS: 1\n\nx\n", &["S: 1\n\nx\n"]);
        check("From a\nS: 1\n\nx\n\nFrom b\nS: 2\n\ny\n\n", &["S: 1\n\nx\n", "S: 2\n\ny\n\n"]);
        check("From a\r\nS: 1\r\n\r\nx\r\n\r\nFrom b\r\ny", &["S: 1\r\n\r\nx\r\n", "y"]);
        check(
            "From a\nS: 1\n\n>From x\n>>From y\n> From z\n>Fromage\n",
            &["S: 1\n\nFrom x\n>From y\n> From z\n>Fromage\n"],
        );
        // Within a paragraph it is text.
        check("From a\n\nx\nFrom me\n", &["\nx\nFrom me\n"]);
        check("no separator\n", &["no separator\n"]);
    }

    #[test]
    fn a_message_over_the_bound_is_left_out_and_the_next_is_read() {
        let text = |octets: usize| format!("From a\n{}\nFrom b\ny\n", "x".repeat(octets - 1) + "\n");
        for (octets, whole) in [(99, true), (100, true), (101, false)] {
            let parts = read(text(octets).as_bytes(), 101);
            assert_eq!(parts.len(), 2, "{octets}");
            assert_eq!(matches!(parts[0], Part::Whole(_)), whole, "{octets}");
            assert_eq!(parts[1], Part::Whole(b"y\n".to_vec()));
        }
    }

    #[test]
    fn any_octets_are_read_to_their_end() {
        let mut seed = 7u64;
        for _ in 0..2000 {
            let mut text = Vec::new();
            while text.len() < 200 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let pieces: [&[u8]; 6] = [b"From ", b"\n", b"\r\n", b">", b"x", &[0, 255]];
                text.extend_from_slice(pieces[usize::try_from(seed >> 33).unwrap() % pieces.len()]);
            }
            let octets: usize = read(&text, 50)
                .iter()
                .map(|part| match part {
                    Part::Whole(message) => {
                        assert!(message.len() <= 50);
                        message.len()
                    }
                    Part::TooLarge => 0,
                })
                .sum();
            assert!(octets <= text.len());
        }
    }
}
