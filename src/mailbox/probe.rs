//! `sluice mailbox probe`.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Serialize;
use store::{Config, RealFs, Verdict};

use crate::listing;

#[derive(Serialize)]
struct Line {
    check: &'static str,
    verdict: &'static str,
    detail: String,
}

impl Line {
    fn row(&self) -> Vec<String> {
        vec![self.check.to_owned(), self.verdict.to_owned(), self.detail.clone()]
    }
}

pub(super) fn run(config: &Config, directory: &Path, other: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let resolution = config.mtime_resolution.as_duration();
    let found = store::probe(directory, other, &RealFs, resolution)
        .with_context(|| format!("failed to try `{}`", directory.display()))?;
    let worst = found.iter().map(|probed| probed.verdict).max();
    let lines: Vec<Line> = found
        .into_iter()
        .map(|probed| Line { check: probed.check, verdict: probed.verdict.name(), detail: probed.detail })
        .collect();
    listing::print(json, &lines, &["check", "verdict", "detail"], Line::row)?;
    if worst == Some(Verdict::Unfit) {
        bail!("`{}` is unfit for mail", directory.display());
    }
    Ok(())
}
