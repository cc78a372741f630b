//! Messages as people send them: sizes, parts and attachments of the real world, and no two alike.
//!
//! Every message carries its number and a checksum of its body, so that any run can be proved afterwards (`ledger`).

use std::sync::LazyLock;

use envelope::Address;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::population::{Account, Class};
use crate::random::Random;

/// The header field that carries run, number and checksum.
pub(crate) const FIELD: &str = "X-Ledger";
/// Fewest and most octets of a message whose size was drawn.
const SIZE_MIN: f64 = 800.0;
const SIZE_MAX: f64 = 25.0 * 1024.0 * 1024.0;
/// Every so many messages of uneven sizes one is large.
const LARGE_EVERY: u64 = 50;
/// Octets of text and of attachments that messages are cut from.
const STOCK: usize = 1 << 20;
/// Octets of a line of base64 without its end (RFC 2045 §6.8).
const BASE64_LINE: usize = 76;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const WORDS: [&str; 48] = [
    "about",
    "again",
    "answer",
    "because",
    "before",
    "between",
    "change",
    "could",
    "different",
    "during",
    "every",
    "example",
    "figure",
    "following",
    "house",
    "important",
    "letter",
    "little",
    "market",
    "might",
    "morning",
    "number",
    "office",
    "order",
    "other",
    "paper",
    "people",
    "picture",
    "please",
    "project",
    "question",
    "reason",
    "report",
    "should",
    "small",
    "something",
    "station",
    "street",
    "summer",
    "table",
    "thank",
    "their",
    "through",
    "together",
    "tomorrow",
    "water",
    "without",
    "yesterday",
];

/// Text in lines, and base64 in lines; messages begin somewhere in them.
static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(0x7465_7874, 0);
    let mut text = Vec::with_capacity(STOCK + 100);
    while text.len() < STOCK {
        let end = text.len() + 40 + usize::try_from(random.below(35)).unwrap_or(0);
        while text.len() < end {
            text.extend_from_slice(random.pick(&WORDS).copied().unwrap_or("word").as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(b"\r\n");
    }
    text
});
static BASE64: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(0x6261_7365, 0);
    let mut text = Vec::with_capacity(STOCK + BASE64_LINE + 2);
    while text.len() < STOCK {
        text.extend((0..BASE64_LINE).map(|_| random.pick(ALPHABET).copied().unwrap_or(b'A')));
        text.extend_from_slice(b"\r\n");
    }
    text
});

/// How large, and of which parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Octets, header included.
    pub octets: usize,
    /// Whether most of it is an attachment.
    pub attachment: bool,
}

/// How the sizes of a run are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// All of one size, text alone.
    Fixed(usize),
    /// Of one size, but for one in 50, which has a hundred times as many octets.
    Uneven(usize),
    /// As the classes of a population have them.
    Real,
}

impl Shape {
    /// One of the messages that a class gets.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, and above zero")]
    pub fn of(class: Class, random: &mut Random) -> Self {
        let habits = class.habits();
        let attachment = random.chance(habits.attachments);
        let (median, sigma) = habits.octets;
        // An attachment is ten times as large as the text without one.
        let median = if attachment { median * 10.0 } else { median };
        Self { octets: random.log_normal(median, sigma).clamp(SIZE_MIN, SIZE_MAX) as usize, attachment }
    }
}

impl Sizes {
    /// The shape of the message of a number to an account of this class.
    pub fn shape(self, class: Class, number: u64, random: &mut Random) -> Shape {
        match self {
            Self::Fixed(octets) => Shape { octets, attachment: false },
            Self::Uneven(octets) if number % LARGE_EVERY == LARGE_EVERY - 1 => {
                Shape { octets: octets.saturating_mul(100), attachment: false }
            }
            Self::Uneven(octets) => Shape { octets, attachment: false },
            Self::Real => Shape::of(class, random),
        }
    }
}

/// Who writes what to whom.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'a> {
    /// The author.
    pub(crate) from: String,
    /// As `To:` names them.
    pub(crate) to: String,
    /// Its number in the run.
    pub(crate) number: u64,
    /// The run's name.
    pub(crate) run: &'a str,
    /// Seconds since 1970.
    pub(crate) at: u64,
}

