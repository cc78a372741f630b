//! The file as a tree that remembers its lines.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use crate::fault::{Fault, Place};

/// Keys joined by dots, and the line where each stands.
pub(crate) type Lines = BTreeMap<String, usize>;

/// What a text holds: values that could be read, where they stand, and what could not be read.
pub(crate) struct Document {
    pub(crate) file: String,
    pub(crate) values: Map<String, Value>,
    pub(crate) lines: Lines,
    pub(crate) faults: Vec<Fault>,
}

impl Document {
    pub(crate) fn parse(file: &str, text: &str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let fault = |at: usize, problem: String| Fault {
            place: Place::File { file: file.to_owned(), line: line(text, at) },
            key: String::new(),
            problem,
        };
        let mut reader = Reader { text, lines: Lines::new(), wrong: Vec::new() };
        let values = reader.table("", table.get_ref());
        let mut faults: Vec<Fault> = errors
            .iter()
            .map(|error| fault(error.span().map_or(0, |span| span.start), error.message().trim().to_owned()))
            .collect();
        faults.extend(reader.wrong.into_iter().map(|(at, problem)| fault(at, problem.to_owned())));
        Self { file: file.to_owned(), values, lines: reader.lines, faults }
    }

    /// Where `key` stands, or the nearest section around it.
    pub(crate) fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(line) = self.lines.get(key) {
                return Place::File { file: self.file.clone(), line: *line };
            }
            match key.rsplit_once('.') {
                Some((section, _)) => key = section,
                None => return Place::Anywhere,
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    lines: Lines,
    wrong: Vec<(usize, &'static str)>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, value) in table {
            let key = join(prefix, name.get_ref());
            self.lines.insert(key.clone(), line(self.text, name.span().start));
            let value = self.value(&key, value.get_ref(), value.span().start);
            values.insert(name.get_ref().to_string(), value);
        }
        values
    }

    fn value(&mut self, key: &str, value: &DeValue<'_>, at: usize) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(boolean) => Value::Bool(*boolean),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).map_or_else(
                |_| {
                    self.wrong.push((at, "the number is too large"));
                    Value::Null
                },
                Value::from,
            ),
            DeValue::Float(float) => {
                let number = float.as_str().parse().ok().and_then(Number::from_f64);
                number.map_or_else(
                    || {
                        self.wrong.push((at, "the number is not finite"));
                        Value::Null
                    },
                    Value::Number,
                )
            }
            DeValue::Datetime(datetime) => Value::String(datetime.to_string()),
            DeValue::Array(array) => Value::Array(
                array.iter().map(|item| self.value(key, item.get_ref(), item.span().start)).collect(),
            ),
            DeValue::Table(table) => Value::Object(self.table(key, table)),
        }
    }
}

/// `a.b` of `a` and `b`.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The line, from 1, in which the octet `at` stands.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
