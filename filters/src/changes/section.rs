//! Where the fields of a message are, and where its text begins.

use memchr::memmem;

/// One field of a header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Without the white space that old senders put before the colon.
    pub(crate) name: &'a [u8],
    /// All behind the colon, without the last line end.
    pub(crate) value: &'a [u8],
    /// The whole field with its line end, if the message has one there.
    pub(crate) octets: &'a [u8],
}

/// A message in its two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    pub(crate) fields: Vec<Field<'a>>,
    /// Whether an empty line ends the section.
    pub(crate) has_separator: bool,
    /// The text behind it.
    pub(crate) body: &'a [u8],
}

impl<'a> Section<'a> {
    /// Reads fields up to the empty line, or to a line that is none: there the text begins.
    ///
    /// ```abnf
    /// fields     = *field                        ; RFC 5322 §3.6, §2.2
    /// field      = field-name *WSP ":" text *( CRLF WSP text ) CRLF
    /// field-name = 1*%d33-57 / %d59-126
    /// ```
    pub(crate) fn parse(message: &'a [u8]) -> Self {
        let mut section = Self { fields: Vec::new(), has_separator: false, body: message };
        loop {
            let rest = section.body;
            if let Some(body) = rest.strip_prefix(b"\r\n") {
                section.has_separator = true;
                section.body = body;
                return section;
            }
            let Some((field, body)) = field(rest) else { return section };
            section.fields.push(field);
            section.body = body;
        }
    }
}

/// Takes a field with its folded lines from the start.
fn field(rest: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let colon = memchr::memchr2(b':', b'\r', rest).filter(|at| rest.get(*at) == Some(&b':'))?;
    let name = rest.get(..colon)?.trim_ascii_end();
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut end = colon + 1;
    loop {
        let line = rest.get(end..)?;
        let Some(length) = memmem::find(line, b"\r\n") else {
            end = rest.len();
            break;
        };
        end += length + 2;
        if !matches!(rest.get(end), Some(b' ' | b'\t')) {
            break;
        }
    }
    let (octets, body) = rest.split_at_checked(end)?;
    let value = octets.get(colon + 1..)?;
    Some((Field { name, value: value.strip_suffix(b"\r\n").unwrap_or(value), octets }, body))
}
