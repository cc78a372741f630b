//! A header section, field by field, octets untouched.

use memchr::memmem;

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// All of it, with its line ends.
    pub(crate) octets: &'a [u8],
    /// Before the colon, without white space at its end.
    pub(crate) name: &'a [u8],
    /// Behind the colon, line ends and all but the last included.
    pub(crate) value: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name, in any case.
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value on one line, without white space at its ends. What is no UTF-8 is replaced.
    pub(crate) fn unfolded(&self) -> String {
        let text = String::from_utf8_lossy(self.value);
        let mut unfolded = String::with_capacity(text.len());
        for (at, line) in text.split("\r\n").enumerate() {
            if at > 0 && !unfolded.is_empty() {
                unfolded.push(' ');
            }
            unfolded.push_str(line.trim_matches([' ', '\t']));
        }
        unfolded.trim().to_owned()
    }
}

/// The fields of a message up to its empty line or to the first line that is none (RFC 5322 §2.2).
pub(crate) fn split(message: &[u8]) -> Vec<Field<'_>> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let (mut begin, mut at) = (0, 0);
    let mut open = false;
    loop {
        let rest = message.get(at..).unwrap_or_default();
        let length = memmem::find(rest, b"\r\n").map_or(rest.len(), |found| found + 2);
        let line = rest.get(..length).unwrap_or_default();
        let continued = open && matches!(line.first(), Some(b' ' | b'\t'));
        if !continued {
            if open {
                fields.extend(field(message.get(begin..at).unwrap_or_default()));
            }
            if line.is_empty() || line == b"\r\n" || !begins_field(line) {
                return fields;
            }
            (begin, open) = (at, true);
        }
        at += length;
    }
}

fn begins_field(line: &[u8]) -> bool {
    field(line)
        .is_some_and(|field| !field.name.is_empty() && field.name.iter().all(|byte| byte.is_ascii_graphic()))
}

fn field(octets: &[u8]) -> Option<Field<'_>> {
    let colon = octets.iter().position(|byte| *byte == b':')?;
    let name = octets.get(..colon)?.trim_ascii_end();
    let value = octets.get(colon + 1..)?;
    Some(Field { octets, name, value: value.strip_suffix(b"\r\n").unwrap_or(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: &[(&str, &str)]) {
        let fields = split(message.as_bytes());
        let found: Vec<(String, String)> = fields
            .iter()
            .map(|field| (String::from_utf8(field.name.to_vec()).unwrap(), field.unfolded()))
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(found, expected, "{message:?}");
        let whole: usize = fields.iter().map(|field| field.octets.len()).sum();
        assert!(whole <= message.len());
    }

    #[test]
    fn fields_as_they_stand() {
        check("", &[]);
        check("\r\ntext", &[]);
        check("A: b\r\n\r\nC: d\r\n", &[("A", "b")]);
        check("A: b\r\n c\r\n\td \r\nE:f\r\n\r\n", &[("A", "b c d"), ("E", "f")]);
        check("A : b\r\n", &[("A", "b")]);
        check("A: b", &[("A", "b")]);
        check("A: b\r\nno field\r\nC: d\r\n", &[("A", "b")]);
        check(" continued: first\r\n", &[]);
        check("A:\r\n b\r\n\r\n", &[("A", "b")]);
    }
}
