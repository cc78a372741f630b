//! APPEND.

use super::{Cursor, Parsed};
use crate::{Append, ParseError};

impl Cursor<'_> {
    /// ```abnf
    /// append       = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP (literal / literal8)  ; RFC 3501 §9, RFC 3516 §7
    /// ```
    ///
    /// NUL is allowed in a literal8 only. The message is moved, not copied.
    pub(super) fn append(&mut self) -> Parsed<Append> {
        let mailbox = self.mailbox()?;
        self.space()?;
        let mut flags = Vec::new();
        if self.peek() == Some(b'(') {
            flags = self.flag_list()?;
            self.space()?;
        }
        let mut date_time = None;
        if self.peek() == Some(b'"') {
            date_time = Some(self.date_time()?);
            self.space()?;
        }
        let binary = self.eat(b'~');
        let message = self.literal()?;
        if !binary && memchr::memchr(0, &message).is_some() {
            return Err(ParseError::Nul);
        }
        Ok(Append { mailbox, flags, date_time, message })
    }
}
