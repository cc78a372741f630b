//! What those do who look after the system: pages of its health port, and commands.
//!
//! | operation | what it is |
//! |---|---|
//! | `admin.page` | `/livez`, `/readyz` or `/metrics` of a server |
//! | `admin.command` | a command that was given, such as `sluice trace …` |

use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;

use super::{due, step_since};
use crate::client::http::Http;
use crate::random::Random;
use crate::recorder::Failure;
use crate::run::{Client, Context, Load};
use crate::wire::Target;

const PAGES: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// What to do.
#[derive(Clone)]
pub struct AdminLoad {
    /// Health ports.
    pub target: Target,
    /// Commands for a shell; one in two operations is one of them.
    pub commands: Vec<String>,
    /// The seed of every choice.
    pub seed: u64,
}

impl Load for AdminLoad {
    fn client(&self, number: u64) -> Box<dyn Client> {
        Box::new(Admin { load: self.clone(), random: Random::new(self.seed, number) })
    }
}

struct Admin {
    load: AdminLoad,
    random: Random,
}

#[async_trait]
impl Client for Admin {
    async fn run(mut self: Box<Self>, context: Context) {
        while let Some(ticket) = context.schedule.take() {
            due(ticket.due).await;
            let command =
                if self.random.chance(0.5) { self.random.pick(&self.load.commands).cloned() } else { None };
            // The recorder has what came of it.
            let _ = match command {
                Some(command) => {
                    step_since(
                        &context.recorder,
                        "admin.command",
                        ticket.due,
                        run(&command, self.load.target.answer_max),
                    )
                    .await
                }
                None => {
                    let page = self.random.pick(&PAGES).copied().unwrap_or("/livez");
                    step_since(&context.recorder, "admin.page", ticket.due, self.page(ticket.number, page))
                        .await
                }
            };
        }
    }
}

impl Admin {
    async fn page(&self, number: u64, page: &str) -> Result<(), Failure> {
        let target = &self.load.target;
        Http::open(target, number, target.usual()).await?.get(page).await?.ok().map(|_| ())
    }
}

/// A command that takes longer than an answer may is ended.
async fn run(command: &str, answer_max: Duration) -> Result<(), Failure> {
    let mut shell = tokio::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let status = tokio::time::timeout(answer_max, shell.status()).await;
    let status = status.map_err(|_| Failure::new("not over in time"))?;
    let status = status.map_err(|error| Failure::new(format_args!("did not start: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(status)) }
}
