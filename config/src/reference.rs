//! The reference of every key, made from the types.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

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
        let _ = write!(text, "\n## `[{prefix}]`\n");
        let words = description(schema);
        if !words.is_empty() {
            let _ = write!(text, "\n{words}\n");
        }
    }
    let mut head = "\n| key | type | default | meaning |\n|---|---|---|---|\n";
    for (name, inner) in known.iter().filter(|(_, inner)| properties(inner).is_none()) {
        let default = defaults.get(name).filter(|value| !value.is_null());
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
    for (name, inner) in known.iter().filter(|(_, inner)| properties(inner).is_some()) {
        section(text, &join(prefix, name), inner, defaults.get(name).unwrap_or(&Value::Null));
    }
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
