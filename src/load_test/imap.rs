//! `sluice loadtest imap`.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use envelope::Address;
use loadtest::population::Mailer;
use loadtest::{ImapLoad, Script, Single};

use super::options::{self, Amount, Crowd, Outcome, Reach, nothing};

#[derive(Args)]
pub(super) struct Arguments {
    /// The IMAP server; may be given several times: sessions take turns.
    #[arg(long = "server", default_value = "127.0.0.1:10143")]
    servers: Vec<SocketAddr>,
    /// An account; may be given several times: they are taken in turn. The password of all comes from standard input.
    #[arg(long = "login", value_name = "ADDRESS")]
    logins: Vec<Address>,
    /// What is done: a visit of apple-mail, mbsync, outlook or thunderbird; or one operation over and over on a session that stays: append, envelopes, fetch,
    /// login, noop, page, search, select, status, store.
    #[arg(long = "as", default_value = "thunderbird", value_name = "SCRIPT")]
    script: Doing,
    /// Sessions at once; with --rate the most that may be busy.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Visits or operations in all.
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

#[derive(Clone, Copy)]
struct Doing(Script);

impl FromStr for Doing {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mailers = [Mailer::AppleMail, Mailer::Mbsync, Mailer::Outlook, Mailer::Thunderbird];
        if let Some(mailer) = mailers.into_iter().find(|mailer| mailer.as_str() == text) {
            return Ok(Self(Script::Mailer(mailer)));
        }
        match text.parse::<Single>() {
            Ok(single) => Ok(Self(Script::Single(single))),
            Err(error) => Err(anyhow::anyhow!("{error}, nor of {}", mailers.map(Mailer::as_str).join(", "))),
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let people = arguments.crowd.people(&arguments.logins, "login")?;
    let mut run = arguments.outcome.plan("imap", arguments.crowd.seed)?;
    let load = ImapLoad {
        target: arguments.reach.target(arguments.servers.clone())?,
        people,
        password: crate::password::read()?,
        script: arguments.script.0,
        seed: arguments.crowd.seed,
    };
    options::settings(
        &mut run,
        &[
            ("server", options::servers(&arguments.servers)),
            ("sessions", Some(arguments.sessions.to_string())),
            (
                "as",
                Some(match arguments.script.0 {
                    Script::Mailer(mailer) => mailer.as_str().to_owned(),
                    Script::Single(single) => single.to_string(),
                }),
            ),
            ("rate", arguments.amount.rate().map(|rate| rate.to_string())),
            ("seed", Some(arguments.crowd.seed.to_string())),
        ],
    );
    run.loads.push(arguments.amount.paced(Arc::new(load), arguments.sessions, arguments.count)?);
    arguments.outcome.execute(run, nothing).await
}
