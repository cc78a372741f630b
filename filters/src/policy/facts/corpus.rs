//! Shapes in which mail comes: rules see what people see, and no honest From field is called a forgery.

#[path = "../../../../tests/corpus/expected.rs"]
mod expected;

use cel::Value;
use cel::objects::Key;

use super::super::cases::{self, Situation};
use super::PolicyConfig;
use crate::Author;
use expected::shapes;

#[test]
fn rules_see_what_people_see() {
    let fields = ["subject", "from_address", "text"].map(|field| ("message".to_owned(), field.to_owned()));
    let names: Vec<_> = fields.into_iter().chain([("parts".to_owned(), String::new())]).collect();
    for shape in shapes() {
        let facts = cases::facts(&Situation::default(), &shape.octets, &names, &PolicyConfig::default());
        let Some(Value::Map(message)) = facts.get("message") else { panic!("{}", shape.name) };
        let text = |field: &str| match message.get(&Key::from(field)) {
            Some(Value::String(text)) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            other => panic!("{}: {field} {other:?}", shape.name),
        };
        if let Some(subject) = shape.subject {
            assert_eq!(text("subject"), subject, "{}", shape.name);
        }
        assert_eq!(text("from_address"), shape.from.to_lowercase(), "{}", shape.name);
        if let Some(words) = shape.text {
            assert!(text("text").contains(words), "{}: {:?} is not in {:?}", shape.name, words, text("text"));
        }
        let Some(Value::List(parts)) = facts.get("parts") else { panic!("{}", shape.name) };
        let name = |part: &Value| match part {
            Value::Map(part) => match part.get(&Key::from("name")) {
                Some(Value::String(name)) => name.to_string(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let names: Vec<String> = parts.iter().map(name).collect();
        for file in &shape.files {
            assert!(names.iter().any(|name| name == file), "{}: {file} is not in {names:?}", shape.name);
        }
    }
}

#[test]
fn no_honest_author_is_a_forger() {
    for shape in shapes() {
        let author = Author::read(&shape.octets);
        assert_eq!(author.fault, None, "{}", shape.name);
        assert_eq!(author.addresses.len(), 1, "{}", shape.name);
    }
}

#[test]
fn rules_fuzz_entries_take_them() {
    for shape in shapes() {
        crate::fuzz_facts(&shape.octets);
        crate::fuzz_author(&shape.octets);
        crate::fuzz_changes(&shape.octets);
        crate::fuzz_signature(&shape.octets);
    }
}
