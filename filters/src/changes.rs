//! Changes made on the octets of a message.
//!
//! Fields are counted as libmilter and Postfix count them: a name in any case, removed ones no longer, added ones from then on. What is not changed stays as it
//! is, octet for octet, so that signatures over it stay good.

use std::borrow::Cow;

use bytes::Bytes;

use crate::fields::Section;
use crate::verdict::Change;

/// Makes those of `changes` that concern the header section or the body, in their order. Changes of the envelope are the caller's.
///
/// - [`Change::AddField`]: behind the last field.
/// - [`Change::InsertField`]: before the `index`-th; behind the last if there are not as many.
/// - [`Change::ChangeField`]: the `index`-th of its name keeps its place. If there is none, a new value is added behind the last field, and a removal does nothing.
/// - [`Change::RemoveFields`]: all of the name, those among them that changes before it added.
/// - [`Change::ReplaceBody`]: all behind the empty line; the last one counts.
///
/// A value that begins with white space or a fold is written right behind the colon, any other behind one space. A name or a value that would break out of its
/// field is left out with its change: whoever makes changes checks them, and this is only the last door. A message whose text begins without an empty line gets one.
/// Without such changes the result is the message itself.
pub fn apply(message: &Bytes, changes: &[Change]) -> Bytes {
    let mut body: Option<&Bytes> = None;
    let mut touched = false;
    let section = Section::parse(message);
    let mut fields: Vec<Written<'_>> = Vec::new();
    fields
        .extend(section.fields.iter().map(|field| (Cow::Borrowed(field.name), Cow::Borrowed(field.octets))));
    for change in changes {
        match change {
            Change::AddField { name, value } if is_valid(name, value) => fields.push(written(name, value)),
            Change::InsertField { index, name, value } if is_valid(name, value) => {
                fields.insert((*index).min(fields.len()), written(name, value));
            }
            Change::ChangeField { name, index, value }
                if is_valid(name, value.as_deref().unwrap_or_default()) =>
            {
                let same = |(_, (known, _)): &(usize, &(Cow<'_, [u8]>, _))| {
                    known.eq_ignore_ascii_case(name.as_bytes())
                };
                let place = fields
                    .iter()
                    .enumerate()
                    .filter(same)
                    .nth(index.saturating_sub(1))
                    .map(|(place, _)| place);
                match (place, value) {
                    (Some(place), Some(value)) => {
                        if let Some(field) = fields.get_mut(place) {
                            *field = written(name, value);
                        }
                    }
                    (Some(place), None) => drop(fields.remove(place)),
                    (None, Some(value)) => fields.push(written(name, value)),
                    (None, None) => continue,
                }
            }
            Change::RemoveFields { name } => {
                let before = fields.len();
                fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
                if fields.len() == before {
                    continue;
                }
            }
            Change::ReplaceBody(text) => body = Some(text),
            _ => continue,
        }
        touched = true;
    }
    if !touched {
        return message.clone();
    }
    let text = body.map_or(section.body, |body| body.as_ref());
    let octets: usize = fields.iter().map(|(_, octets)| octets.len() + 2).sum();
    let mut changed = Vec::with_capacity(octets + 2 + text.len());
    for (_, field) in &fields {
        changed.extend_from_slice(field);
        if !field.ends_with(b"\r\n") {
            changed.extend_from_slice(b"\r\n");
        }
    }
    if section.has_separator || !text.is_empty() {
        changed.extend_from_slice(b"\r\n");
    }
    changed.extend_from_slice(text);
    changed.into()
}

/// The same changes for who can only remove a field by its number: [`Change::RemoveFields`] becomes a removal of each that there is by then, the last first.
pub fn counted(message: &[u8], changes: Vec<Change>) -> Vec<Change> {
    let section = Section::parse(message);
    let lower = |name: &[u8]| name.to_ascii_lowercase();
    let mut names: Vec<Vec<u8>> = section.fields.iter().map(|field| lower(field.name)).collect();
    let mut counted = Vec::with_capacity(changes.len());
    for change in changes {
        match &change {
            Change::AddField { name, .. } | Change::InsertField { name, .. } => {
                names.push(lower(name.as_bytes()))
            }
            Change::ChangeField { name, index, value } => {
                let name = lower(name.as_bytes());
                let mut same = names.iter().enumerate().filter(|(_, known)| **known == name);
                let place = same.nth(index.saturating_sub(1)).map(|(place, _)| place);
                match (place, value) {
                    (Some(place), None) => drop(names.swap_remove(place)),
                    // There is none: it is added.
                    (None, Some(_)) => names.push(name),
                    _ => {}
                }
            }
            Change::RemoveFields { name } => {
                let same = lower(name.as_bytes());
                let count = names.iter().filter(|known| **known == same).count();
                names.retain(|known| *known != same);
                let removed = (1..=count).rev();
                counted.extend(removed.map(|index| Change::ChangeField {
                    name: name.clone(),
                    index,
                    value: None,
                }));
                continue;
            }
            _ => {}
        }
        counted.push(change);
    }
    counted
}

/// A field's name, and the whole of it.
type Written<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

fn written<'a>(name: &str, value: &str) -> Written<'a> {
    let space = if value.starts_with([' ', '\t', '\r']) { "" } else { " " };
    (Cow::Owned(name.as_bytes().to_vec()), Cow::Owned(format!("{name}:{space}{value}\r\n").into_bytes()))
}

/// A value of a program that ends lines in LF, with CRLF. Whether it is one is for [`is_valid`] to say.
pub(crate) fn with_crlf(value: &str) -> String {
    value.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// Whether a field of this name and value is one field (RFC 5322 §2.2).
pub(crate) fn is_valid(name: &str, value: &str) -> bool {
    let graphic = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    let mut lines = value.split("\r\n");
    let first = lines.next().unwrap_or_default();
    !name.is_empty()
        && name.bytes().all(graphic)
        && !first.contains(['\r', '\n', '\0'])
        && lines.all(|line| line.starts_with([' ', '\t']) && !line.contains(['\r', '\n', '\0']))
}

/// Makes changes from arbitrary octets on an arbitrary message: what was not changed is still there, and no field breaks out.
pub fn fuzz_changes(input: &[u8]) {
    let Some((kinds, message)) = input.split_first_chunk::<4>() else { return };
    let message = Bytes::copy_from_slice(message);
    let text = String::from_utf8_lossy(&message).into_owned();
    let (name, value) = text.split_once(':').unwrap_or(("X", &text));
    let changes = kinds.iter().map(|kind| {
        let (name, value, index) = (name.to_owned(), value.to_owned(), usize::from(kind / 4));
        match kind % 4 {
            0 => Change::AddField { name, value },
            1 => Change::InsertField { index, name, value },
            2 => Change::ChangeField { name, index, value: Some(value) },
            _ => Change::ChangeField { name, index, value: None },
        }
    });
    let changes: Vec<Change> = changes.collect();
    let changed = apply(&message, &changes);
    let (before, after) = (Section::parse(&message), Section::parse(&changed));
    let most = before.fields.len() + kinds.len();
    assert!(after.fields.len() <= most, "no change makes two fields");
    if changed != message {
        assert_eq!(before.body, after.body, "the text is as it was");
    }
}

#[cfg(test)]
mod tests;
