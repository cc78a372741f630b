//! `sluice loadtest pop3`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use loadtest::{Load, Pop3Load};

use super::options::{Visited, Visits};

#[derive(Args)]
pub(super) struct Arguments {
    /// The POP3 server; may be given several times: sessions take turns.
    #[arg(long = "server", default_value = "127.0.0.1:10110")]
    servers: Vec<SocketAddr>,
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
    visits: Visits,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { servers, delete, login_only, own_accounts, visits } = arguments;
    let load = |Visited { target, people, password, seed }: Visited| {
        Arc::new(Pop3Load { target, people, password, delete, login_only, own_accounts, seed })
            as Arc<dyn Load>
    };
    visits.execute("pop3", &servers, &[], load).await
}
