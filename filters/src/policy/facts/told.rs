//! What a rule looked at, in an explanation.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use serde::Serialize;
use serde_json::{Map, Number, Value as Json};

use super::{Facts, HeaderSection};
use crate::policy::load::Rule;

/// Letters of a text that an explanation shows.
const LETTERS_MAX: usize = 1000;
/// Elements of a list that it shows.
const ELEMENTS_MAX: usize = 100;

/// Something that a rule looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// As rules write it: `message.subject`, `header("list-id")`.
    pub name: String,
    /// What it was for this message; long texts and lists are cut.
    pub value: Json,
}

/// Everything that there is to be looked at.
pub(in crate::policy) struct Told {
    variables: HashMap<String, Value>,
    fields: Arc<HeaderSection>,
}

impl Told {
    pub(in crate::policy) fn of(facts: &Facts<'_>) -> Self {
        Self { variables: facts.variables(), fields: Arc::clone(facts.section()) }
    }

    /// What this rule looks at, when there are so many points.
    pub(in crate::policy) fn about(&self, rule: &Rule, score: f64) -> Vec<Fact> {
        let variables = rule.looks_at.iter().map(|(variable, field)| {
            let found = self.variables.get(variable);
            match (variable.as_str(), field.as_str()) {
                ("score", _) => Fact { name: variable.clone(), value: json(&Value::Float(score)) },
                (_, "") => Fact { name: variable.clone(), value: found.map_or(Json::Null, json) },
                _ => {
                    let value = found.map_or(Json::Null, |object| json_of_field(object, field));
                    Fact { name: format!("{variable}.{field}"), value }
                }
            }
        });
        let headers = rule.headers.iter().map(|name| {
            let values = self.fields.get(name).take(ELEMENTS_MAX);
            Fact { name: format!("header(\"{name}\")"), value: values.map(|value| text(&value)).collect() }
        });
        variables.chain(headers).collect()
    }
}

fn json_of_field(object: &Value, field: &str) -> Json {
    match object {
        Value::Map(map) => {
            let found = map.map.iter().find(|(key, _)| key.to_string() == field);
            found.map_or(Json::Null, |(_, value)| json(value))
        }
        _ => Json::Null,
    }
}

/// Values of facts nest no deeper than a list of objects with a list.
fn json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::Number((*value).into()),
        Value::UInt(value) => Json::Number((*value).into()),
        Value::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Value::String(value) => text(value),
        Value::List(list) => list.iter().take(ELEMENTS_MAX).map(json).collect(),
        Value::Map(map) => {
            let fields = map.map.iter().map(|(key, value)| (key.to_string(), json(value)));
            Json::Object(fields.collect::<Map<String, Json>>())
        }
        _ => Json::Null,
    }
}

fn text(value: &str) -> Json {
    match value.char_indices().nth(LETTERS_MAX) {
        None => Json::String(value.to_owned()),
        Some((end, _)) => Json::String(format!("{}…", value.get(..end).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_letter() {
        let check = |letters: usize, expected: usize| {
            let Json::String(shown) = text(&"ü".repeat(letters)) else { panic!("a text") };
            assert_eq!(shown.chars().count(), expected);
        };
        check(LETTERS_MAX - 1, LETTERS_MAX - 1);
        check(LETTERS_MAX, LETTERS_MAX);
        check(LETTERS_MAX + 1, LETTERS_MAX + 1);
        check(LETTERS_MAX * 3, LETTERS_MAX + 1);
    }
}
