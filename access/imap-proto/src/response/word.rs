//! The parts that responses are made of (RFC 3501 §4, §9).

use std::ops::RangeInclusive;

use crate::{chars, mutf7};

/// Longest string that is written in quotes; longer ones are literals, which clients read without scanning.
const QUOTED_MAX: usize = 1024;

/// A number in digits.
pub fn number(number: u64, out: &mut Vec<u8>) {
    /// Digits of the largest.
    const DIGITS: usize = 20;
    let mut digits = [b'0'; DIGITS];
    let mut rest = number;
    let mut from = DIGITS;
    for digit in digits.iter_mut().rev() {
        from -= 1;
        *digit += (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

/// ```abnf
/// string = quoted / literal
/// ```
///
/// Quoted when short, 7-bit and without CR and LF, else a literal.
pub fn string(octets: &[u8], out: &mut Vec<u8>) {
    let (mut is_odd, mut is_escaped) = (false, false);
    // No early end: this way a step takes many octets.
    for octet in octets {
        is_odd |= matches!(octet, 0 | b'\r' | b'\n') || *octet > 0x7f;
        is_escaped |= matches!(octet, b'"' | b'\\');
    }
    if octets.len() > QUOTED_MAX || is_odd {
        return literal(octets, out);
    }
    out.reserve(octets.len() + 2);
    out.push(b'"');
    let mut rest = octets;
    let next = |rest| if is_escaped { memchr::memchr2(b'"', b'\\', rest) } else { None };
    while let Some(at) = next(rest) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        out.push(b'\\');
        let (escaped, after) = from.split_at(1);
        out.extend_from_slice(escaped);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// ```abnf
/// nstring = string / "NIL"
/// ```
pub fn nstring(octets: Option<&[u8]>, out: &mut Vec<u8>) {
    match octets {
        Some(octets) => string(octets, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// ```abnf
/// literal = "{" number "}" CRLF *CHAR8
/// ```
pub fn literal(octets: &[u8], out: &mut Vec<u8>) {
    literal_head(octets.len() as u64, out);
    literal_octets(octets, out);
}

/// Octets of a literal. NUL is no CHAR8: it is written as 0x80, which keeps the length.
pub fn literal_octets(octets: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(octets);
    let written = out.get_mut(start..).unwrap_or_default();
    if memchr::memchr(0, written).is_some() {
        for octet in written.iter_mut().filter(|octet| **octet == 0) {
            *octet = 0x80;
        }
    }
}

/// The announcement of a literal; [`literal_octets`] follow, in pieces of any length.
pub fn literal_head(octets: u64, out: &mut Vec<u8>) {
    out.push(b'{');
    number(octets, out);
    out.extend_from_slice(b"}\r\n");
}

/// ```abnf
/// astring = 1*ASTRING-CHAR / string
/// ```
///
/// `NIL` is quoted, so that nobody takes it for nothing.
pub fn astring(octets: &[u8], out: &mut Vec<u8>) {
    let atom = !octets.is_empty() && octets.iter().all(|octet| chars::is_astring_char(*octet));
    if atom && !octets.eq_ignore_ascii_case(b"NIL") {
        out.extend_from_slice(octets);
    } else {
        string(octets, out);
    }
}

/// A mailbox name in modified UTF-7 (RFC 3501 §5.1.3), as an atom where that is possible.
pub fn mailbox(name: &str, out: &mut Vec<u8>) {
    astring(mutf7::encode(name).as_bytes(), out);
}

/// A mailbox name in UTF-8, for sessions that enabled UTF8=ACCEPT or IMAP4rev2 (RFC 9051 §5.1). Control
/// characters still make a literal.
pub fn mailbox_utf8(name: &str, out: &mut Vec<u8>) {
    if name.is_ascii() || name.chars().any(char::is_control) {
        return astring(name.as_bytes(), out);
    }
    out.push(b'"');
    for octet in name.bytes() {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}

/// `"(" [word *(SP word)] ")"`, where the words are atoms or flags.
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'(');
    for (index, word) in words.into_iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word.as_bytes());
    }
    out.push(b')');
}

/// ```abnf
/// uid-set = (uniqueid / uid-range) *("," uid-set)        ; RFC 4315 §4
/// ```
///
/// Numbers in the order given, ascending runs as ranges. COPYUID pairs two sets by order, so that
/// nothing is sorted; ESEARCH gives them ascending.
pub fn set(numbers: impl IntoIterator<Item = u32>, out: &mut Vec<u8>) {
    let mut run: Option<RangeInclusive<u32>> = None;
    let mut comma = false;
    for number in numbers {
        match &mut run {
            Some(range) if range.end().checked_add(1) == Some(number) => *range = *range.start()..=number,
            _ => {
                if let Some(done) = run.replace(number..=number) {
                    range(&done, &mut comma, out);
                }
            }
        }
    }
    if let Some(done) = run {
        range(&done, &mut comma, out);
    }
}

fn range(range: &RangeInclusive<u32>, comma: &mut bool, out: &mut Vec<u8>) {
    if std::mem::replace(comma, true) {
        out.push(b',');
    }
    number(u64::from(*range.start()), out);
    if range.start() != range.end() {
        out.push(b':');
        number(u64::from(*range.end()), out);
    }
}

/// Free text up to the line's end: printable, in one line.
pub fn text(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for character in text.chars() {
        match character {
            ' '..='~' => out.push(character as u8),
            character if character.is_control() => out.push(b' '),
            _ => out.push(b'?'),
        }
    }
    // RFC 3501 §9: text is one character at least.
    if out.len() == start {
        out.push(b'-');
    }
}
