//! Header fields: where they are, unfolded values, and the MIME ones (RFC 2045, RFC 2183).

use bytes::Bytes;

/// Header octets of one part that are looked at; what is behind is skipped.
const HEADER_MAX: usize = 512 << 10;
/// Octets of one value that are kept.
const VALUE_MAX: usize = 64 << 10;
const PARAMETERS_MAX: usize = 100;
const LANGUAGES_MAX: usize = 50;

pub(super) type Parameters = Vec<(Bytes, Bytes)>;

/// Calls `found` with each field's name and unfolded value.
pub(super) fn each(header: &[u8], mut found: impl FnMut(&[u8], Vec<u8>)) {
    let header = header.get(..HEADER_MAX).unwrap_or(header);
    let mut rest = header;
    while !rest.is_empty() {
        let mut end = line_end(rest);
        while matches!(rest.get(end), Some(b' ' | b'\t')) {
            end += line_end(rest.get(end..).unwrap_or_default());
        }
        let (field, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after;
        if let Some(colon) = memchr::memchr(b':', field) {
            let (name, value) = field.split_at(colon);
            found(name.trim_ascii(), unfold(value.get(1..).unwrap_or_default()));
        }
    }
}

/// Behind the line feed.
fn line_end(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |feed| feed + 1)
}

/// Line ends and NUL go, the white space after them stays.
fn unfold(value: &[u8]) -> Vec<u8> {
    let value = value.get(..VALUE_MAX).unwrap_or(value).trim_ascii();
    value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect()
}

/// `type/subtype; name=value …`. `None` when there is no slash.
pub(super) fn content_type(value: &[u8]) -> Option<(Bytes, Bytes, Parameters)> {
    let (head, parameters) = with_parameters(value);
    let slash = memchr::memchr(b'/', &head)?;
    let (media_type, media_subtype) = head.split_at(slash);
    let media_type = media_type.trim_ascii();
    let media_subtype = media_subtype.get(1..).unwrap_or_default().trim_ascii();
    let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic());
    (is_token(media_type) && is_token(media_subtype))
        .then(|| (Bytes::copy_from_slice(media_type), Bytes::copy_from_slice(media_subtype), parameters))
}

/// A word and parameters, as in Content-Disposition.
pub(super) fn with_parameters(value: &[u8]) -> (Bytes, Parameters) {
    let mut pieces = split(value).into_iter();
    let head = pieces.next().unwrap_or_default();
    let mut parameters = Parameters::new();
    for piece in pieces.take(PARAMETERS_MAX) {
        let Some(equals) = memchr::memchr(b'=', &piece) else { continue };
        let (name, value) = piece.split_at(equals);
        let name = Bytes::copy_from_slice(name.trim_ascii());
        if !name.is_empty() {
            parameters.push((name, unquote(value.get(1..).unwrap_or_default().trim_ascii()).into()));
        }
    }
    (Bytes::copy_from_slice(head.trim_ascii()), parameters)
}

/// Pieces between semicolons outside of quotes; comments are dropped.
fn split(value: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = vec![Vec::new()];
    let (mut quoted, mut escaped, mut comment) = (false, false, 0u32);
    for byte in value.iter().copied() {
        let keep = match byte {
            _ if escaped => {
                escaped = false;
                comment == 0
            }
            b'\\' if quoted || comment > 0 => {
                escaped = true;
                comment == 0
            }
            b'"' if comment == 0 => {
                quoted = !quoted;
                true
            }
            b'(' if !quoted => {
                comment += 1;
                false
            }
            b')' if comment > 0 => {
                comment -= 1;
                false
            }
            b';' if !quoted && comment == 0 => {
                pieces.push(Vec::new());
                false
            }
            _ => comment == 0,
        };
        if keep && let Some(last) = pieces.last_mut() {
            last.push(byte);
        }
    }
    pieces
}

fn unquote(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else { return value.to_vec() };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    let mut text = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for byte in inner.iter().copied() {
        if byte == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            text.push(byte);
        }
    }
    text
}

/// Language tags between commas.
pub(super) fn languages(value: &[u8]) -> Vec<Bytes> {
    let tags = value.split(|byte| *byte == b',').map(|tag| Bytes::copy_from_slice(tag.trim_ascii()));
    tags.filter(|tag| !tag.is_empty()).take(LANGUAGES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let (media_type, subtype, parameters) =
            content_type(b"Text/Plain; charset=\"utf-8\"; (note) name = \"a;b\\\"c\"; x").unwrap();
        assert_eq!((&media_type[..], &subtype[..]), (&b"Text"[..], &b"Plain"[..]));
        let expected = [(&b"charset"[..], &b"utf-8"[..]), (b"name", b"a;b\"c")];
        assert!(parameters.iter().map(|(name, value)| (&name[..], &value[..])).eq(expected));
        assert!(
            content_type(b"text").is_none()
                && content_type(b"/plain").is_none()
                && content_type(b"").is_none()
        );
    }

    #[test]
    fn fields_are_unfolded() {
        let mut fields = Vec::new();
        each(b"Subject: a\r\n  b\r\nno colon\r\nX:\r\nTo : c\r\n\td", |name, value| {
            fields.push(format!("{}={}", name.escape_ascii(), value.escape_ascii()));
        });
        assert_eq!(fields, ["Subject=a  b", "X=", "To=c\\td"]);
    }
}
