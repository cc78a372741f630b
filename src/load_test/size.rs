//! `sluice loadtest size`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use loadtest::{Costs, Sizing, Wanted};
use units::ByteSize;

use crate::listing;

#[derive(Args)]
pub(super) struct Arguments {
    /// Accounts.
    #[arg(long)]
    users: u64,
    /// Part of them that is corporate, from 0 to 1.
    #[arg(long, default_value_t = 0.10, value_name = "PART")]
    corporate: f64,
    /// Part of them that is personal; the others are free.
    #[arg(long, default_value_t = 0.25, value_name = "PART")]
    personal: f64,
    /// Processors of a node.
    #[arg(long, default_value_t = 8.0, value_name = "COUNT")]
    cores: f64,
    /// Memory of a node.
    #[arg(long, default_value = "32GiB")]
    memory: ByteSize,
    /// Part of a node that may be in use at the busiest hour.
    #[arg(long, default_value_t = 0.6, value_name = "PART")]
    utilization: f64,
    /// Nodes of each role that may be missing at that time.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    spare: u64,
    /// What operations cost on the reader's machines: the `costs` of this command's --json, changed.
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let costs = match &arguments.costs {
        None => Costs::default(),
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("`{}` has no costs", path.display()))?
        }
    };
    let wanted = Wanted {
        users: arguments.users,
        corporate: arguments.corporate,
        personal: arguments.personal,
        cores_per_node: arguments.cores,
        memory_per_node: octets(arguments.memory),
        utilization: arguments.utilization,
        spare: arguments.spare,
    };
    let sizing = Sizing::of(wanted, costs)?;
    if arguments.json {
        return listing::write(serde_json::to_string_pretty(&sizing).context("failed to write JSON")? + "\n");
    }
    listing::write(sizing.to_string())
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn octets(size: ByteSize) -> f64 {
    size.as_u64() as f64
}