impl Draft<'_> {
    /// Mail that an account kept.
    pub(crate) fn kept(account: &Account, number: u64, at: u64) -> Draft<'static> {
        Draft {
            from: "somebody@elsewhere.example".to_owned(),
            to: account.address.to_string(),
            number,
            run: "kept",
            at,
        }
    }

    /// From one address to others.
    pub(crate) fn between<'a>(
        from: &Address,
        to: &[&Address],
        number: u64,
        run: &'a str,
        at: u64,
    ) -> Draft<'a> {
        let to = to.iter().map(|address| format!("<{address}>")).collect::<Vec<_>>().join(", ");
        Draft { from: format!("<{from}>"), to, number, run, at }
    }

    /// The message with CRLF line ends, nothing in it that must be dot-stuffed. The checksum is of all behind the empty line.
    pub(crate) fn write(&self, shape: &Shape, random: &mut Random) -> Vec<u8> {
        let mut text = Vec::with_capacity(shape.octets + 256);
        let (run, number) = (self.run, self.number);
        let boundary = format!("=_{:016x}", random.next());
        let kind = if shape.attachment {
            format!("multipart/mixed; boundary=\"{boundary}\"")
        } else {
            "text/plain; charset=utf-8".to_owned()
        };
        let mut subject = Vec::new();
        for _ in 0..4 {
            subject.push(random.pick(&WORDS).copied().unwrap_or("word"));
        }
        let head = format!(
            "From: {}\r\nTo: {}\r\nSubject: {} {number}\r\nDate: {}\r\nMessage-ID: <{number}.{run}.{:x}@load.example>\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n{FIELD}: {run} {number} ",
            self.from,
            self.to,
            subject.join(" "),
            date(self.at),
            random.next(),
        );
        text.extend_from_slice(head.as_bytes());
        let checksum = text.len();
        text.extend_from_slice(b"00000000\r\n\r\n");
        let body = text.len();
        if shape.attachment {
            let part = format!(
                "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nnumber {number} of {run}\r\n"
            );
            text.extend_from_slice(part.as_bytes());
            fill(&mut text, &TEXT, (shape.octets / 20).min(4000), random);
            let part = format!(
                "--{boundary}\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"{number}.pdf\"\r\n\r\n"
            );
            text.extend_from_slice(part.as_bytes());
            let end = format!("--{boundary}--\r\n");
            let octets = shape.octets.saturating_sub(text.len() + end.len());
            fill(&mut text, &BASE64, octets, random);
            text.extend_from_slice(end.as_bytes());
        } else {
            text.extend_from_slice(format!("number {number} of {run}\r\n").as_bytes());
            let octets = shape.octets.saturating_sub(text.len());
            fill(&mut text, &TEXT, octets, random);
        }
        let sum = format!("{:08x}", crc32c::crc32c(text.get(body..).unwrap_or_default()));
        if let Some(place) = text.get_mut(checksum..checksum + 8) {
            place.copy_from_slice(sum.as_bytes());
        }
        text
    }
}

/// Appends whole lines of a stock, beginning anywhere, until `octets` are reached.
fn fill(text: &mut Vec<u8>, stock: &[u8], octets: usize, random: &mut Random) {
    let end = text.len() + octets;
    let from = usize::try_from(random.below(stock.len() as u64)).unwrap_or(0);
    let mut at = next_line(stock, from);
    while text.len() < end {
        let rest = stock.get(at..).unwrap_or_default();
        let take = next_line(rest, (end - text.len()).min(rest.len()));
        text.extend_from_slice(rest.get(..take).unwrap_or_default());
        at = 0;
    }
}

/// Where the line that holds the octet before `from` ends; the beginning is one.
fn next_line(text: &[u8], from: usize) -> usize {
    let Some(from) = from.checked_sub(1) else { return 0 };
    let behind = text.get(from..).unwrap_or_default();
    behind.iter().position(|octet| *octet == b'\n').map_or(text.len(), |at| from + at + 1)
}

/// RFC 5322 §3.3, in UTC.
fn date(at: u64) -> String {
    let at = i64::try_from(at).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    at.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc2822).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(octets: usize, attachment: bool, seed: u64) -> Vec<u8> {
        let draft = Draft {
            from: "<a@b.example>".to_owned(),
            to: "<c@d.example>".to_owned(),
            number: 17,
            run: "run",
            at: 1_790_000_000,
        };
        draft.write(&Shape { octets, attachment }, &mut Random::new(seed, 0))
    }

    #[test]
    fn the_size_is_what_was_asked_for_and_no_line_needs_stuffing() {
        for octets in [800, 5000, 50_000, 3 << 20] {
            for attachment in [false, true] {
                let text = written(octets, attachment, 5);
                let more = text.len().saturating_sub(octets);
                assert!(
                    text.len() + 10 > octets && more < if octets < 2000 { 700 } else { 120 },
                    "{octets} {attachment}: {}",
                    text.len()
                );
                assert!(text.ends_with(b"\r\n"));
                assert!(
                    !text
                        .windows(3)
                        .any(|three| three == b"\r\n." || (three[1] == b'\n' && three[0] != b'\r'))
                );
                assert!(text.split(|octet| *octet == b'\n').all(|line| line.len() < 300));
            }
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_body_and_no_two_are_alike() {
        let text = written(5000, true, 5);
        assert_ne!(text, written(5000, true, 6));
        let whole = String::from_utf8(text).unwrap();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        let field = head.lines().find_map(|line| line.strip_prefix("X-Ledger: ")).unwrap();
        assert_eq!(field, format!("run 17 {:08x}", crc32c::crc32c(body.as_bytes())));
        assert!(head.contains("\r\nDate: Mon, 21 Sep 2026 14:13:20 +0000\r\n"), "{head}");
        assert!(head.contains("Subject: ") && head.contains("To: <c@d.example>"), "{head}");
    }

    #[test]
    fn attachments_make_some_of_the_mail_large() {
        let mut random = Random::new(2, 0);
        let shapes: Vec<Shape> =
            (0..5000).map(|_| Sizes::Real.shape(Class::Corporate, 0, &mut random)).collect();
        let with = shapes.iter().filter(|shape| shape.attachment).count();
        assert!((1000..1200).contains(&with), "{with}");
        let large = shapes.iter().filter(|shape| shape.octets > 1 << 20).count();
        // One in 25 of those with an attachment.
        assert!((20..90).contains(&large), "{large}");
        assert!(shapes.iter().all(|shape| shape.octets <= 25 << 20));
    }
}
