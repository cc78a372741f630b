//! Modified UTF-7: mailbox names on the wire (RFC 3501 §5.1.3).
//!
//! ```text
//! printable US-ASCII stands for itself, "&" is "&-",
//! everything else is "&" modified-base64(UTF-16BE) "-", where "," replaces "/" and there is no padding
//! ```
//!
//! Decoding is strict, so that a name has one spelling: base64 for what could stand for itself, two shifts
//! in a row, left-over bits, half a surrogate pair, and NUL are refused.

/// `A` to `+` as in base64; `,` is 63.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Reads a name from the wire. None when it is not modified UTF-7.
pub fn decode(octets: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets.iter().copied();
    let mut after_shift = false;
    while let Some(octet) = rest.next() {
        if octet != b'&' {
            if !is_direct(octet) {
                return None;
            }
            text.push(char::from(octet));
            after_shift = false;
            continue;
        }
        let encoded = take_until(&mut rest, b'-')?;
        if encoded.is_empty() {
            text.push('&');
            after_shift = false;
            continue;
        }
        if after_shift {
            return None;
        }
        decode_shifted(&encoded, &mut text)?;
        after_shift = true;
    }
    Some(text)
}

/// Writes a name as it stands on the wire.
pub fn encode(text: &str) -> String {
    let mut wire = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    for character in text.chars() {
        if u8::try_from(character).is_ok_and(is_direct) {
            encode_shifted(&mut units, &mut wire);
            wire.push(character);
            if character == '&' {
                wire.push('-');
            }
        } else {
            let mut pair = [0; 2];
            units.extend_from_slice(character.encode_utf16(&mut pair));
        }
    }
    encode_shifted(&mut units, &mut wire);
    wire
}

/// What stands for itself: printable US-ASCII. (`&` does too, but for the `-` behind it.)
const fn is_direct(octet: u8) -> bool {
    matches!(octet, 0x20..=0x7e)
}

/// Everything before `end`, which is taken too. None when `end` does not come.
fn take_until(octets: &mut impl Iterator<Item = u8>, end: u8) -> Option<Vec<u8>> {
    let mut taken = Vec::new();
    for octet in octets {
        if octet == end {
            return Some(taken);
        }
        taken.push(octet);
    }
    None
}

fn decode_shifted(encoded: &[u8], text: &mut String) -> Option<()> {
    let mut bits = 0u32;
    let mut count = 0;
    let mut units: Vec<u16> = Vec::with_capacity(encoded.len() / 2);
    for octet in encoded {
        let digit = ALPHABET.iter().position(|letter| letter == octet)?;
        bits = (bits << 6) | u32::try_from(digit).ok()?;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    if count >= 6 || bits != 0 || units.is_empty() {
        return None;
    }
    for character in char::decode_utf16(units) {
        let character = character.ok()?;
        if character == '\0' || u8::try_from(character).is_ok_and(is_direct) {
            return None;
        }
        text.push(character);
    }
    Some(())
}

fn encode_shifted(units: &mut Vec<u16>, wire: &mut String) {
    if units.is_empty() {
        return;
    }
    wire.push('&');
    let mut bits = 0u32;
    let mut count = 0;
    let mut push = |value: u32| {
        let letter = ALPHABET.get((value & 63) as usize).copied().unwrap_or(b'A');
        wire.push(char::from(letter));
    };
    for unit in units.drain(..) {
        bits = (bits << 16) | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            push(bits >> count);
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        push(bits << (6 - count));
    }
    wire.push('-');
}

/// For fuzzing: what decodes encodes to the same octets.
pub fn fuzz_mutf7(input: &[u8]) {
    if let Some(text) = decode(input) {
        assert_eq!(encode(&text).as_bytes(), input);
        assert!(!text.contains('\0'));
    }
    if let Ok(text) = std::str::from_utf8(input)
        && !text.contains('\0')
    {
        let wire = encode(text);
        assert!(wire.bytes().all(is_direct));
        assert_eq!(decode(wire.as_bytes()).as_deref(), Some(text));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answers() {
        for (text, wire) in [
            ("", ""),
            ("INBOX", "INBOX"),
            ("a&b", "a&-b"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"), // RFC 3501 §5.1.3
            ("Entwürfe", "Entw&APw-rfe"),
            ("Отправленные", "&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-"),
            ("☺&", "&Jjo-&-"),
            ("😀", "&2D3eAA-"),
            ("a\tb", "a&AAk-b"),
            ("100 %", "100 %"),
        ] {
            assert_eq!(encode(text), wire, "{text}");
            assert_eq!(decode(wire.as_bytes()).as_deref(), Some(text), "{wire}");
        }
    }

    #[test]
    fn refused() {
        for wire in [
            "&",
            "a&b",
            "&AAA-",      // NUL
            "&AGE-",      // `a` stands for itself
            "&ACY-",      // so does `&`
            "&AC8-",      // and `/`: a hidden delimiter
            "&AC4ALg-",   // and `..`
            "&Jjo-&Jjo-", // two shifts in a row, RFC 3501's own example
            "&Jjo",       // no end
            "&Jj-",       // half a unit
            "&Jjp-",      // left-over bits
            "&JjoA-",     // a digit too many
            "&A-",        // a digit alone
            "&2D0-",      // half a pair
            "&3gDYPQ-",   // a pair the wrong way round
            "&U/BTFw-",   // `/` of plain base64
            "&Jjo=-",     // padding
            "&Jjo -",     // a blank
            "é",
            "a\tb",
            "\x7f",
        ] {
            assert_eq!(decode(wire.as_bytes()), None, "{wire}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(text in "[^\\x00]{0,20}") {
            fuzz_mutf7(text.as_bytes());
        }

        #[test]
        fn one_spelling(wire in "[&A-Za-z0-9+,-]{0,20}") {
            fuzz_mutf7(wire.as_bytes());
        }
    }
}
