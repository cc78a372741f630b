//! Figures for docs/performance.md.

use anyhow::bail;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    bail!("nothing to measure in {} s yet", arguments.seconds);
}
