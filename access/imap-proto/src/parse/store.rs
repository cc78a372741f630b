//! STORE.

use super::{Cursor, Parsed};
use crate::{Numbering, ParseError, Store, StoreChange};

impl Cursor<'_> {
    /// ```abnf
    /// store           = "STORE" SP sequence-set [SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"] SP store-att-flags
    /// store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))   ; RFC 3501 §9, RFC 7162 §7
    /// ```
    pub(super) fn store(&mut self, numbering: Numbering) -> Parsed<Store> {
        let messages = self.message_set()?;
        self.space()?;
        let mut unchanged_since = None;
        if self.peek() == Some(b'(') {
            self.parenthesised("STORE modifiers", |cursor| {
                if !cursor.atom("UNCHANGEDSINCE")?.eq_ignore_ascii_case(b"UNCHANGEDSINCE") {
                    return Err(ParseError::Unknown("STORE modifier"));
                }
                cursor.space()?;
                unchanged_since = Some(cursor.number64()?);
                Ok(())
            })?;
            self.space()?;
        }
        let change = match self.peek() {
            Some(b'+') => StoreChange::Add,
            Some(b'-') => StoreChange::Remove,
            _ => StoreChange::Replace,
        };
        if change != StoreChange::Replace {
            self.take(1);
        }
        let item = self.atom("FLAGS")?;
        let silent = item.eq_ignore_ascii_case(b"FLAGS.SILENT");
        if !silent && !item.eq_ignore_ascii_case(b"FLAGS") {
            return Err(ParseError::Expected("FLAGS"));
        }
        self.space()?;
        let mut flags = Vec::new();
        if self.peek() == Some(b'(') {
            flags = self.flag_list()?;
        } else {
            for count in 0.. {
                self.check_list(count, "flags")?;
                self.flag_into(&mut flags)?;
                self.skip_trailing_spaces();
                if !self.eat(b' ') {
                    break;
                }
            }
        }
        Ok(Store { numbering, messages, change, silent, flags, unchanged_since })
    }
}
