//! Files within a text, as programs wrote them before MIME: several readers still open them, so rules look at them.
//!
//! ```text
//! begin 644 name
//! #0V%T        the first letter says how many octets the line holds; each four letters are three octets
//! `
//! end
//! ```

use memchr::memmem;

/// What the first line begins with.
const BEGIN: &str = "begin ";

/// Such files of a text; at most `max`.
pub(super) fn files(text: &str, max: usize) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    // Most texts have none, and this one look is faster than one at each line.
    if memmem::find(text.as_bytes(), BEGIN.as_bytes()).is_none() {
        return found;
    }
    let mut lines = text.lines();
    while found.len() < max {
        let Some(line) = lines.next() else { break };
        let Some(name) = begun(line) else { continue };
        let mut octets = Vec::new();
        let mut rest = lines.clone();
        let mut decoded = false;
        while let Some(line) = rest.next() {
            if line.trim_end() == "end" || !decode(line.as_bytes(), &mut octets) {
                break;
            }
            decoded = true;
            lines = rest.clone();
        }
        if decoded {
            found.push((name.to_owned(), octets));
        }
    }
    found
}

fn begun(line: &str) -> Option<&str> {
    let (mode, name) = line.strip_prefix(BEGIN)?.split_once(' ')?;
    let octal = (3..=4).contains(&mode.len()) && mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let name = name.trim();
    (octal && !name.is_empty()).then_some(name)
}

/// One line; `false` when it is none.
fn decode(line: &[u8], octets: &mut Vec<u8>) -> bool {
    let Some((first, letters)) = line.split_first() else { return false };
    let value = |byte: u8| (b' '..=b'`').contains(&byte).then(|| byte.wrapping_sub(b' ') & 63);
    let Some(length) = value(*first) else { return false };
    let mut left = usize::from(length);
    for group in letters.chunks(4) {
        let mut word = 0u32;
        for at in 0..4 {
            // Spaces at a line's end are lost on the way.
            let Some(six) = value(group.get(at).copied().unwrap_or(b' ')) else { return false };
            word = word << 6 | u32::from(six);
        }
        let [_, bytes @ ..] = word.to_be_bytes();
        octets.extend(bytes.iter().take(left.min(3)));
        left = left.saturating_sub(3);
    }
    left == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_files_before_mime() {
        let check = |text: &str, expected: &[(&str, &[u8])]| {
            let found = files(text, 3);
            let found: Vec<(&str, &[u8])> =
                found.iter().map(|(name, octets)| (name.as_str(), octets.as_slice())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("Hello\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\n", &[("cat.txt", b"Cat")]);
        check("begin 644 a.exe\n\"35H\n", &[("a.exe", b"MZ")]);
        check("begin 644 a\n#0V%T\n`\nend\nbegin 0755 b\n#0V%T\nend", &[("a", b"Cat"), ("b", b"Cat")]);
        check("begin at once\nto work\n", &[]);
        check("begin 644 a\nno\u{e4}\n", &[]);
        check("begin 644 \n#0V%T\n", &[]);
        check("begin 644 a", &[]);
        assert_eq!(files(&"begin 644 a\n#0V%T\nend\n".repeat(9), 3).len(), 3);
    }
}
