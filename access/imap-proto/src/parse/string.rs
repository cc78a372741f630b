//! Strings, mailbox names and flags.

use std::borrow::Cow;

use super::{Cursor, Parsed};
use crate::{Flag, Keyword, ListPattern, Mailbox, ParseError, chars, mutf7};

impl<'f> Cursor<'f> {
    /// ```abnf
    /// astring = 1*ASTRING-CHAR / string          ; RFC 3501 §9
    /// ```
    pub(super) fn astring(&mut self) -> Parsed<Cow<'f, [u8]>> {
        self.string_or(chars::is_astring_char)
    }

    /// ```abnf
    /// string = quoted / literal
    /// ```
    pub(super) fn string(&mut self) -> Parsed<Cow<'f, [u8]>> {
        self.string_or(|_| false)
    }

    fn string_or(&mut self, class: impl Fn(u8) -> bool) -> Parsed<Cow<'f, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => {
                let literal = self.literal()?;
                if memchr::memchr(0, &literal).is_some() {
                    return Err(ParseError::Nul);
                }
                Ok(Cow::Owned(literal))
            }
            _ => {
                let word = self.take_while(class);
                if word.is_empty() { Err(ParseError::Expected("a string")) } else { Ok(Cow::Borrowed(word)) }
            }
        }
    }

    /// ```abnf
    /// quoted          = DQUOTE *QUOTED-CHAR DQUOTE
    /// QUOTED-CHAR     = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials
    /// quoted-specials = DQUOTE / "\"
    /// ```
    ///
    /// Quirk `quoted-8bit`: octets above 127 are taken, since clients send UTF-8 there.
    fn quoted(&mut self) -> Parsed<Cow<'f, [u8]>> {
        self.expect(b'"', "a quoted string")?;
        let plain = self.take_while(|octet| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut value = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.take(1);
                    return Ok(Cow::Owned(value));
                }
                Some(b'\\') => {
                    self.take(1);
                    match self.take(1) {
                        [octet @ (b'"' | b'\\')] => value.push(*octet),
                        _ => return Err(ParseError::Expected("a quote or a backslash")),
                    }
                }
                Some(0) => return Err(ParseError::Nul),
                None | Some(b'\r' | b'\n') => return Err(ParseError::Expected("a closing quote")),
                Some(_) => {
                    let more = self.take_while(|octet| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n' | 0));
                    value.extend_from_slice(more);
                }
            }
        }
    }

    /// Takes an announcement that ends a line of the frame, and its octets. The framer has checked the number.
    ///
    /// ```abnf
    /// literal = "{" number ["+"] "}" CRLF *CHAR8     ; RFC 3501 §9, RFC 7888 §8
    /// ```
    pub(super) fn literal(&mut self) -> Parsed<Vec<u8>> {
        self.expect(b'{', "a literal")?;
        self.take_while(|octet| octet.is_ascii_digit());
        self.eat(b'+');
        if self.take(3) == b"}\r\n" { self.next_literal() } else { Err(ParseError::Expected("a literal")) }
    }

    /// An astring that is UTF-8.
    pub(super) fn text(&mut self) -> Parsed<String> {
        let octets = self.astring()?;
        String::from_utf8(octets.into_owned()).map_err(|_| ParseError::Utf8)
    }

    /// ```abnf
    /// nstring = string / "NIL"                   ; RFC 3501 §9
    /// ```
    pub(super) fn nstring(&mut self) -> Parsed<Option<Cow<'f, [u8]>>> {
        if self.eat_text(b"NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// ```abnf
    /// mailbox = "INBOX" / astring                ; RFC 3501 §9, modified UTF-7 by §5.1.3
    /// ```
    pub(super) fn mailbox(&mut self) -> Parsed<Mailbox> {
        let octets = self.astring()?;
        self.decode_name(&octets).map(Mailbox::from_text)
    }

    /// ```abnf
    /// list-mailbox = 1*list-char / string        ; RFC 3501 §9
    /// ```
    pub(super) fn list_pattern(&mut self) -> Parsed<ListPattern> {
        let octets = self.string_or(chars::is_list_char)?;
        self.decode_name(&octets).map(ListPattern::from_text)
    }

    /// Quirk `raw-utf8-mailbox`: a name with octets above 127 is taken as UTF-8, if the session allows it.
    pub(super) fn decode_name(&self, octets: &[u8]) -> Parsed<String> {
        if self.limits.utf8_mailboxes && !octets.is_ascii() {
            let text = std::str::from_utf8(octets).map_err(|_| ParseError::Utf8)?;
            return Ok(text.to_owned());
        }
        mutf7::decode(octets).ok_or(ParseError::MailboxName)
    }

    /// ```abnf
    /// flag-list = "(" [flag *(SP flag)] ")"      ; RFC 3501 §9
    /// ```
    pub(super) fn flag_list(&mut self) -> Parsed<Vec<Flag>> {
        let mut flags = Vec::new();
        self.parenthesised("flags", |cursor| cursor.flag_into(&mut flags))?;
        Ok(flags)
    }

    /// ```abnf
    /// flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword / flag-extension
    /// ```
    ///
    /// Quirk `recent-ignored`: `\Recent` is dropped. Other extensions are refused, as RFC 3501 §9 lets a server do.
    pub(super) fn flag_into(&mut self, flags: &mut Vec<Flag>) -> Parsed<()> {
        let system = self.eat(b'\\');
        let word = self.atom("a flag")?;
        let flag = if !system {
            if word.len() > crate::KEYWORD_LENGTH_MAX {
                return Err(ParseError::WordTooLong);
            }
            Keyword::parse(word).map(Flag::Keyword).ok_or(ParseError::Expected("a flag"))?
        } else {
            match word.to_ascii_uppercase().as_slice() {
                b"ANSWERED" => Flag::Answered,
                b"DELETED" => Flag::Deleted,
                b"DRAFT" => Flag::Draft,
                b"FLAGGED" => Flag::Flagged,
                b"SEEN" => Flag::Seen,
                b"RECENT" => return Ok(()),
                _ => return Err(ParseError::SystemFlag),
            }
        };
        if !flags.contains(&flag) {
            flags.push(flag);
        }
        Ok(())
    }
}
