//! STATUS's items, also of LIST's RETURN (STATUS (…)).

use super::{Cursor, Parsed};
use crate::{ParseError, StatusItem};

impl Cursor<'_> {
    /// ```abnf
    /// status-att = "MESSAGES" / "RECENT" / "UIDNEXT" / "UIDVALIDITY" / "UNSEEN"     ; RFC 3501 §9
    ///              / "DELETED" / "SIZE"                                             ; RFC 9051 §9, RFC 8438
    ///              / "HIGHESTMODSEQ"                                                ; RFC 7162 §7
    /// ```
    pub(super) fn status_items(&mut self) -> Parsed<Vec<StatusItem>> {
        let mut items = Vec::new();
        self.parenthesised("STATUS items", |cursor| {
            let word = cursor.atom("a STATUS item")?;
            let mut known = StatusItem::EVERY.into_iter();
            let item = known.find(|item| item.as_str().as_bytes().eq_ignore_ascii_case(word));
            let item = item.ok_or(ParseError::Unknown("STATUS item"))?;
            if !items.contains(&item) {
                items.push(item);
            }
            Ok(())
        })?;
        if items.is_empty() { Err(ParseError::Expected("a STATUS item")) } else { Ok(items) }
    }
}
