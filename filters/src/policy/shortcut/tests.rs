//! What is said here, and what the library says.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::PolicyConfig;
use super::super::cases::Situation;
use super::*;

fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Bool(found) => found.into(),
        serde_json::Value::Number(found) if found.is_f64() => found.as_f64().unwrap().into(),
        serde_json::Value::Number(found) => found.as_i64().unwrap().into(),
        serde_json::Value::String(found) => found.into(),
        serde_json::Value::Array(found) => found.into_iter().map(value).collect::<Vec<Value>>().into(),
        serde_json::Value::Object(found) => {
            let fields = found.into_iter().map(|(name, found)| (name, value(found)));
            fields.collect::<HashMap<String, Value>>().into()
        }
        serde_json::Value::Null => Value::Null,
    }
}

fn facts() -> HashMap<String, Value> {
    let facts = serde_json::json!({
        "message": { "subject": "Your Invoice", "size": 5000, "bulk": true, "from_domain": "a.test" },
        "auth": { "spf": "fail", "dkim_domains": ["a.test", "b.test"] },
        "parts": [
            { "extension": "exe", "size": 7, "macros": false, "contains": ["x.js"] },
            { "extension": "txt", "size": 0, "macros": true, "contains": [] },
        ],
        "urls": [],
    });
    let serde_json::Value::Object(facts) = facts else { unreachable!("an object") };
    facts.into_iter().map(|(name, found)| (name, value(found))).collect()
}

/// The names of facts, and what they are.
fn named(variables: &HashMap<String, Value>) -> (FactNames, Vec<Value>) {
    let each = variables.iter().flat_map(|(name, found)| match found {
        Value::Map(map) => {
            let fields = map.map.iter();
            fields.map(|(field, found)| ((name.clone(), field.to_string()), found.clone())).collect()
        }
        found => vec![((name.clone(), String::new()), found.clone())],
    });
    each.unzip()
}

/// What is found here, and what the library finds.
fn both(source: &str) -> (Option<bool>, Result<bool, String>) {
    let program = Program::compile(source).unwrap();
    let (variables, rules, config) = (facts(), RuleSet::default(), PolicyConfig::default());
    let mut context = cel::Context::default();
    for (name, value) in &variables {
        context.add_variable_from_value(name.clone(), value.clone());
    }
    context.add_variable_from_value("score", Value::Float(2.5));
    let library = match program.execute(&context) {
        Ok(Value::Bool(found)) => Ok(found),
        other => Err(format!("{other:?}")),
    };
    let (names, values) = named(&variables);
    let found = Situation::default().with_subject(b"", |subject| {
        let facts = Facts::given(subject, &names, values, &config);
        let scene = Scene { facts: &facts, rules: &rules, score: 2.5 };
        Shortcut::of(&program, &names).ask(&scene)
    });
    (found, library)
}

#[test]
fn what_is_known_here_and_what_is_not() {
    let check = |source: &str, expected: Option<bool>| {
        let (found, library) = both(source);
        assert_eq!(found, expected, "{source}");
        assert!(found.is_none_or(|found| library == Ok(found)), "{source}: the library {library:?}");
    };
    check("message.subject.contains('Inv') && message.size > 4999", Some(true));
    check("message.subject == 'x' || !message.bulk", Some(false));
    check("message.subject < 'Z' && message.size >= 5000 && message.size <= 5000", Some(true));
    check("score > 2.0 && score != 2.0", Some(true));
    check("auth.spf in ['fail', 'softfail'] && !('c.test' in auth.dkim_domains)", Some(true));
    check("'a.test' in auth.dkim_domains && size(parts) == 2 && parts.size() < 3", Some(true));
    check("parts.exists(p, p.macros || p.extension in ['js'])", Some(true));
    check("parts.all(p, p.size < 5)", Some(false));
    check("urls.exists(u, u.misleading)", Some(false));
    check("urls.all(u, u.misleading)", Some(true));
    check("parts.exists(p, p.contains.exists(name, name.endsWith('.js') && p.size == 7))", Some(true));
    check("auth.dkim_domains.exists(one, one.startsWith('b'))", Some(true));
    // A loop's variable hides what has its name.
    check("auth.dkim_domains.all(message, message != 'x')", Some(true));
    // For the library, unless the rest settles it.
    check("message.size + 1 > 5000", None);
    check("message.size + 1 > 5000 && message.bulk", None);
    check("message.size / 0 > 1 && !message.bulk", Some(false));
    check("!message.bulk && message.size / 0 > 1", Some(false));
    check("message.bulk || message.size / 0 > 1", Some(true));
    check("parts.filter(p, p.size > 0).size() == 1", None);
    check("parts.exists_one(p, p.macros)", None);
    check("message.size > 4999.5", None);
    check("parts[0].macros", None);
    check("message.bulk ? true : false", None);
    check("size(message.subject) > 3", None);
}

