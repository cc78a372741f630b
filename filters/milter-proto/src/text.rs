//! Texts that end in NUL, and numbers.

/// Appends a text and its end. A NUL within would end it early and make something else of the rest, so it becomes `?`.
pub(crate) fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|byte| if *byte == 0 { b'?' } else { *byte }));
    out.push(0);
}

/// Takes a text from the start.
pub(crate) fn take<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = data.iter().position(|byte| *byte == 0)?;
    let text = data.get(..end)?;
    *data = data.get(end + 1..)?;
    Some(text)
}

/// All texts to the end.
pub(crate) fn all(mut data: &[u8]) -> Option<Vec<&[u8]>> {
    let mut texts = Vec::new();
    while !data.is_empty() {
        texts.push(take(&mut data)?);
    }
    Some(texts)
}

/// The one text that `data` is.
pub(crate) fn only(mut data: &[u8]) -> Option<&[u8]> {
    take(&mut data).filter(|_| data.is_empty())
}

/// Takes a number from the start.
pub(crate) fn number(data: &mut &[u8]) -> Option<u32> {
    let (octets, rest) = data.split_first_chunk::<4>()?;
    *data = rest;
    Some(u32::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(all(b""), Some(vec![]));
        assert_eq!(all(b"a\0\0b\0"), Some(vec![&b"a"[..], b"", b"b"]));
        assert_eq!(all(b"a\0b"), None);
        assert_eq!(only(b"a\0"), Some(&b"a"[..]));
        assert_eq!((only(b"a\0b\0"), only(b"a"), only(b"")), (None, None, None));
    }

    #[test]
    fn nul_ends_no_text() {
        let mut out = Vec::new();
        put(&mut out, b"a\0b");
        assert_eq!(out, b"a?b\0");
    }
}
