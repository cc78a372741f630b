//! What a type's schema says about its keys.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The schema of `T` with everything in place, no references.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The keys of a table; `None` for a value, or a table whose keys are free.
pub(crate) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// The type in words.
pub(crate) fn type_name(schema: &Value) -> String {
    if let Some(choices) = choices(schema) {
        return choices.iter().map(|choice| format!("`{choice:?}`")).collect::<Vec<_>>().join(" or ");
    }
    match (schema.get("type"), schema.get("format").and_then(Value::as_str)) {
        (Some(Value::String(kind)), format) => named(kind, format, schema),
        (Some(Value::Array(kinds)), format) => {
            let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds.map(|kind| named(kind, format, schema)).collect::<Vec<_>>().join(" or ")
        }
        _ => first_of_any(schema).map_or_else(|| "value".to_owned(), type_name),
    }
}

fn named(kind: &str, format: Option<&str>, schema: &Value) -> String {
    match (kind, format) {
        ("string", Some("duration")) => "duration".to_owned(),
        ("string", Some("network")) => "network".to_owned(),
        ("string", Some("size")) => "size".to_owned(),
        ("string", _) => "text".to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        ("integer", _) => "whole number".to_owned(),
        ("number", _) => "number".to_owned(),
        ("array", _) => {
            let item = schema.get("items").map_or_else(|| "value".to_owned(), type_name);
            format!("list of {item}")
        }
        _ => "table".to_owned(),
    }
}

/// The one alternative of an optional value that is not null.
fn first_of_any(schema: &Value) -> Option<&Value> {
    let any = schema.get("anyOf")?.as_array()?;
    any.iter().find(|one| one.get("type").and_then(Value::as_str) != Some("null"))
}

/// The texts that an enumeration allows.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        return Some(list.iter().filter_map(Value::as_str).collect());
    }
    let list = schema.get("oneOf")?.as_array()?;
    let mut texts = Vec::new();
    for one in list {
        match (one.get("const"), one.get("enum")) {
            (Some(Value::String(text)), _) => texts.push(text.as_str()),
            (_, Some(Value::Array(list))) => texts.extend(list.iter().filter_map(Value::as_str)),
            _ => return None,
        }
    }
    Some(texts)
}

/// The sentences about a key, on one line.
pub(crate) fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
