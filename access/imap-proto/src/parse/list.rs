//! LIST and LSUB.

use super::{Cursor, Parsed};
use crate::{List, ListReturn, ListSelection, ParseError};

impl Cursor<'_> {
    /// ```abnf
    /// list        = "LIST" [SP "(" [list-select-opt *(SP list-select-opt)] ")"] SP mailbox SP mbox-or-pat
    ///               [SP "RETURN" SP "(" [return-option *(SP return-option)] ")"]        ; RFC 5258 §6
    /// mbox-or-pat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")"
    /// ```
    pub(super) fn list(&mut self) -> Parsed<List> {
        let mut selection = ListSelection::default();
        let mut extended = false;
        if self.peek() == Some(b'(') {
            extended = true;
            selection = self.list_selection()?;
            self.space()?;
        }
        let reference = self.reference()?;
        self.space()?;
        let mut patterns = Vec::new();
        if self.peek() == Some(b'(') {
            extended = true;
            self.parenthesised("patterns", |cursor| {
                patterns.push(cursor.list_pattern()?);
                Ok(())
            })?;
            if patterns.is_empty() {
                return Err(ParseError::Expected("a pattern"));
            }
        } else {
            patterns.push(self.list_pattern()?);
        }
        let mut returns = ListReturn::default();
        self.skip_trailing_spaces();
        if self.peek().is_some() {
            self.space()?;
            if !self.eat_text(b"RETURN ") {
                return Err(ParseError::Expected("RETURN"));
            }
            extended = true;
            returns = self.list_return()?;
        }
        Ok(List { selection, reference, patterns, returns, extended })
    }

    /// ```abnf
    /// lsub = "LSUB" SP mailbox SP list-mailbox       ; RFC 3501 §9
    /// ```
    pub(super) fn lsub(&mut self) -> Parsed<List> {
        let reference = self.reference()?;
        self.space()?;
        let patterns = vec![self.list_pattern()?];
        Ok(List {
            selection: ListSelection::default(),
            reference,
            patterns,
            returns: ListReturn::default(),
            extended: false,
        })
    }

    fn reference(&mut self) -> Parsed<String> {
        let octets = self.astring()?;
        self.decode_name(&octets)
    }

    /// ```abnf
    /// list-select-opt = "SUBSCRIBED" / "REMOTE" / "RECURSIVEMATCH" / "SPECIAL-USE"   ; RFC 5258 §6, RFC 6154 §6
    /// ```
    fn list_selection(&mut self) -> Parsed<ListSelection> {
        let mut selection = ListSelection::default();
        self.parenthesised("selection options", |cursor| {
            match cursor.atom("a selection option")?.to_ascii_uppercase().as_slice() {
                b"SUBSCRIBED" => selection.subscribed = true,
                b"REMOTE" => selection.remote = true,
                b"RECURSIVEMATCH" => selection.recursive_match = true,
                b"SPECIAL-USE" => selection.special_use = true,
                _ => return Err(ParseError::Unknown("selection option")),
            }
            Ok(())
        })?;
        if selection.recursive_match && !selection.subscribed && !selection.special_use {
            return Err(ParseError::RecursiveMatchAlone);
        }
        Ok(selection)
    }

    /// ```abnf
    /// return-option = "SUBSCRIBED" / "CHILDREN" / "SPECIAL-USE" / "STATUS" SP "(" status-att *(SP status-att) ")"
    ///                                                ; RFC 5258 §6, RFC 5819 §4, RFC 6154 §6
    /// ```
    fn list_return(&mut self) -> Parsed<ListReturn> {
        let mut returns = ListReturn::default();
        self.parenthesised("return options", |cursor| {
            match cursor.atom("a return option")?.to_ascii_uppercase().as_slice() {
                b"SUBSCRIBED" => returns.subscribed = true,
                b"CHILDREN" => returns.children = true,
                b"SPECIAL-USE" => returns.special_use = true,
                b"STATUS" => {
                    cursor.space()?;
                    returns.status = cursor.status_items()?;
                }
                _ => return Err(ParseError::Unknown("return option")),
            }
            Ok(())
        })?;
        Ok(returns)
    }
}
