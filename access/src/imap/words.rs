//! Strings as responses show them (RFC 3501 §4.3, §9).

use imap_proto::mutf7;

/// Longest string that is written in quotes.
const QUOTED_MAX: usize = 1024;

/// ```abnf
/// string = quoted / literal
/// ```
pub(crate) fn string(octets: &[u8], out: &mut Vec<u8>) {
    // RFC 3501 §9: TEXT-CHAR is 7-bit without NUL, CR and LF.
    let plain = |octet: &u8| matches!(octet, 1..=0x7f) && !matches!(octet, b'\r' | b'\n');
    if octets.len() <= QUOTED_MAX && octets.iter().all(plain) {
        out.push(b'"');
        for octet in octets {
            if matches!(octet, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*octet);
        }
        out.push(b'"');
        return;
    }
    literal_head(octets.len() as u64, out);
    out.extend(octets.iter().map(|octet| if *octet == 0 { 0x80 } else { *octet }));
}

/// ```abnf
/// nstring = string / nil
/// ```
pub(crate) fn nstring(octets: Option<&[u8]>, out: &mut Vec<u8>) {
    match octets {
        Some(octets) => string(octets, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// The announcement of a literal.
pub(crate) fn literal_head(octets: u64, out: &mut Vec<u8>) {
    out.push(b'{');
    number(octets, out);
    out.extend_from_slice(b"}\r\n");
}

/// A number in digits.
pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to a Vec does not fail.
    let _ = write!(out, "{number}");
}

/// A mailbox name: an atom where that is possible, in modified UTF-7.
pub(crate) fn mailbox(name: &str, out: &mut Vec<u8>) {
    let wire = mutf7::encode(name);
    let atom = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'/' | b'.' | b'-' | b'_' | b'&' | b'+' | b',' | b'$' | b'#' | b'@');
    if !wire.is_empty() && wire.bytes().all(atom) {
        out.extend_from_slice(wire.as_bytes());
    } else {
        string(wire.as_bytes(), out);
    }
}

/// UIDs in the order given, runs as ranges (RFC 4315 §3: `uid-set`).
pub(crate) fn uid_set(uids: impl Iterator<Item = u32>, out: &mut Vec<u8>) {
    let mut run: Option<(u32, u32)> = None;
    let mut first = true;
    let mut write = |(start, end): (u32, u32), out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        number(start.into(), out);
        if end > start {
            out.push(b':');
            number(end.into(), out);
        }
    };
    for uid in uids {
        match &mut run {
            Some((_, end)) if end.checked_add(1) == Some(uid) => *end = uid,
            _ => {
                if let Some(done) = run.replace((uid, uid)) {
                    write(done, out);
                }
            }
        }
    }
    if let Some(done) = run {
        write(done, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Vec<u8>), expected: &str) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn strings() {
        check(|out| string(b"a\"b\\", out), "\"a\\\"b\\\\\"");
        check(|out| string(b"", out), "\"\"");
        check(|out| string(b"a\r\nb", out), "{4}\r\na\r\nb");
        check(|out| string("é".as_bytes(), out), "{2}\r\né");
        check(|out| nstring(None, out), "NIL");
    }

    #[test]
    fn mailboxes() {
        check(|out| mailbox("INBOX", out), "INBOX");
        check(|out| mailbox("a b", out), "\"a b\"");
        check(|out| mailbox("Entwürfe", out), "Entw&APw-rfe");
        check(|out| mailbox("", out), "\"\"");
    }

    #[test]
    fn uid_sets_keep_their_order() {
        check(|out| uid_set([1, 2, 3, 7, 5, 6].into_iter(), out), "1:3,7,5:6");
        check(|out| uid_set([].into_iter(), out), "");
        check(|out| uid_set([u32::MAX].into_iter(), out), "4294967295");
    }
}
