//! `sluice loadtest ledger send|check`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use envelope::Address;
use loadtest::ledger::Book;
use loadtest::{Pace, Paced, People, Sizes, SmtpLoad, Target, Until};
use serde::Serialize;
use units::Span;

use super::options::Outcome;
use super::progress::mailboxes_read;
use crate::listing;

/// How long reading one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Part of the messages that go to two recipients.
const TO_TWO: f64 = 0.25;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Read every mailbox and compare with the ledger. Ends with status 1 when a message is lost, doubled, damaged or nobody's.
    Check(Check),
    /// Send numbered messages and write down each answer.
    Send(Send),
}

#[derive(Args)]
pub(crate) struct Check {
    /// The file that `send` or `--ledger` wrote.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// An IMAP server of the system, without TLS.
    #[arg(long, default_value = "127.0.0.1:10143")]
    server: SocketAddr,
    /// A mailbox that was sent to, or the sender's, where reports go; may be given several times. Without any, those of all recipients. The password of all comes
    /// from standard input.
    #[arg(long = "login")]
    logins: Vec<Address>,
    /// What still waits: the output of `sluice queue list --json --limit N`.
    #[arg(long, value_name = "FILE")]
    queued: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Send {
    /// The file that the ledger is written to; it must not exist.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// An SMTP server; may be given several times: a session whose server fails goes on with the next.
    #[arg(long = "server", default_value = "127.0.0.1:10025")]
    servers: Vec<SocketAddr>,
    /// The sender.
    #[arg(long, default_value = "ledger@load.example")]
    from: Address,
    /// A recipient; may be given several times: they are taken in turn.
    #[arg(long = "to", required = true)]
    to: Vec<Address>,
    /// Sessions at once.
    #[arg(long, default_value_t = 20)]
    sessions: usize,
    /// Stop after so many messages.
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    /// Stop after this time.
    #[arg(long, default_value = "1h")]
    time: Span,
    /// Octets of a message; one in 50 has a hundred times as many.
    #[arg(long, default_value_t = 5000)]
    size: usize,
    /// How long an answer may take before it counts as missing.
    #[arg(long, default_value = "5m")]
    answer_max: Span,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What was answered.
#[derive(Serialize)]
struct Sent {
    accepted: u64,
    refused: u64,
    unknown: u64,
    seconds: f64,
}

pub(crate) async fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Check(check) => self::check(check).await,
        Action::Send(send) => self::send(send).await,
    }
}

async fn send(send: Send) -> anyhow::Result<()> {
    let book = Arc::new(Book::create(&send.ledger, &[], Duration::ZERO)?);
    let first = send.servers.first().copied().context("a server")?;
    let mut target = Target::plain(first, send.answer_max.as_duration());
    target.servers = send.servers;
    let load = SmtpLoad {
        target,
        from: Some(send.from),
        to: People::named(send.to)?,
        sizes: Sizes::Uneven(send.size),
        per_session: None,
        // Step by step: a refused recipient must not leave a message to the others.
        pipelined: false,
        to_two: TO_TWO,
        password: None,
        bad: 0.0,
        spam: 0.0,
        book: Some(Arc::clone(&book)),
        seed: 1,
    };
    let until = Until { count: send.messages, time: send.time.as_duration() };
    let mut run = Outcome::default().plan("ledger", load.seed)?;
    run.loads.push(Paced { load: Arc::new(load), clients: send.sessions as u64, pace: Pace::Closed, until });
    let report = run.execute(|_| ()).await?;
    let counts = book.counts();
    let sent = Sent {
        accepted: counts.accepted,
        refused: counts.refused,
        unknown: counts.unknown,
        seconds: report.seconds,
    };
    if send.json {
        return listing::write(serde_json::to_string_pretty(&sent).context("failed to write JSON")? + "\n");
    }
    let Sent { accepted, refused, unknown, seconds } = sent;
    listing::write(format!("accepted {accepted} refused {refused} unknown {unknown} in {seconds:.1} s\n"))
}

async fn check(check: Check) -> anyhow::Result<()> {
    let password = crate::password::read()?;
    let mailboxes = loadtest::ledger::Mailboxes {
        target: Target::plain(check.server, ANSWER_MAX),
        logins: check.logins,
        password,
        queued: check.queued,
    };
    let verdict = loadtest::ledger::check(&check.ledger, &mailboxes, mailboxes_read()).await?;
    if check.json {
        listing::write(serde_json::to_string_pretty(&verdict).context("failed to write JSON")? + "\n")?;
    } else {
        listing::write(format!("{verdict}\n"))?;
    }
    anyhow::ensure!(verdict.is_clean(), "the system did not keep its promise");
    Ok(())
}
