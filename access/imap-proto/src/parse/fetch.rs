//! FETCH.

use std::num::{NonZeroU32, NonZeroU64};

use super::{Cursor, Parsed};
use crate::{Fetch, FetchItem, Numbering, ParseError, Partial, Section, SectionText};

impl Cursor<'_> {
    /// ```abnf
    /// fetch           = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att /
    ///                   "(" fetch-att *(SP fetch-att) ")") [SP "(" fetch-modifier *(SP fetch-modifier) ")"]
    /// fetch-modifier  = "CHANGEDSINCE" SP mod-sequence-value        ; RFC 3501 §9, RFC 4466 §2.4, RFC 7162 §7
    /// ```
    pub(super) fn fetch(&mut self, numbering: Numbering) -> Parsed<Fetch> {
        let messages = self.message_set()?;
        self.space()?;
        let mut items = Vec::new();
        if numbering == Numbering::Uid {
            items.push(FetchItem::Uid);
        }
        if self.peek() == Some(b'(') {
            let before = items.len();
            let mut count = 0;
            self.parenthesised("FETCH items", |cursor| {
                count += 1;
                let item = cursor.fetch_item()?;
                add(item, &mut items);
                Ok(())
            })?;
            if before == items.len() && count == 0 {
                return Err(ParseError::Expected("a FETCH item"));
            }
        } else {
            self.fetch_macro_or_item(&mut items)?;
        }
        let mut fetch = Fetch { numbering, messages, items, changed_since: None };
        self.skip_trailing_spaces();
        if self.peek().is_some() {
            self.space()?;
            self.fetch_modifiers(&mut fetch)?;
        }
        Ok(fetch)
    }

    /// RFC 3501 §6.4.5: a macro stands alone, without parentheses.
    fn fetch_macro_or_item(&mut self, items: &mut Vec<FetchItem>) -> Parsed<()> {
        let macros: [(&[u8], bool, bool); 3] =
            [(b"ALL", true, false), (b"FAST", false, false), (b"FULL", true, true)];
        for (name, envelope, body) in macros {
            let after = self.rest().get(name.len()).copied();
            if matches!(after, None | Some(b' ')) && self.eat_text(name) {
                let mut expanded = vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Rfc822Size];
                expanded.extend(envelope.then_some(FetchItem::Envelope));
                expanded.extend(body.then_some(FetchItem::Body));
                items.extend(expanded);
                return Ok(());
            }
        }
        let item = self.fetch_item()?;
        add(item, items);
        Ok(())
    }

    fn fetch_modifiers(&mut self, fetch: &mut Fetch) -> Parsed<()> {
        self.parenthesised("FETCH modifiers", |cursor| {
            if !cursor.atom("a FETCH modifier")?.eq_ignore_ascii_case(b"CHANGEDSINCE") {
                return Err(ParseError::Unknown("FETCH modifier"));
            }
            cursor.space()?;
            let value = NonZeroU64::new(cursor.number64()?).ok_or(ParseError::Number)?;
            fetch.changed_since = Some(value);
            add(FetchItem::ModSeq, &mut fetch.items);
            Ok(())
        })
    }

    /// ```abnf
    /// fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
    ///             "BODY" ["STRUCTURE"] / "UID" / "BODY" section ["<" number "." nz-number ">"] /
    ///             "BODY.PEEK" section ["<" number "." nz-number ">"]            ; RFC 3501 §9
    ///           / "BINARY" [".PEEK"] section-binary [partial] / "BINARY.SIZE" section-binary   ; RFC 3516 §7
    ///           / "MODSEQ"                                                      ; RFC 7162 §7
    /// ```
    fn fetch_item(&mut self) -> Parsed<FetchItem> {
        let name =
            self.take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'.').to_ascii_uppercase();
        let section = self.peek() == Some(b'[');
        match (name.as_slice(), section) {
            (b"BODY", true) => self.body_section(false),
            (b"BODY.PEEK", true) => self.body_section(true),
            (b"BINARY", true) => self.binary(false),
            (b"BINARY.PEEK", true) => self.binary(true),
            (b"BINARY.SIZE", true) => self.section_binary().map(FetchItem::BinarySize),
            (b"", _) => Err(ParseError::Expected("a FETCH item")),
            (_, true) => Err(ParseError::Unknown("FETCH item")),
            (b"BODY", false) => Ok(FetchItem::Body),
            (b"BODYSTRUCTURE", false) => Ok(FetchItem::BodyStructure),
            (b"ENVELOPE", false) => Ok(FetchItem::Envelope),
            (b"FLAGS", false) => Ok(FetchItem::Flags),
            (b"INTERNALDATE", false) => Ok(FetchItem::InternalDate),
            (b"MODSEQ", false) => Ok(FetchItem::ModSeq),
            (b"RFC822", false) => Ok(FetchItem::Rfc822),
            (b"RFC822.HEADER", false) => Ok(FetchItem::Rfc822Header),
            (b"RFC822.SIZE", false) => Ok(FetchItem::Rfc822Size),
            (b"RFC822.TEXT", false) => Ok(FetchItem::Rfc822Text),
            (b"UID", false) => Ok(FetchItem::Uid),
            _ => Err(ParseError::Unknown("FETCH item")),
        }
    }

    /// ```abnf
    /// section         = "[" [section-spec] "]"                    ; RFC 3501 §9
    /// section-spec    = section-msgtext / (section-part ["." section-text])
    /// section-text    = section-msgtext / "MIME"
    /// ```
    fn body_section(&mut self, peek: bool) -> Parsed<FetchItem> {
        self.expect(b'[', "a section")?;
        let mut section = Section::default();
        if self.peek() != Some(b']') {
            let dot = self.section_part(&mut section.part)?;
            if section.part.is_empty() || dot {
                section.text = self.section_text(&section.part)?;
            }
        }
        self.expect(b']', "a closing bracket")?;
        Ok(FetchItem::BodySection { section, partial: self.partial()?, peek })
    }

    /// ```abnf
    /// section-part = nz-number *("." nz-number)
    /// ```
    ///
    /// Gives whether a dot is left before something that is no number.
    fn section_part(&mut self, part: &mut Vec<NonZeroU32>) -> Parsed<bool> {
        while self.peek().is_some_and(|octet| octet.is_ascii_digit()) {
            if part.len() >= self.limits.nesting_max {
                return Err(ParseError::TooDeep);
            }
            part.push(NonZeroU32::new(self.number()?).ok_or(ParseError::Number)?);
            if !self.eat(b'.') {
                return Ok(false);
            }
        }
        Ok(!part.is_empty())
    }

    /// ```abnf
    /// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
    /// ```
    fn section_text(&mut self, part: &[NonZeroU32]) -> Parsed<SectionText> {
        let name = self.take_while(|octet| octet.is_ascii_alphabetic() || octet == b'.').to_ascii_uppercase();
        match name.as_slice() {
            b"HEADER" => Ok(SectionText::Header),
            b"TEXT" => Ok(SectionText::Text),
            b"MIME" if !part.is_empty() => Ok(SectionText::Mime),
            b"HEADER.FIELDS" => self.header_list().map(SectionText::HeaderFields),
            b"HEADER.FIELDS.NOT" => self.header_list().map(SectionText::HeaderFieldsNot),
            _ => Err(ParseError::Unknown("section")),
        }
    }

    /// ```abnf
    /// header-list    = "(" header-fld-name *(SP header-fld-name) ")"
    /// header-fld-name = astring
    /// ```
    ///
    /// A name is printable US-ASCII (RFC 5322 §2.2); it is written back in the response.
    fn header_list(&mut self) -> Parsed<Vec<String>> {
        self.space()?;
        let mut names = Vec::new();
        self.parenthesised("header names", |cursor| {
            let name = cursor.header_name()?;
            if !names.contains(&name) {
                names.push(name);
            }
            Ok(())
        })?;
        if names.is_empty() { Err(ParseError::Expected("a header name")) } else { Ok(names) }
    }

    /// A header field's name.
    pub(super) fn header_name(&mut self) -> Parsed<String> {
        let name = self.astring()?;
        if name.is_empty() || !name.iter().all(|octet| matches!(octet, 0x20..=0x7e)) {
            return Err(ParseError::Expected("a header name"));
        }
        String::from_utf8(name.into_owned()).map_err(|_| ParseError::Utf8)
    }

    fn binary(&mut self, peek: bool) -> Parsed<FetchItem> {
        let part = self.section_binary()?;
        Ok(FetchItem::Binary { part, partial: self.partial()?, peek })
    }

    /// ```abnf
    /// section-binary = "[" [section-part] "]"        ; RFC 3516 §7
    /// ```
    fn section_binary(&mut self) -> Parsed<Vec<NonZeroU32>> {
        let mut part = Vec::new();
        self.expect(b'[', "a section")?;
        if self.section_part(&mut part)? {
            return Err(ParseError::Expected("a part number"));
        }
        self.expect(b']', "a closing bracket")?;
        Ok(part)
    }

    /// ```abnf
    /// partial = "<" number64 "." nz-number64 ">"     ; RFC 3501 §9, 64 bits by RFC 9051
    /// ```
    fn partial(&mut self) -> Parsed<Option<Partial>> {
        if !self.eat(b'<') {
            return Ok(None);
        }
        let offset = self.number64()?;
        self.expect(b'.', "a dot")?;
        let length = NonZeroU64::new(self.number64()?).ok_or(ParseError::Number)?;
        self.expect(b'>', "a closing angle bracket")?;
        Ok(Some(Partial { offset, length }))
    }
}

/// Each item once: a client that asks twice gets one answer.
fn add(item: FetchItem, items: &mut Vec<FetchItem>) {
    if !items.contains(&item) {
        items.push(item);
    }
}
