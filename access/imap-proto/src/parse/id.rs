//! ID.

use super::{Cursor, Parsed};
use crate::ParseError;

/// RFC 2971 §3.3.
const PAIRS_MAX: usize = 30;
const FIELD_LENGTH_MAX: usize = 30;
const VALUE_LENGTH_MAX: usize = 1024;

impl Cursor<'_> {
    /// ```abnf
    /// id             = "ID" SP id-params-list                                       ; RFC 2971 §4
    /// id-params-list = "(" [string SP nstring *(SP string SP nstring)] ")" / nil
    /// ```
    pub(super) fn id(&mut self) -> Parsed<Vec<(String, Option<String>)>> {
        let mut pairs = Vec::new();
        if self.eat_text(b"NIL") {
            return Ok(pairs);
        }
        self.parenthesised("ID fields", |cursor| {
            let field = cursor.string()?;
            cursor.space()?;
            let value = cursor.nstring()?;
            let long = value.as_ref().is_some_and(|value| value.len() > VALUE_LENGTH_MAX);
            if field.len() > FIELD_LENGTH_MAX || long {
                return Err(ParseError::WordTooLong);
            }
            if pairs.len() >= PAIRS_MAX {
                return Err(ParseError::TooMany("ID fields"));
            }
            let lossy = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            pairs.push((lossy(&field), value.map(|value| lossy(&value))));
            Ok(())
        })?;
        Ok(pairs)
    }
}
