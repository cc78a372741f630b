//! Address lists (RFC 5322 §3.4, with the obsolete forms that are still seen).

use bytes::Bytes;

use super::MailAddress;

/// At most this many addresses of one field are kept.
pub(super) const ADDRESSES_MAX: usize = 2_000;

/// Words are atoms and quoted strings; `raw` keeps what stands between them.
#[derive(Debug, Default)]
struct Phrase {
    text: Vec<u8>,
    comment: Option<Vec<u8>>,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

fn address(name: Option<Vec<u8>>, mailbox: Vec<u8>, host: Option<Vec<u8>>) -> MailAddress {
    MailAddress { name: name.map(Bytes::from), mailbox: Some(mailbox.into()), host: host.map(Bytes::from) }
}

/// Reads an unfolded field value.
pub(super) fn parse(value: &[u8]) -> Vec<MailAddress> {
    let mut cursor = Cursor { bytes: value, position: 0 };
    let mut addresses = Vec::new();
    let mut in_group = false;
    while addresses.len() < ADDRESSES_MAX {
        let phrase = cursor.phrase(b",;:<@");
        match cursor.next() {
            Some(b':') if !in_group => {
                in_group = true;
                addresses.push(address(None, phrase.text, None));
            }
            Some(b'<') => {
                let (mailbox, host) = cursor.angle();
                let after = cursor.phrase(b",;");
                let name = Some(phrase.text).filter(|text| !text.is_empty());
                let name = name.or(phrase.comment).or(after.comment);
                addresses.push(address(name, mailbox, Some(host)));
            }
            Some(b'@') => {
                let domain = cursor.phrase(b",;<");
                if cursor.peek() == Some(b'<') {
                    // A display name with an at sign that is not quoted.
                    cursor.position += 1;
                    let (mailbox, host) = cursor.angle();
                    cursor.phrase(b",;");
                    let name = [phrase.text, b"@".to_vec(), domain.text].concat();
                    addresses.push(address(Some(name), mailbox, Some(host)));
                } else {
                    let name = domain.comment.or(phrase.comment);
                    addresses.push(address(name, phrase.text, Some(domain.text)));
                }
            }
            delimiter => {
                if !phrase.text.is_empty() {
                    addresses.push(address(phrase.comment, phrase.text, Some(Vec::new())));
                }
                if delimiter == Some(b';') && in_group {
                    in_group = false;
                    addresses.push(MailAddress::default());
                }
                if delimiter.is_none() {
                    break;
                }
            }
        }
    }
    if in_group {
        addresses.push(MailAddress::default());
    }
    addresses
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.position += 1;
        Some(byte)
    }

    /// Everything up to one of `stops` outside of quotes and comments; white space around is dropped, inside it is
    /// one space between words.
    fn phrase(&mut self, stops: &[u8]) -> Phrase {
        let mut phrase = Phrase::default();
        let mut space = false;
        while let Some(byte) = self.peek() {
            if stops.contains(&byte) {
                break;
            }
            self.position += 1;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | 0 => space = !phrase.text.is_empty(),
                b'(' => {
                    let comment = self.comment();
                    phrase.comment = Some(comment).filter(|comment| !comment.is_empty());
                    space = !phrase.text.is_empty();
                }
                _ => {
                    if std::mem::take(&mut space) {
                        phrase.text.push(b' ');
                    }
                    if byte == b'"' { self.quoted(&mut phrase.text) } else { phrase.text.push(byte) }
                }
            }
        }
        phrase
    }

    fn quoted(&mut self, text: &mut Vec<u8>) {
        while let Some(byte) = self.next() {
            match byte {
                b'"' => return,
                b'\\' => text.extend(self.next()),
                _ => text.push(byte),
            }
        }
    }

    /// Comments nest; the depth is a number, not a stack.
    fn comment(&mut self) -> Vec<u8> {
        let (mut text, mut depth) = (Vec::new(), 1u32);
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => text.extend(self.next()),
                b'(' => {
                    depth += 1;
                    text.push(byte);
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    text.push(byte);
                }
                _ => text.push(byte),
            }
        }
        text.trim_ascii().to_vec()
    }

    /// `local@domain>`, with an obsolete route (`@a,@b:`) before it.
    fn angle(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut local = self.phrase(b"@>:").text;
        while matches!(self.peek(), Some(b':' | b'@')) && (local.is_empty() || self.peek() == Some(b':')) {
            self.position += 1;
            self.phrase(b":>");
            if self.peek() == Some(b':') {
                self.position += 1;
            }
            local = self.phrase(b"@>:").text;
        }
        let host = if self.peek() == Some(b'@') {
            self.position += 1;
            self.phrase(b">").text
        } else {
            Vec::new()
        };
        if self.peek() == Some(b'>') {
            self.position += 1;
        }
        (local, host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(addresses: &[MailAddress]) -> String {
        let field = |field: &Option<Bytes>| {
            field.as_ref().map_or("NIL".to_owned(), |text| String::from_utf8_lossy(text).into_owned())
        };
        let one = |address: &MailAddress| {
            format!("{}|{}|{}", field(&address.name), field(&address.mailbox), field(&address.host))
        };
        addresses.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn addresses() {
        for (value, expected) in [
            ("", ""),
            ("ann@example.test", "NIL|ann|example.test"),
            ("<ann@example.test>", "NIL|ann|example.test"),
            ("Ann B <ann@x.test>, b@y.test", "Ann B|ann|x.test; NIL|b|y.test"),
            ("\"B, Ann \\\"x\\\"\" <\"a b\"@x>", "B, Ann \"x\"|a b|x"),
            ("ann@x (Ann (B))", "Ann (B)|ann|x"),
            ("=?utf-8?q?J=C3=B6?= <j@x>", "=?utf-8?q?J=C3=B6?=|j|x"),
            ("A Group:Ed <e@x>,j@y; , k@z", "NIL|A Group|NIL; Ed|e|x; NIL|j|y; NIL|NIL|NIL; NIL|k|z"),
            ("Undisclosed recipients:;", "NIL|Undisclosed recipients|NIL; NIL|NIL|NIL"),
            ("<@a,@b:ann@x>", "NIL|ann|x"),
            ("a@b <c@d>", "a@b|c|d"),
            ("postmaster", "NIL|postmaster|"),
            (",,;,", ""),
            ("x:y:z@w", "NIL|x|NIL; NIL|y|; NIL|z|w; NIL|NIL|NIL"),
        ] {
            assert_eq!(show(&parse(value.as_bytes())), expected, "{value}");
        }
    }

    #[test]
    fn hostile_values_end() {
        for value in [
            "(".repeat(100_000),
            "<".repeat(100_000),
            "\"\\".repeat(50_000),
            "a@".repeat(50_000),
            ":".repeat(99_999),
        ] {
            assert!(parse(value.as_bytes()).len() <= ADDRESSES_MAX + 1);
        }
        assert_eq!(parse("a@b,".repeat(ADDRESSES_MAX + 1).as_bytes()).len(), ADDRESSES_MAX);
    }
}
