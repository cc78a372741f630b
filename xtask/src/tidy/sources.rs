//! Lengths and names of source files.

use std::path::Path;

use anyhow::Context;

/// Lines of code in one file, tests and blank lines at the end not counted.
const LINES_MAX: usize = 500;

/// Files that may be longer, with the reason.
const LONG: &[(&str, &str)] = &[];

/// Module names that gather what belongs elsewhere.
const BANNED_NAMES: &[&str] = &["common", "helper", "helpers", "misc", "prelude", "types", "util", "utils"];

/// Texts that no source file may hold, with the reason.
const BANNED_TEXTS: &[(&str, &str)] = &[
    (concat!("todo", "!("), "unfinished work"),
    (concat!("unimplemented", "!("), "unfinished work"),
    (concat!("unbounded", "_channel("), "every queue has a bound"),
    (concat!("#[", "ignore"), "a test that does not run proves nothing"),
];

pub(crate) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let text =
            std::fs::read_to_string(root.join(file)).with_context(|| format!("failed to read {file}"))?;
        findings.extend(name(file));
        findings.extend(contents(file, &text));
    }
    Ok(findings)
}

fn name(file: &str) -> Option<String> {
    let path = Path::new(file);
    let stem = path.file_stem()?.to_str()?;
    if stem == "mod" {
        return Some(format!("sources: {file}: write `foo.rs` beside `foo/`, not `mod.rs`"));
    }
    BANNED_NAMES
        .contains(&stem)
        .then(|| format!("sources: {file}: `{stem}` says nothing about what is inside"))
}

fn contents(file: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    // Test modules in files of their own, and what they share.
    let is_test = file.contains("/tests/") || file.starts_with("tests/") || file.ends_with("/tests.rs");
    let code = (text.match_indices("#[cfg(test)]\n").map(|(at, _)| at))
        .find(|at| {
            text.get(*at..).is_some_and(|rest| rest.lines().nth(1).is_some_and(|line| line.ends_with('{')))
        })
        .and_then(|end| text.get(..end))
        .unwrap_or(text);
    let lines = code.lines().count();
    if !is_test && lines > LINES_MAX && !LONG.iter().any(|(long, _)| *long == file) {
        findings.push(format!("sources: {file}: {lines} lines of code, {LINES_MAX} allowed"));
    }
    for (banned, reason) in BANNED_TEXTS {
        if text.contains(banned) {
            findings.push(format!("sources: {file}: `{banned}`: {reason}"));
        }
    }
    if !is_test && !text.trim_start().starts_with("//!") {
        findings.push(format!("sources: {file}: begins with no `//!` that says what it is"));
    }
    for (number, line) in code.lines().enumerate() {
        let glob = line.trim_start();
        if !is_test && (glob.starts_with("use ") || glob.starts_with("pub use ")) && glob.contains("::*") {
            findings
                .push(format!("sources: {file}:{}: a glob import hides where names come from", number + 1));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_code_only() {
        let body = "//! Doc.\n".to_owned() + &"fn a() {}\n".repeat(LINES_MAX - 1);
        assert!(contents("a/src/b.rs", &body).is_empty());
        assert_eq!(contents("a/src/b.rs", &(body.clone() + "fn b() {}\n")).len(), 1);
        let tested = body + "#[cfg(test)]\nmod tests {\n" + &"x\n".repeat(900) + "}\n";
        assert!(contents("a/src/b.rs", &tested).is_empty());
    }

    #[test]
    fn names_and_texts() {
        assert!(name("a/src/utils.rs").is_some());
        assert!(name("a/src/foo/mod.rs").is_some());
        assert!(name("a/src/rcpt.rs").is_none());
        assert_eq!(contents("a/src/b.rs", "//! Doc.\nuse std::io::*;\n").len(), 1);
        assert_eq!(contents("a/src/b.rs", "fn a() {}\n").len(), 1);
    }
}
