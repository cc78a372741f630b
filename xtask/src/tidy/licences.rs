//! What the binary may be built from. `cargo deny check` says the same in full with deny.toml; this
//! runs everywhere, without another tool.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// A dependency's licence expression must be satisfied by these alone.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that must not appear at all, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("milter", "GPL-3.0: belongs in a program of its own"),
    ("native-tls", "one TLS library"),
    ("openssl", "one TLS library"),
    ("openssl-sys", "one TLS library"),
    ("ring", "one crypto provider: aws-lc-rs"),
    ("rsa", "timing flaw"),
    ("sqlx", "one SQL library"),
];

/// What a program that stands apart may have besides.
const APART: &str = "GPL-3.0-or-later";

/// Checks what is really built, on every platform: the lock file also lists what no feature turns on.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let text = tree(root, &["--workspace"])?;
    let packages: BTreeSet<&str> = text.lines().collect();
    Ok(packages.into_iter().flat_map(package).collect())
}

/// Checks a program under the GPL: everything else in it must go together with that.
pub(crate) fn check_apart(folder: &Path) -> anyhow::Result<Vec<String>> {
    let text = tree(folder, &[])?;
    // What is apart because of its licence is in no other way different.
    let packages: BTreeSet<&str> =
        text.lines().filter(|line| !line.ends_with(&format!("|{APART}"))).collect();
    Ok(packages.into_iter().flat_map(package).collect())
}

fn tree(folder: &Path, more: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("cargo")
        .args(["tree", "--locked", "--target", "all", "--edges", "normal,build"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .args(more)
        .current_dir(folder)
        .output()
        .context("failed to run cargo tree")?;
    anyhow::ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("cargo tree gave something unexpected")
}

/// The faults of one line `name vVERSION (path or source)|licence`.
fn package(line: &str) -> Vec<String> {
    let mut fields = line.split('|');
    let (who, licence) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let name = who.split(' ').next().unwrap_or_default();
    let mut findings = Vec::new();
    if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| *banned == name) {
        findings.push(format!("licences: `{who}` is banned: {reason}"));
    }
    if who.contains("(http") || who.contains("(git") || who.contains("(ssh") {
        findings.push(format!("licences: `{who}` comes from somewhere else than the registry"));
    }
    if !name.is_empty() && !satisfied(licence) {
        findings.push(format!("licences: `{who}` has the licence `{licence}`"));
    }
    findings
}

/// Reads an SPDX expression as a choice (`OR`, `/`) of conjunctions (`AND`); parentheses do not nest in practice.
fn satisfied(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let words: Vec<&str> = flat.split_whitespace().collect();
    let flat = words.join(" ");
    if expression.contains('(') {
        // `(A OR B) AND C`: every conjunct must offer an allowed choice.
        return expression.split(" AND ").all(|conjunct| satisfied(conjunct.trim_matches(['(', ')', ' '])));
    }
    flat.split(" OR ").any(|choice| choice.split(" AND ").all(|licence| ALLOWED.contains(&licence.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages() {
        assert!(package("serde v1.0.229|MIT OR Apache-2.0").is_empty());
        assert!(package("sluice v0.1.0 (/somewhere/sluice)|MIT OR Apache-2.0").is_empty());
        assert_eq!(package("ring v0.17.14|Apache-2.0 AND ISC").len(), 1);
        assert_eq!(package("fork v1.0.0 (https://git.example/fork#abc)|MIT").len(), 1);
        assert_eq!(package("closed v1.0.0|").len(), 1);
        // Should a member name the program that stands apart, or its bindings.
        assert_eq!(package("sluice-milter v0.1.0 (/somewhere)|GPL-3.0-or-later").len(), 1);
        assert_eq!(package("milter v0.2.4|GPL-3.0-or-later").len(), 2);
    }

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "ISC AND (Apache-2.0 OR ISC)",
            "GPL-3.0 OR MIT",
        ] {
            assert!(satisfied(good), "{good}");
        }
        for bad in ["", "GPL-3.0-or-later", "MIT AND GPL-2.0", "(MIT OR Apache-2.0) AND GPL-2.0"] {
            assert!(!satisfied(bad), "{bad}");
        }
    }
}
