//! `sluice loadtest admin`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use loadtest::AdminLoad;

use super::options::{self, Amount, Outcome, Reach, nothing};

#[derive(Args)]
pub(super) struct Arguments {
    /// A health port; may be given several times.
    #[arg(long = "server", default_value = "127.0.0.1:19090")]
    servers: Vec<SocketAddr>,
    /// A command to run in a shell, such as "sluice queue list --data DIR"; may be given several times. Half of the operations are commands then.
    #[arg(long = "command", value_name = "COMMAND")]
    commands: Vec<String>,
    /// Operations at once.
    #[arg(long, default_value_t = 2)]
    sessions: usize,
    /// Operations in all.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// The seed of every choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    outcome: Outcome,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut run = arguments.outcome.plan("admin", arguments.seed)?;
    let target = arguments.reach.target(arguments.servers.clone())?;
    let load = AdminLoad { target, commands: arguments.commands.clone(), seed: arguments.seed };
    options::settings(
        &mut run,
        &[
            ("server", options::servers(&arguments.servers)),
            ("sessions", Some(arguments.sessions.to_string())),
            ("rate", arguments.amount.rate().map(|rate| rate.to_string())),
        ],
    );
    run.loads.push(arguments.amount.paced(Arc::new(load), arguments.sessions, arguments.count)?);
    arguments.outcome.execute(run, nothing).await
}
