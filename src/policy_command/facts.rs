//! `sluice policy facts`: the reference of what rules may speak of, made from the tables that the checker reads.

use std::fmt::Write as _;

use filters::vocabulary::{FUNCTIONS, MAILBOX, Object, PART, Type, URL, VARIABLES};

/// Markdown: a table of variables, one of the fields of each, and one of functions.
pub(super) fn reference() -> String {
    let mut text = String::from(
        "# What rules may speak of\n\nMade from the program by `sluice policy facts`. The `when` of a rule is an expression of CEL (the Common Expression \
         Language) over these variables; it is true or false. There are `&&`, `||`, `!`, `==`, `!=`, `<`, `<=`, `>`, `>=`, `+`, `-`, `*`, `/`, `%`, `in`, \
         `a ? b : c`, lists as `[1, 2]`, and over lists `exists`, `exists_one`, `all`, `filter` and `map`, at most two within each other.\n\n\
         ## Variables\n\n| variable | type | meaning |\n|---|---|---|\n",
    );
    for (name, found, meaning) in VARIABLES {
        let _ = writeln!(text, "| `{name}` | {found} | {} |", cell(meaning));
    }
    let objects = VARIABLES.iter().filter_map(|(name, found, _)| match found {
        Type::Object(object) => Some((format!("`{name}`"), *object)),
        _ => None,
    });
    let elements = [("An element of `parts`", &PART), ("An element of `urls`", &URL)]
        .into_iter()
        .chain([("An element of `message.from`, `message.to`, `message.cc`", &MAILBOX)]);
    for (title, object) in objects.chain(elements.map(|(title, object)| (title.to_owned(), object))) {
        fields(&mut text, &title, object);
    }
    text.push_str(
        "\n## Functions\n\nEach may be called as `f(x, y)` or as `x.f(y)`.\n\n| function | gives | meaning |\n|---|---|---|\n",
    );
    for function in FUNCTIONS {
        let takes: Vec<String> = function.takes.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "| `{}({})` | {} | {} |",
            function.name,
            takes.join(", "),
            function.gives,
            cell(function.meaning)
        );
    }
    text
}

fn fields(text: &mut String, title: &str, object: &Object) {
    let _ = write!(text, "\n## {title}\n\n| field | type | meaning |\n|---|---|---|\n");
    for (name, found, meaning) in object.fields {
        let _ = writeln!(text, "| `{name}` | {found} | {} |", cell(meaning));
    }
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documented_facts_are_the_code_s() {
        let written = include_str!("../../docs/policy-facts.md");
        assert!(written == super::reference(), "run `cargo run -- policy facts > docs/policy-facts.md`");
    }
}
