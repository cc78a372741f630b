//! Modified UTF-7 (RFC 3501 §5.1.3).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    let mut run: Vec<u16> = Vec::new();
    for character in text.chars() {
        if (' '..='~').contains(&character) {
            flush(&mut encoded, &mut run);
            encoded.push(character);
            if character == '&' {
                encoded.push('-');
            }
        } else {
            run.extend_from_slice(character.encode_utf16(&mut [0; 2]));
        }
    }
    flush(&mut encoded, &mut run);
    encoded
}

fn flush(encoded: &mut String, run: &mut Vec<u16>) {
    if run.is_empty() {
        return;
    }
    encoded.push('&');
    let (mut bits, mut count) = (0u32, 0u32);
    for unit in run.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            encoded.push(digit(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        encoded.push(digit(bits << (6 - count)));
    }
    encoded.push('-');
}

fn digit(bits: u32) -> char {
    ALPHABET.get(bits as usize & 63).map_or('A', |byte| char::from(*byte))
}

/// `None` for anything that [`encode`] would not give.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some((plain, shifted)) = rest.split_once('&') {
        decoded.push_str(plain);
        let (run, after) = shifted.split_once('-')?;
        if run.is_empty() {
            decoded.push('&');
        } else {
            decode_run(run, &mut decoded)?;
        }
        rest = after;
    }
    decoded.push_str(rest);
    (encode(&decoded) == text).then_some(decoded)
}

fn decode_run(run: &str, decoded: &mut String) -> Option<()> {
    let (mut bits, mut count) = (0u32, 0u32);
    let mut units = Vec::new();
    for byte in run.bytes() {
        let value = ALPHABET.iter().position(|digit| *digit == byte)?;
        bits = (bits << 6 | value as u32) & 0x003f_ffff;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count) as u16);
            bits &= (1 << count) - 1;
        }
    }
    decoded.push_str(&String::from_utf16(&units).ok()?);
    Some(())
}
