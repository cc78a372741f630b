//! `sluice loadtest imap`.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use loadtest::population::Mailer;
use loadtest::{ImapLoad, Load, Script, Single};

use super::options::{Visited, Visits};

#[derive(Args)]
pub(super) struct Arguments {
    /// The IMAP server; may be given several times: sessions take turns.
    #[arg(long = "server", default_value = "127.0.0.1:10143")]
    servers: Vec<SocketAddr>,
    /// What is done: a visit of apple-mail, mbsync, outlook or thunderbird; or one operation over and over on a session that stays: append, envelopes, fetch,
    /// login, noop, page, search, select, status, store.
    #[arg(long = "as", default_value = "thunderbird", value_name = "SCRIPT")]
    script: Doing,
    #[command(flatten)]
    visits: Visits,
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
    let Arguments { servers, script: Doing(script), visits } = arguments;
    let name = match script {
        Script::Mailer(mailer) => mailer.as_str().to_owned(),
        Script::Single(single) => single.to_string(),
    };
    let load = |Visited { target, people, password, seed }: Visited| {
        Arc::new(ImapLoad { target, people, password, script, seed }) as Arc<dyn Load>
    };
    visits.execute("imap", &servers, &[("as", Some(name))], load).await
}
