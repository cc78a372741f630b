//! `sluice loadtest web`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use envelope::Address;
use loadtest::WebLoad;

use super::options::{self, Amount, Crowd, Outcome, Reach, nothing};

#[derive(Args)]
pub(super) struct Arguments {
    /// The webmail server; may be given several times: visits take turns.
    #[arg(long = "server", default_value = "127.0.0.1:18080")]
    servers: Vec<SocketAddr>,
    /// An account; may be given several times: they are taken in turn. The password of all comes from standard input.
    #[arg(long = "login", value_name = "ADDRESS")]
    logins: Vec<Address>,
    /// People at once; with --rate the most that may be there.
    #[arg(long, default_value_t = 20)]
    sessions: usize,
    /// Visits in all.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    #[command(flatten)]
    crowd: Crowd,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    outcome: Outcome,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let people = arguments.crowd.people(&arguments.logins, "login")?;
    let mut run = arguments.outcome.plan("web", arguments.crowd.seed)?;
    let target = arguments.reach.target(arguments.servers.clone())?;
    let load = WebLoad { target, people, password: crate::password::read()?, seed: arguments.crowd.seed };
    options::settings(
        &mut run,
        &[
            ("server", options::servers(&arguments.servers)),
            ("sessions", Some(arguments.sessions.to_string())),
            ("rate", arguments.amount.rate().map(|rate| rate.to_string())),
            ("seed", Some(arguments.crowd.seed.to_string())),
        ],
    );
    run.loads.push(arguments.amount.paced(Arc::new(load), arguments.sessions, arguments.count)?);
    arguments.outcome.execute(run, nothing).await
}
