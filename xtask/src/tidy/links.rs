//! Links in documents lead somewhere.

use std::path::Path;

use anyhow::Context;

pub(crate) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let text =
            std::fs::read_to_string(root.join(file)).with_context(|| format!("failed to read {file}"))?;
        let folder = Path::new(file).parent().unwrap_or_else(|| Path::new(""));
        for target in targets(&text) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !outside && !root.join(folder).join(path).exists() {
                findings.push(format!("links: {file}: `{target}` leads nowhere"));
            }
        }
    }
    Ok(findings)
}

/// The targets of `[text](target)` outside code blocks.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Inline code holds no links.
        let prose: String = line.split('`').step_by(2).collect();
        for piece in prose.split("](").skip(1) {
            if let Some((target, _)) = piece.split_once(')') {
                found.push(target.trim().to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_links_but_not_code() {
        let text = "a [b](c.md) `[d](e.md)`\n```\n[f](g.md)\n```\n![h](i.png#j)";
        assert_eq!(targets(text), ["c.md", "i.png#j"]);
    }
}
