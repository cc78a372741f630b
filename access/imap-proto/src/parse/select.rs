//! SELECT and EXAMINE.

use super::{Cursor, Parsed};
use crate::{ParseError, Select};

impl Cursor<'_> {
    /// ```abnf
    /// select        = "SELECT" SP mailbox [SP "(" select-param *(SP select-param) ")"]   ; RFC 3501 §9, RFC 4466 §2.1
    /// select-param  = "CONDSTORE"                                                       ; RFC 7162 §7
    /// ```
    pub(super) fn select(&mut self) -> Parsed<Select> {
        let mut select = Select { mailbox: self.mailbox()?, condstore: false };
        self.skip_trailing_spaces();
        if self.peek().is_none() {
            return Ok(select);
        }
        self.space()?;
        self.parenthesised("SELECT parameters", |cursor| {
            if !cursor.atom("a SELECT parameter")?.eq_ignore_ascii_case(b"CONDSTORE") {
                return Err(ParseError::Unknown("SELECT parameter"));
            }
            select.condstore = true;
            Ok(())
        })?;
        Ok(select)
    }
}