/// Asks an expression about a plain message from a stranger; gives what was worked out for that.
fn looked_at(source: &str) -> Vec<String> {
    let (program, config) = (Program::compile(source).unwrap(), PolicyConfig::default());
    let names = ["auth.dmarc", "message.bulk", "message.from_name", "message.has_html", "message.text"];
    let fields = names.map(|name| name.split_once('.').unwrap());
    let names = [("parts", ""), ("urls", "")].into_iter().chain(fields);
    let names: FactNames = names.map(|(name, field)| (name.to_owned(), field.to_owned())).collect();
    let rules = RuleSet::default();
    let message = b"From: Ann <ann@a.test>\r\n\r\nSee http://b.test\r\n";
    Situation::default().with_subject(message, |subject| {
        let facts = Facts::new(subject, &names, &config);
        assert!(facts.worked_out().is_empty());
        let shortcut = Shortcut::of(&program, &names);
        shortcut.ask(&Scene { facts: &facts, rules: &rules, score: 0.0 });
        let joined = |(name, field): &(String, String)| format!("{name}.{field}");
        facts.worked_out().into_iter().map(|name| joined(name).trim_end_matches('.').to_owned()).collect()
    })
}

#[test]
fn only_what_settles_a_rule_is_worked_out() {
    let check = |source: &str, expected: &[&str]| assert_eq!(looked_at(source), expected, "{source}");
    // The side that costs less first, whichever stands first.
    check("urls.exists(u, u.misleading) && message.has_html", &["message.has_html"]);
    check("message.has_html && urls.exists(u, u.misleading)", &["message.has_html"]);
    check("message.text.contains('x') && score > 3.0", &[]);
    check("message.from_name == 'Ann' && !message.bulk && auth.dmarc != 'none'", &["auth.dmarc"]);
    check("message.text.contains('See') || parts.exists(p, p.size > 0)", &["parts"]);
    check("message.from_name.contains('n') || message.from_name == 'x'", &["message.from_name"]);
    // What the library must be asked settles nothing here.
    check("message.text.size() + 1 > 5 || message.bulk", &["message.bulk"]);
    // Both, where the cheaper one settles nothing.
    check("message.text.contains('See') && auth.dmarc == 'none'", &["auth.dmarc", "message.text"]);
}

proptest! {
    #[test]
    fn what_is_said_here_is_what_the_library_says(source in expression()) {
        let (found, library) = both(&source);
        if let Some(found) = found {
            prop_assert_eq!(library, Ok(found), "{}", source);
        }
    }
}

/// Expressions of one type, with what is unknown here among them, and nothing that fails.
fn expression() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just("message.subject"),
        Just("auth.spf"),
        Just("message.from_domain"),
        Just("'fail'"),
        Just("''"),
        Just("'Invoice'"),
    ];
    let number = prop_oneof![
        Just("message.size".to_owned()),
        Just("size(parts)".to_owned()),
        Just("auth.dkim_domains.size()".to_owned()),
        (0i64..3).prop_map(|n| n.to_string()),
        Just("(message.size + 1)".to_owned()),
    ];
    let compared = prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        Just("message.bulk".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        (text.clone(), compared.clone(), text.clone()).prop_map(|(a, c, b)| format!("{a} {c} {b}")),
        (number.clone(), compared.clone(), number).prop_map(|(a, c, b)| format!("{a} {c} {b}")),
        (compared, prop_oneof![Just("2.5"), Just("0.0")]).prop_map(|(c, b)| format!("score {c} {b}")),
        (text.clone(), prop_oneof![Just("contains"), Just("startsWith"), Just("endsWith")], text.clone())
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        text.clone().prop_map(|a| format!("{a} in ['fail', 'x']")),
        text.prop_map(|a| format!("{a} in auth.dkim_domains")),
        Just("parts.exists_one(p, p.macros)".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop_oneof![Just("&&"), Just("||"), Just("==")], inner.clone())
                .prop_map(|(a, o, b)| format!("({a}) {o} ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
            (
                prop_oneof![Just("parts"), Just("urls")],
                prop_oneof![Just("exists"), Just("all")],
                prop_oneof![Just("p.macros"), Just("p.size > 0"), Just("p.extension == 'exe'")],
                inner
            )
                .prop_map(|(l, q, p, a)| format!("{l}.{q}(p, {p} || ({a}))")),
        ]
    })
}
