//! `sluice loadtest compare`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use loadtest::{Report, compare};

use crate::listing;

#[derive(Args)]
pub(super) struct Arguments {
    /// The report of the first run, as JSON.
    before: PathBuf,
    /// The report of the second run, as JSON.
    after: PathBuf,
    /// End with status 1 when something became worse by more than so many percent: a rate, a p99, or failures that were not there.
    #[arg(long, value_name = "PERCENT")]
    worse_by: Option<f64>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let comparison = compare(&Report::read(&arguments.before)?, &Report::read(&arguments.after)?);
    if arguments.json {
        listing::write(serde_json::to_string_pretty(&comparison).context("failed to write JSON")? + "\n")?;
    } else {
        listing::write(comparison.to_string())?;
    }
    let worse = arguments.worse_by.map(|percent| comparison.worse_by(percent)).unwrap_or_default();
    if !worse.is_empty() {
        bail!("it became worse:\n{}", worse.join("\n"));
    }
    Ok(())
}
