//! `sluice loadtest web`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use loadtest::{Load, WebLoad};

use super::options::{Visited, Visits};

#[derive(Args)]
pub(super) struct Arguments {
    /// The webmail server; may be given several times: visits take turns.
    #[arg(long = "server", default_value = "127.0.0.1:18080")]
    servers: Vec<SocketAddr>,
    #[command(flatten)]
    visits: Visits,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let load = |Visited { target, people, password, seed }: Visited| {
        Arc::new(WebLoad { target, people, password, seed }) as Arc<dyn Load>
    };
    arguments.visits.execute("web", &arguments.servers, &[], load).await
}
