//! FETCH responses, item by item (RFC 3501 §7.4.2).

use std::io::Write as _;
use std::num::NonZeroU32;

use super::word;
use crate::{DateTime, Section};

/// Writes `* n FETCH (…)`. Items follow each other; [`FetchLine::end`] closes the line.
///
/// ```abnf
/// message-data = nz-number SP "FETCH" SP "(" msg-att-item *(SP msg-att-item) ")"
/// ```
pub struct FetchLine<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> FetchLine<'o> {
    /// Begins the response for the message of that sequence number.
    pub fn begin(sequence: u32, out: &'o mut Vec<u8>) -> Self {
        let _ = write!(out, "* {sequence} FETCH (");
        Self { out, empty: true }
    }

    /// Begins an item and gives the buffer for its value.
    pub fn item(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b' ');
        self.out
    }

    /// `UID n`
    pub fn uid(&mut self, uid: u32) {
        word::number(uid.into(), self.item("UID"));
    }

    /// `RFC822.SIZE n`
    pub fn size(&mut self, octets: u64) {
        word::number(octets, self.item("RFC822.SIZE"));
    }

    /// `MODSEQ (n)`
    pub fn mod_seq(&mut self, value: u64) {
        let _ = write!(self.item("MODSEQ"), "({value})");
    }

    /// `FLAGS (…)`
    pub fn flags<'a>(&mut self, flags: impl IntoIterator<Item = &'a str>) {
        word::list(flags, self.item("FLAGS"));
    }

    /// `INTERNALDATE "…"`
    pub fn internal_date(&mut self, date_time: DateTime) {
        let _ = write!(self.item("INTERNALDATE"), "\"{date_time}\"");
    }

    /// `BODY[section]<origin> nstring`; `origin` when the client asked for a part of it.
    pub fn body_section(&mut self, section: &Section, origin: Option<u64>, octets: Option<&[u8]>) {
        let out = self.body_section_head(section, origin);
        match octets {
            // A literal, not quoted: content is read by its length.
            Some(octets) => word::literal(octets, out),
            None => out.extend_from_slice(b"NIL"),
        }
    }

    /// As [`FetchLine::body_section`], for content that the caller appends as a literal.
    pub fn body_section_head(&mut self, section: &Section, origin: Option<u64>) -> &mut Vec<u8> {
        let origin = origin.map_or_else(String::new, |origin| format!("<{origin}>"));
        self.item(&format!("BODY[{section}]{origin}"))
    }

    /// `BINARY.SIZE[part] n` (RFC 3516 §4.3)
    pub fn binary_size(&mut self, part: &[NonZeroU32], octets: u64) {
        let section = Section { part: part.to_vec(), ..Section::default() };
        word::number(octets, self.item(&format!("BINARY.SIZE[{section}]")));
    }

    /// `BINARY[part]<origin> nstring / literal8` (RFC 3516 §4.2.4)
    pub fn binary(&mut self, part: &[NonZeroU32], origin: Option<u64>, octets: &[u8]) {
        let section = Section { part: part.to_vec(), ..Section::default() };
        let origin = origin.map_or_else(String::new, |origin| format!("<{origin}>"));
        let out = self.item(&format!("BINARY[{section}]{origin}"));
        if memchr::memchr(0, octets).is_some() {
            out.push(b'~');
            word::literal_head(octets.len() as u64, out);
            out.extend_from_slice(octets);
        } else {
            word::literal(octets, out);
        }
    }

    /// Closes the line.
    pub fn end(self) {
        self.out.extend_from_slice(b")\r\n");
    }
}
