//! What a `style` attribute of a message may say: looks, nothing that fetches, moves over the page or hides a link's place.

/// Properties that only change how a thing looks where it stands.
const PROPERTIES: &[&str] = &[
    "background-color",
    "border",
    "border-bottom",
    "border-bottom-color",
    "border-bottom-style",
    "border-bottom-width",
    "border-collapse",
    "border-color",
    "border-left",
    "border-radius",
    "border-right",
    "border-spacing",
    "border-style",
    "border-top",
    "border-width",
    "clear",
    "color",
    "direction",
    "display",
    "float",
    "font",
    "font-family",
    "font-size",
    "font-style",
    "font-variant",
    "font-weight",
    "height",
    "letter-spacing",
    "line-height",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-height",
    "max-width",
    "min-height",
    "min-width",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "table-layout",
    "text-align",
    "text-decoration",
    "text-indent",
    "text-transform",
    "vertical-align",
    "white-space",
    "width",
    "word-break",
    "word-spacing",
    "word-wrap",
    "overflow-wrap",
    "background",
];
/// Functions that fetch nothing.
const FUNCTIONS: &[&str] = &["rgb", "rgba", "hsl", "hsla", "calc"];
const VALUE_LENGTH_MAX: usize = 200;
const LENGTH_MAX: usize = 4096;

/// The declarations that may stay, or none.
pub(super) fn clean(style: &str) -> Option<String> {
    if style.len() > LENGTH_MAX {
        return None;
    }
    let mut out = String::new();
    for declaration in style.split(';') {
        let Some((property, value)) = declaration.split_once(':') else { continue };
        let property = property.trim().to_ascii_lowercase();
        let value = value.trim();
        if PROPERTIES.contains(&property.as_str()) && is_harmless(value) {
            if !out.is_empty() {
                out.push_str("; ");
            }
            out.push_str(&property);
            out.push_str(": ");
            out.push_str(value);
        }
    }
    (!out.is_empty()).then_some(out)
}

/// No escapes, comments, braces or unknown functions: what is left can't name a resource.
fn is_harmless(value: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || " #%.,()'\"-!+*/_".contains(c);
    if value.is_empty() || value.len() > VALUE_LENGTH_MAX || !value.chars().all(plain) || value.contains("/*")
    {
        return false;
    }
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('(') {
        let name: String =
            before.chars().rev().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
        let name: String = name.chars().rev().collect::<String>().to_ascii_lowercase();
        if !name.is_empty() && !FUNCTIONS.contains(&name.as_str()) {
            return false;
        }
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_looks_and_drops_reach() {
        let check =
            |input: &str, expected: Option<&str>| assert_eq!(clean(input).as_deref(), expected, "{input}");
        check("color: red; FONT-weight:bold", Some("color: red; font-weight: bold"));
        check(
            "width: calc(100% - 2px); color:rgb(1,2,3)",
            Some("width: calc(100% - 2px); color: rgb(1,2,3)"),
        );
        check("font-family: 'Segoe UI', Arial", Some("font-family: 'Segoe UI', Arial"));
        check("background: url(http://x.test/a.png)", None);
        check("background: URL('//x.test')", None);
        check("background: u\\72l(http://x.test)", None);
        check("background: url/**/(x)", None);
        check("background: image-set('a.png' 1x)", None);
        check("width: expression(alert(1))", None);
        check("background: -webkit-cross-fade(url(a), url(b))", None);
        check("position: fixed; top: 0; z-index: 9; color: blue", Some("color: blue"));
        check("behavior: url(x.htc)", None);
        check("-moz-binding: url(x)", None);
        check("color: red} body {background: url(x)", None);
        check("content: attr(href)", None);
        check("color: var(--x)", None);
        check("@import 'x'", None);
        check("", None);
        check(&format!("color:{}", "a".repeat(201)), None);
        check(&"color:red;".repeat(1000), None);
    }
}
