//! From a file and variables to a configuration.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::document::Document;
use crate::fault::{Fault, Faults, Place};
use crate::{check, schema, variables};

/// Octets of a configuration file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A whole configuration, with what its types alone can't say.
pub trait Validate: DeserializeOwned + Serialize + JsonSchema + Default {
    /// What is wrong although every value is of its type: key with sections, and problem.
    fn faults(&self) -> Vec<(String, String)>;
}

/// Puts a section's name before its faults' keys.
pub fn within(section: &str, faults: Vec<(String, String)>) -> Vec<(String, String)> {
    faults.into_iter().map(|(key, problem)| (format!("{section}.{key}"), problem)).collect()
}

/// Reads `path` (none: the defaults) and the environment's `variables` over it.
pub fn load<T: Validate>(
    path: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, Faults> {
    let Some(path) = path else { return load_text("", "", variables) };
    let file = path.display().to_string();
    let text = read(path)
        .map_err(|problem| Faults(vec![Fault { place: Place::Anywhere, key: String::new(), problem }]))?;
    load_text(&file, &text, variables)
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("can't read `{}`: {error}", path.display());
    let size = fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(&"the file is larger than 4 MiB"));
    }
    fs::read_to_string(path).map_err(|error| failed(&error))
}

/// The same from a text; `file` names it in faults.
pub fn load_text<T: Validate>(
    file: &str,
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, Faults> {
    let document = Document::parse(file, text);
    let schema = schema::schema::<T>();
    let broken = |problem: String| Fault { place: Place::Anywhere, key: String::new(), problem };
    let mut tree = serde_json::to_value(T::default())
        .map_err(|error| Faults(vec![broken(format!("the defaults can't be written: {error}"))]))?;
    // Behind a syntax fault keys may seem to stand in another section: telling more would mislead.
    if !document.faults.is_empty() {
        return Err(Faults(document.faults));
    }
    let mut faults = Vec::new();
    for (key, problem) in check::overlay::<T>(&schema, &mut tree, &document.values) {
        faults.push(Fault { place: document.place(&key), key, problem });
    }
    faults.extend(variables::overlay::<T>(&schema, &mut tree, variables));
    for (key, problem) in unreadable(&tree, "") {
        faults.push(Fault { place: document.place(&key), key, problem });
    }
    match serde_json::from_value::<T>(tree) {
        Ok(config) => {
            for (key, problem) in config.faults() {
                faults.push(Fault { place: document.place(&key), key, problem });
            }
            if faults.is_empty() {
                return Ok(config);
            }
        }
        Err(error) => faults.push(broken(error.to_string())),
    }
    faults.sort();
    faults.dedup();
    Err(Faults(faults))
}

/// Keys `…_file` that name a file which can't be opened. An empty name means none.
fn unreadable(tree: &Value, prefix: &str) -> Vec<(String, String)> {
    let Some(table) = tree.as_object() else { return Vec::new() };
    let mut wrong = Vec::new();
    for (name, value) in table {
        let key = crate::document::join(prefix, name);
        wrong.extend(unreadable(value, &key));
        let path = value.as_str().filter(|path| name.ends_with("_file") && !path.is_empty());
        if let Some(Err(error)) = path.map(fs::File::open) {
            wrong.push((key, format!("can't open `{}`: {error}", path.unwrap_or_default())));
        }
    }
    wrong
}

#[cfg(test)]
mod tests;
