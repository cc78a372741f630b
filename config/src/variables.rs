//! Keys from the environment.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::check::{put, unknown};
use crate::document::{Document, join};
use crate::fault::{Fault, Place};
use crate::schema::properties;

const PREFIX: &str = "SLUICE_";

/// Puts every variable `SLUICE_SECTION__KEY` over `base`. Variables without two underscores are none of ours.
pub(crate) fn overlay<T: DeserializeOwned>(
    schema: &Value,
    base: &mut Value,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (variable, text) in variables {
        let Some(path) = variable.strip_prefix(PREFIX).filter(|path| path.contains("__")) else { continue };
        let outcome = find(schema, path).and_then(|key| {
            let tried = values(&text).into_iter().map(|value| put::<T>(base, &key, &value));
            let mut problems = Vec::new();
            for outcome in tried {
                match outcome {
                    Ok(()) => return Ok(()),
                    Err(problem) => problems.push(problem),
                }
            }
            Err((key, problems.into_iter().next().unwrap_or_default()))
        });
        if let Err((key, problem)) = outcome {
            faults.push(Fault { place: Place::Variable(variable), key, problem });
        }
    }
    faults
}

/// The key that a variable's path names.
fn find(schema: &Value, path: &str) -> Result<String, (String, String)> {
    let mut key = String::new();
    let mut schema = schema;
    let none = Map::new();
    for name in path.split("__") {
        let name = name.to_ascii_lowercase();
        key = join(&key, &name);
        let known = properties(schema).unwrap_or(&none);
        schema = known.get(&name).ok_or_else(|| (key.clone(), unknown(&name, known)))?;
    }
    if properties(schema).is_some() {
        return Err((key, "is a section: name a key in it".to_owned()));
    }
    Ok(key)
}

/// What a variable's text may mean: a TOML value, and the text itself.
fn values(text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    let mut document = Document::parse("", &format!("value = {text}"));
    if document.faults.is_empty() && document.values.len() == 1 {
        values.extend(document.values.remove("value"));
    }
    values.push(Value::String(text.to_owned()));
    values
}
