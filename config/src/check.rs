//! Which keys of a tree are unknown or hold what they must not.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::document::join;
use crate::schema::properties;

/// Letters by which a key may differ from one that is meant.
const TYPING_ERRORS_MAX: usize = 3;

/// A key and what is wrong with it.
pub(crate) type Wrong = (String, String);

/// Puts `values` over `base`, key by key, as far as they are right. Each value is tried alone in an otherwise right
/// configuration, so that every fault is found, and told in the words of the type that reads it.
pub(crate) fn overlay<T: DeserializeOwned>(
    schema: &Value,
    base: &mut Value,
    values: &Map<String, Value>,
) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    table::<T>(schema, base, "", values, &mut wrong);
    wrong
}

fn table<T: DeserializeOwned>(
    schema: &Value,
    base: &mut Value,
    prefix: &str,
    values: &Map<String, Value>,
    wrong: &mut Vec<Wrong>,
) {
    let Some(known) = properties(schema) else { return };
    for (name, value) in values {
        let key = join(prefix, name);
        let Some(inner) = known.get(name) else {
            wrong.push((key, unknown(name, known)));
            continue;
        };
        match (value, properties(inner)) {
            (Value::Object(values), Some(_)) => table::<T>(inner, base, &key, values, wrong),
            (_, Some(_)) => {
                wrong.push((key.clone(), format!("is a section: write [{key}] and its keys below it")));
            }
            // A value that the document could not read has its fault already.
            (Value::Null, None) => {}
            (value, None) => {
                if let Err(problem) = put::<T>(base, &key, value) {
                    wrong.push((key, problem));
                }
            }
        }
    }
}

/// Puts one value at `key`, or leaves everything as it was and says why.
pub(crate) fn put<T: DeserializeOwned>(base: &mut Value, key: &str, value: &Value) -> Result<(), String> {
    let Some(place) = at(base, key) else { return Err("there is no such section".to_owned()) };
    let before = std::mem::replace(place, value.clone());
    match serde_json::from_value::<T>(base.clone()) {
        Ok(_) => Ok(()),
        Err(error) => {
            if let Some(place) = at(base, key) {
                *place = before;
            }
            Err(error.to_string())
        }
    }
}

/// The value at `key`; missing tables and a missing last name are made.
fn at<'a>(tree: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    key.split('.').try_fold(tree, |tree, name| {
        if tree.is_null() {
            *tree = Value::Object(Map::new());
        }
        Some(tree.as_object_mut()?.entry(name).or_insert(Value::Null))
    })
}

/// What to say about a name that is none.
pub(crate) fn unknown(name: &str, known: &Map<String, Value>) -> String {
    let nearest = known.keys().map(|other| (distance(name, other), other)).min();
    match nearest {
        Some((distance, other)) if distance <= TYPING_ERRORS_MAX && distance < name.chars().count() => {
            format!("there is no such key; did you mean `{other}`?")
        }
        _ => {
            let names: Vec<_> = known.keys().map(String::as_str).collect();
            format!("there is no such key; possible here: {}", names.join(", "))
        }
    }
}

/// How many letters to add, remove or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let cost = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = cost.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_typing_errors() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "", 3),
            ("size_max", "sise_mx", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
