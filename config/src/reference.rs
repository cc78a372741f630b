//! The reference of every key, made from the types.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::document::join;
use crate::schema::{description, properties, schema, type_name};

/// Markdown: a heading and a table for every section, a row for every key with its type, default and meaning.
pub fn reference<T: JsonSchema + Default + Serialize>() -> String {
    let mut text = String::from(
        "# Configuration reference\n\nMade from the program by `sluice config reference`. Every key is optional. \
         A key can also be set by an environment variable: `SLUICE_`, the sections and the key in capitals, two underscores \
         between them.\n",
    );
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    section(&mut text, "", &schema::<T>(), &defaults);
    text
}

fn section(text: &mut String, prefix: &str, schema: &Value, defaults: &Value) {
    let Some(known) = properties(schema) else { return };
    if !prefix.is_empty() {
        heading(text, &format!("[{prefix}]"), schema);
    }
    rows(text, known, |name, _| defaults.get(name).cloned());
    for (name, inner) in known {
        let (prefix, default) = (join(prefix, name), defaults.get(name).unwrap_or(&Value::Null));
        section(text, &prefix, inner, default);
        entries(text, &prefix, inner);
    }
}

/// The keys of one entry, where a key is a list of tables.
fn entries(text: &mut String, prefix: &str, list: &Value) {
    let Some((schema, known)) = list.get("items").and_then(|item| Some((item, properties(item)?))) else {
        return;
    };
    heading(text, &format!("[[{prefix}]]"), schema);
    rows(text, known, |_, inner| inner.get("default").cloned());
}

fn heading(text: &mut String, name: &str, schema: &Value) {
    let _ = write!(text, "\n## `{name}`\n");
    let words = description(schema);
    if !words.is_empty() {
        let _ = write!(text, "\n{words}\n");
    }
}

fn rows(text: &mut String, known: &Map<String, Value>, default_of: impl Fn(&str, &Value) -> Option<Value>) {
    let mut head = "\n| key | type | default | meaning |\n|---|---|---|---|\n";
    for (name, inner) in known.iter().filter(|(_, inner)| properties(inner).is_none()) {
        let default = default_of(name, inner).filter(|value| !value.is_null());
        let default = default.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
        let _ = writeln!(
            text,
            "{head}| `{name}` | {} | {} | {} |",
            cell(&type_name(inner)),
            cell(&default),
            cell(&description(inner))
        );
        head = "";
    }
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
