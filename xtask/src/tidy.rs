//! Rules that a machine can check. Each check gives its findings as lines; all are shown at once.

mod apart;
mod layers;
mod licences;
mod links;
mod metadata;
mod sources;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

/// Runs every check from the workspace's root.
pub(crate) fn run() -> anyhow::Result<()> {
    // Asked at run time: several checkouts may share one target folder, and with it this program.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask tidy`")?;
    let root = Path::new(&here).parent().context("xtask has no parent folder")?;
    let metadata = metadata::read(root)?;
    let files = tracked_files(root)?;
    let mut findings = layers::check(&metadata);
    findings.extend(licences::check(root)?);
    findings.extend(apart::check(root)?);
    findings.extend(sources::check(root, &files)?);
    findings.extend(links::check(root, &files)?);
    if findings.is_empty() {
        println!(
            "tidy: {} packages and {} files checked, nothing found",
            metadata.packages.len(),
            files.len()
        );
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("tidy found {} faults", findings.len());
}

/// What git tracks, and new files that it does not ignore.
fn tracked_files(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("failed to run git ls-files")?;
    let text = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(text.lines().filter(|file| root.join(file).is_file()).map(str::to_owned).collect())
}
