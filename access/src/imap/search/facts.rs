//! What is known of one message while it is searched.

use std::sync::Arc;

use bytes::Bytes;
use store::{Entry, Fields, Part, Summary};

use super::decode;

/// What is the same for all messages of a search.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    /// Number of messages.
    pub(crate) count: u32,
    /// The largest UID.
    pub(crate) largest_uid: u32,
    /// `$`, as ranges of UIDs.
    pub(crate) saved: Vec<(u32, u32)>,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// One message.
pub(crate) struct Facts<'a> {
    pub(crate) picture: &'a Picture,
    pub(crate) sequence: u32,
    pub(crate) entry: &'a Entry,
    pub(crate) recent: bool,
    pub(crate) fields: Option<&'a Fields<&'a [u8]>>,
    pub(crate) texts: Option<&'a Texts>,
}

impl Facts<'_> {
    /// The internal date's day (RFC 3501 §6.4.4: disregarding time and zone; the zone is UTC here).
    pub(super) fn day(&self) -> i64 {
        i64::try_from(self.entry.internal_date.unix_seconds() / 86_400).unwrap_or(i64::MAX)
    }

    /// Seconds since the internal date.
    pub(super) const fn age(&self) -> u64 {
        self.picture.now.saturating_sub(self.entry.internal_date.unix_seconds())
    }
}

/// A message's text, read up to a limit.
pub(crate) struct Texts {
    content: Bytes,
    summary: Arc<Summary>,
}

impl Texts {
    /// `content` from the message's beginning on.
    pub(crate) const fn new(content: Bytes, summary: Arc<Summary>) -> Self {
        Self { content, summary }
    }

    /// Whether a field of that name holds a text; an empty one is held by any.
    pub(super) fn header_field_holds(&self, field: &str, text: &str) -> bool {
        let mut found = false;
        self.fields(|name, value| {
            found = name.eq_ignore_ascii_case(field.as_bytes()) && decode::folded(value).contains(text);
            found
        });
        found
    }

    /// Whether the header holds a text.
    pub(super) fn header_holds(&self, text: &str) -> bool {
        let mut found = false;
        self.fields(|name, value| {
            let line = format!("{}: {}", String::from_utf8_lossy(name).to_lowercase(), decode::folded(value));
            found = line.contains(text);
            found
        });
        found
    }

    /// Whether a text part, decoded, or the header of a message within, holds a text.
    pub(super) fn body_holds(&self, text: &str) -> bool {
        let mut parts = Vec::new();
        super::text_parts(&self.summary.structure, &mut parts);
        parts.iter().any(|part| decode::text(part, self.octets(part.body_start, part.end)).contains(text))
            || self.inner_headers(&self.summary.structure, text)
    }

    fn inner_headers(&self, part: &Part, text: &str) -> bool {
        match &part.kind {
            store::PartKind::Leaf => false,
            store::PartKind::Multipart(parts) => parts.iter().any(|part| self.inner_headers(part, text)),
            store::PartKind::Message(inner) => {
                let root = &inner.structure;
                decode::folded(self.octets(root.header_start, root.body_start)).contains(text)
                    || self.inner_headers(root, text)
            }
        }
    }

    /// Shows each field's name and value, unfolding left to the reader, until `visit` has seen enough.
    fn fields(&self, mut visit: impl FnMut(&[u8], &[u8]) -> bool) {
        let root = &self.summary.structure;
        let header = self.octets(root.header_start, root.body_start);
        let mut field: Option<(usize, usize)> = None;
        let mut at = 0;
        for line in header.split_inclusive(|octet| *octet == b'\n') {
            let start = at;
            at += line.len();
            if matches!(line.first(), Some(b' ' | b'\t')) {
                field = field.map(|(from, _)| (from, at));
                continue;
            }
            if field.is_some_and(|field| show(header, field, &mut visit)) {
                return;
            }
            field = Some((start, at));
        }
        if let Some(field) = field {
            show(header, field, &mut visit);
        }
    }

    fn octets(&self, start: u64, end: u64) -> &[u8] {
        let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.content.len());
        self.content.get(clip(start)..clip(end)).unwrap_or_default()
    }
}

fn show(header: &[u8], (start, end): (usize, usize), visit: &mut impl FnMut(&[u8], &[u8]) -> bool) -> bool {
    let line = header.get(start..end).unwrap_or_default();
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    visit(name, line.get(colon + 1..).unwrap_or_default().trim_ascii())
}
