//! `sluice loadtest pop3`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use envelope::Address;
use loadtest::Pop3Load;

use super::options::{self, Amount, Crowd, Outcome, Reach, nothing};

#[derive(Args)]
pub(super) struct Arguments {
    /// The POP3 server; may be given several times: sessions take turns.
    #[arg(long = "server", default_value = "127.0.0.1:10110")]
    servers: Vec<SocketAddr>,
    /// An account; may be given several times: they are taken in turn. The password of all comes from standard input.
    #[arg(long = "login", value_name = "ADDRESS")]
    logins: Vec<Address>,
    /// Sessions at once; with --rate the most that may be busy.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Visits in all.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Delete what was taken.
    #[arg(long)]
    delete: bool,
    /// Only log in and out.
    #[arg(long, conflicts_with = "delete")]
    login_only: bool,
    /// Every session visits one account over and over, instead of the next one: servers give a mailbox to one POP3 session at a time.
    #[arg(long)]
    own_accounts: bool,
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
    let mut run = arguments.outcome.plan("pop3", arguments.crowd.seed)?;
    let load = Pop3Load {
        target: arguments.reach.target(arguments.servers.clone())?,
        people,
        password: crate::password::read()?,
        delete: arguments.delete,
        login_only: arguments.login_only,
        own_accounts: arguments.own_accounts,
        seed: arguments.crowd.seed,
    };
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
