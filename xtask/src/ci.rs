//! The checks that need no server.

use std::process::Command;

use anyhow::{Context, bail};

/// Each step is what a developer would type.
const STEPS: &[&[&str]] = &[
    &["cargo", "fmt", "--all", "--check"],
    &["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    // The program that stands apart (GPL-3.0).
    &["cargo", "fmt", "--manifest-path", "sluice-milter/Cargo.toml", "--check"],
    &[
        "cargo",
        "clippy",
        "--manifest-path",
        "sluice-milter/Cargo.toml",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ],
];

/// Runs every step, then tidy; stops at the first that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    for step in STEPS {
        println!("$ {}", step.join(" "));
        let (program, arguments) = step.split_first().context("empty step")?;
        let status = Command::new(program)
            .args(arguments)
            .status()
            .with_context(|| format!("failed to start {program}"))?;
        if !status.success() {
            bail!("`{}` failed", step.join(" "));
        }
    }
    crate::tidy::run()
}
