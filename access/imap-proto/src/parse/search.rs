//! SEARCH: the tree of keys, without recursion.
//!
//! `stack` holds what waits for keys: the command itself and each open parenthesis (any number), OR (two),
//! NOT (one). A key that is read goes to the top; a top that has enough becomes a key for the one below. An OR
//! inside an OR joins it, and NOT NOT is nothing, so that long chains of either cost no depth: clients write
//! `OR a OR b OR c` for a hundred addresses.

mod key;

use super::{Cursor, Parsed};
use crate::{Numbering, ParseError, Search, SearchKey, SearchReturn};

/// What waits for keys.
enum Waiting {
    /// The command, or a parenthesis.
    Group(Vec<SearchKey>),
    Not,
    Or {
        keys: Vec<SearchKey>,
        missing: usize,
    },
}

impl Cursor<'_> {
    /// ```abnf
    /// search = "SEARCH" [SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"]
    ///          [SP "CHARSET" SP charset] 1*(SP search-key)          ; RFC 3501 §9, RFC 4466 §2.6
    /// ```
    ///
    /// Quirk `search-utf8`: 8-bit texts are taken as UTF-8 without CHARSET too.
    pub(super) fn search(&mut self, numbering: Numbering) -> Parsed<Search> {
        let mut returns = None;
        if self.eat_text(b"RETURN ") {
            returns = Some(self.search_return()?);
            self.space()?;
        }
        if self.eat_text(b"CHARSET ") {
            let charset = self.astring()?;
            if !charset.eq_ignore_ascii_case(b"UTF-8") && !charset.eq_ignore_ascii_case(b"US-ASCII") {
                return Err(ParseError::Charset);
            }
            self.space()?;
        }
        Ok(Search { numbering, returns, key: self.search_keys()? })
    }

    /// ```abnf
    /// search-return-opt = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE"    ; RFC 4731 §5, RFC 5182 §3
    /// ```
    fn search_return(&mut self) -> Parsed<SearchReturn> {
        let mut returns = SearchReturn::default();
        self.parenthesised("result options", |cursor| {
            match cursor.atom("a result option")?.to_ascii_uppercase().as_slice() {
                b"MIN" => returns.min = true,
                b"MAX" => returns.max = true,
                b"ALL" => returns.all = true,
                b"COUNT" => returns.count = true,
                b"SAVE" => returns.save = true,
                _ => return Err(ParseError::Unknown("result option")),
            }
            Ok(())
        })?;
        if returns == SearchReturn::default() {
            returns.all = true;
        }
        Ok(returns)
    }

    /// ```abnf
    /// search-key = … / "NOT" SP search-key / "OR" SP search-key SP search-key / "(" search-key *(SP search-key) ")"
    /// ```
    fn search_keys(&mut self) -> Parsed<SearchKey> {
        let mut stack = vec![Waiting::Group(Vec::new())];
        let mut count = 0;
        loop {
            count += 1;
            if count > self.limits.search_keys_max {
                return Err(ParseError::TooMany("search keys"));
            }
            if stack.len() > self.limits.nesting_max {
                return Err(ParseError::TooDeep);
            }
            if self.eat(b'(') {
                stack.push(Waiting::Group(Vec::new()));
            } else if self.eat_text(b"NOT ") {
                if matches!(stack.last(), Some(Waiting::Not)) {
                    stack.pop();
                } else {
                    stack.push(Waiting::Not);
                }
            } else if self.eat_text(b"OR ") {
                match stack.last_mut() {
                    Some(Waiting::Or { missing, .. }) => *missing += 1,
                    _ => stack.push(Waiting::Or { keys: Vec::new(), missing: 2 }),
                }
            } else {
                let key = self.search_key()?;
                if let Some(key) = self.complete(&mut stack, key)? {
                    return Ok(key);
                }
                self.space()?;
            }
        }
    }

    /// Gives `key` to the top of the stack, and what that completes to the one below. The whole search when
    /// the command ends here.
    fn complete(&mut self, stack: &mut Vec<Waiting>, mut key: SearchKey) -> Parsed<Option<SearchKey>> {
        loop {
            match stack.pop() {
                None => return Ok(Some(key)),
                Some(Waiting::Not) => key = negated(key),
                Some(Waiting::Or { mut keys, missing }) => {
                    keys.push(key);
                    if missing > 1 {
                        stack.push(Waiting::Or { keys, missing: missing - 1 });
                        return Ok(None);
                    }
                    key = SearchKey::Or(keys);
                }
                Some(Waiting::Group(mut keys)) => {
                    keys.push(key);
                    let closed = if stack.is_empty() {
                        self.skip_trailing_spaces();
                        self.peek().is_none()
                    } else {
                        self.eat(b')')
                    };
                    if !closed {
                        stack.push(Waiting::Group(keys));
                        return Ok(None);
                    }
                    key = together(keys);
                }
            }
        }
    }
}

/// `NOT key`; the opposite of an opposite is the key.
fn negated(key: SearchKey) -> SearchKey {
    match key {
        SearchKey::Not(inner) => *inner,
        key => SearchKey::Not(Box::new(key)),
    }
}

/// Keys side by side; one alone is itself.
fn together(mut keys: Vec<SearchKey>) -> SearchKey {
    match (keys.len(), keys.pop()) {
        (1, Some(key)) => key,
        (_, last) => {
            keys.extend(last);
            SearchKey::And(keys)
        }
    }
}
