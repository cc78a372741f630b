//! `sluice loadtest smtp` and `submission`.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use envelope::Address;
use loadtest::{People, Sizes, SmtpLoad};

use super::options::{self, Amount, Crowd, Outcome, Reach};
use super::proof::Proof;

/// Messages, wherever they go in.
#[derive(Args)]
struct Messages {
    /// A recipient; may be given several times: they are taken in turn.
    #[arg(long = "to", value_name = "ADDRESS")]
    to: Vec<Address>,
    /// Sessions at once; with --rate the most that may be busy.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Messages in all.
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    /// Octets of each message, or `real` for sizes and attachments as people send them.
    #[arg(long, default_value = "5000")]
    size: Size,
    /// Messages of a session; as many as there are without it.
    #[arg(long, value_name = "COUNT")]
    per_session: Option<u64>,
    /// Wait for each answer, instead of sending MAIL, RCPT and DATA together where the server takes that.
    #[arg(long)]
    no_pipelining: bool,
    /// Part of the messages that go to two recipients, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    to_two: f64,
    #[command(flatten)]
    proof: Proof,
    /// The IMAP server, without TLS, on which --ledger looks for the messages; may be given several times.
    #[arg(long = "imap", value_name = "SERVER")]
    imap: Vec<SocketAddr>,
    #[command(flatten)]
    crowd: Crowd,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    outcome: Outcome,
}

#[derive(Args)]
pub(super) struct Arguments {
    /// The SMTP server; may be given several times: sessions take turns.
    #[arg(long = "server", default_value = "127.0.0.1:10025")]
    servers: Vec<SocketAddr>,
    /// The sender; strangers when a population is written to.
    #[arg(long, default_value = "load@load.example")]
    from: Address,
    /// Part of the operations that are an attack and no mail: guessed recipients, relaying, half messages, nonsense. From 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    bad: f64,
    /// Part of the messages that are spam (GTUBE), from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    spam: f64,
    #[command(flatten)]
    messages: Messages,
}

#[derive(Args)]
pub(super) struct Submission {
    /// The submission server; may be given several times.
    #[arg(long = "server", default_value = "127.0.0.1:10587")]
    servers: Vec<SocketAddr>,
    /// The account that sends; with a population everybody does. The password of all comes from standard input.
    #[arg(long)]
    from: Option<Address>,
    #[command(flatten)]
    messages: Messages,
}

/// `5000` or `real`.
#[derive(Clone, Copy)]
struct Size(Sizes);

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "real" {
            return Ok(Self(Sizes::Real));
        }
        Ok(Self(Sizes::Fixed(
            text.parse().with_context(|| format!("`{text}` is neither a number of octets nor `real`"))?,
        )))
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    for (name, part) in [("bad", arguments.bad), ("spam", arguments.spam)] {
        if !(0.0..=1.0).contains(&part) {
            bail!("--{name} is a part from 0 to 1, not {part}");
        }
    }
    let people = arguments.messages.crowd.people(&arguments.messages.to, "to")?;
    // Strangers write to a population; who writes to named people has a name.
    let from = matches!(people, People::Named(_)).then(|| arguments.from.clone());
    send("smtp", arguments.messages, people, (arguments.servers, from), |load| {
        load.bad = arguments.bad;
        load.spam = arguments.spam;
        Ok(())
    })
    .await
}

pub(super) async fn submit(arguments: Submission) -> anyhow::Result<()> {
    let people = arguments.messages.crowd.people(&arguments.messages.to, "to")?;
    if matches!(people, People::Named(_)) && arguments.from.is_none() {
        bail!("give --from: somebody has to log in");
    }
    let from = arguments.from.clone();
    send("submission", arguments.messages, people, (arguments.servers, from), |load| {
        load.password = Some(crate::password::read()?);
        Ok(())
    })
    .await
}

async fn send(
    name: &str,
    messages: Messages,
    people: People,
    (servers, from): (Vec<SocketAddr>, Option<Address>),
    adjust: impl FnOnce(&mut SmtpLoad) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if !(0.0..=1.0).contains(&messages.to_two) {
        bail!("--to-two is a part from 0 to 1, not {}", messages.to_two);
    }
    let mut run = messages.outcome.plan(name, messages.crowd.seed)?;
    let mut load = SmtpLoad {
        target: messages.reach.target(servers.clone())?,
        from,
        to: people.clone(),
        sizes: messages.size.0,
        per_session: messages.per_session,
        pipelined: !messages.no_pipelining,
        to_two: messages.to_two,
        password: None,
        bad: 0.0,
        spam: 0.0,
        book: None,
        seed: messages.crowd.seed,
    };
    adjust(&mut load)?;
    let proving = if messages.proof.is_wanted() {
        let password = match &load.password {
            Some(password) => password.clone(),
            None => crate::password::read()?,
        };
        messages.proof.begin(&mut run, &messages.imap, &watched(&people)?, &password)?
    } else {
        None
    };
    load.book = proving.as_ref().map(|proving| Arc::clone(&proving.book));
    options::settings(
        &mut run,
        &[
            ("server", options::servers(&servers)),
            ("sessions", Some(messages.sessions.to_string())),
            (
                "size",
                Some(match messages.size.0 {
                    Sizes::Fixed(octets) | Sizes::Uneven(octets) => octets.to_string(),
                    Sizes::Real => "real".to_owned(),
                }),
            ),
            ("rate", messages.amount.rate().map(|rate| rate.to_string())),
            ("seed", Some(messages.crowd.seed.to_string())),
        ],
    );
    run.loads.push(messages.amount.paced(Arc::new(load), messages.sessions, messages.messages)?);
    messages
        .outcome
        .execute(run, async |report| match proving {
            Some(proving) => proving.end(report).await,
            None => Ok(()),
        })
        .await
}

/// Mailboxes to watch: those that are named, or of a population those that get most.
pub(super) fn watched(people: &People) -> anyhow::Result<Vec<Address>> {
    /// Most that are looked through.
    const LOOKED_AT: usize = 2000;
    match people {
        People::Named(addresses) => Ok(addresses.clone()),
        People::Population(population) => {
            let corporate = population.iter().take(LOOKED_AT).filter_map(|account| {
                let account = account.ok()?;
                (account.class == loadtest::population::Class::Corporate).then_some(account.address)
            });
            Ok(corporate.collect())
        }
    }
}
