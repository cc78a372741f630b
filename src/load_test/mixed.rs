//! `sluice loadtest mixed`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use envelope::Secret;
use loadtest::ledger::Book;
use loadtest::population::{Mailer, Population, Summary};
use loadtest::{
    AdminLoad, IdleLoad, ImapLoad, Load, Pace, Paced, People, Pop3Load, Run, Script, Sizes, SmtpLoad, Target,
    Until, WebLoad, day_curve,
};
use units::Span;

use super::options::{self, Outcome, Reach};
use super::proof::Proof;

/// Messages that other systems send in one session, and part of the messages that go to two recipients.
const PER_SESSION: u64 = 5;
const TO_TWO: f64 = 0.05;
/// Calls of those who look after the system, a second.
const ADMIN_RATE: f64 = 0.2;

#[derive(Args)]
pub(super) struct Arguments {
    /// Accounts of the population (see `sluice loadtest population`), which the system must know. The password of all comes from standard input.
    #[arg(long)]
    accounts: u64,
    /// The seed of the population and of every other choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the population's domains end in.
    #[arg(long, default_value = "example")]
    suffix: String,
    /// How long the day takes, from midnight to midnight. A short one goes through the same rates faster.
    #[arg(long, default_value = "24h")]
    day: Span,
    /// Every rate times this.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    scale: f64,
    /// An SMTP server for mail from outside; may be given several times. What has no server is not driven.
    #[arg(long = "smtp", value_name = "SERVER")]
    smtp: Vec<SocketAddr>,
    /// A submission server.
    #[arg(long = "submission", value_name = "SERVER")]
    submission: Vec<SocketAddr>,
    /// An IMAP server.
    #[arg(long = "imap", value_name = "SERVER")]
    imap: Vec<SocketAddr>,
    /// A POP3 server.
    #[arg(long = "pop3", value_name = "SERVER")]
    pop3: Vec<SocketAddr>,
    /// A webmail server.
    #[arg(long = "web", value_name = "SERVER")]
    web: Vec<SocketAddr>,
    /// A health port.
    #[arg(long = "health", value_name = "SERVER")]
    health: Vec<SocketAddr>,
    /// Connections of one protocol that may be busy at once.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    sessions: usize,
    /// Connections that idle, at most; the population says how many it wants.
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    idle_max: u64,
    /// Part of what comes from outside that is an attack and no mail.
    #[arg(long, default_value_t = 0.02, value_name = "PART")]
    bad: f64,
    /// Part of the mail from outside that is spam (GTUBE).
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    spam: f64,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    outcome: Outcome,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.scale <= 0.0 || !arguments.scale.is_finite() {
        bail!("--scale is a number above zero, not {}", arguments.scale);
    }
    let population = Arc::new(Population::new(arguments.seed, arguments.accounts, &arguments.suffix)?);
    let summary = Summary::of(&population)?;
    let people = People::Population(population);
    let password = crate::password::read()?;
    let mut run = arguments.outcome.plan("mixed", arguments.seed)?;
    options::settings(
        &mut run,
        &[
            ("accounts", Some(arguments.accounts.to_string())),
            ("day", Some(arguments.day.to_string())),
            ("rate", Some(format!("{} times the population's", arguments.scale))),
            ("seed", Some(arguments.seed.to_string())),
        ],
    );
    let watched = super::smtp::watched(&people)?;
    let proving = arguments.proof.begin(&mut run, &arguments.imap, &watched, &password)?;
    let day = Day {
        arguments: &arguments,
        people,
        password,
        book: proving.as_ref().map(|proving| Arc::clone(&proving.book)),
    };
    day.mail(&mut run, &summary)?;
    for (mailer, rate) in &summary.visits_a_second {
        day.visits(&mut run, *mailer, *rate)?;
    }
    day.others(&mut run, summary.connections)?;
    if run.loads.is_empty() {
        bail!("give at least one of --smtp, --submission, --imap, --pop3, --web, --health");
    }
    arguments
        .outcome
        .execute(run, async |report| match proving {
            Some(proving) => proving.end(report).await.context("the ledger can't be checked"),
            None => Ok(()),
        })
        .await
}

/// What all loads of a day share.
struct Day<'a> {
    arguments: &'a Arguments,
    people: People,
    password: Secret<String>,
    book: Option<Arc<Book>>,
}

impl Day<'_> {
    /// From outside, and from the accounts.
    fn mail(&self, run: &mut Run, summary: &Summary) -> anyhow::Result<()> {
        let arguments = self.arguments;
        let inbound = SmtpLoad {
            target: self.target(&arguments.smtp)?,
            from: None,
            to: self.people.clone(),
            sizes: Sizes::Real,
            per_session: Some(PER_SESSION),
            pipelined: true,
            to_two: TO_TWO,
            password: None,
            bad: arguments.bad,
            spam: arguments.spam,
            book: self.book.clone(),
            seed: arguments.seed,
        };
        let outbound = SmtpLoad {
            target: self.target(&arguments.submission)?,
            password: Some(self.password.clone()),
            bad: 0.0,
            spam: 0.0,
            ..inbound.clone()
        };
        self.add(run, &arguments.smtp, summary.received_a_second, Arc::new(inbound))?;
        self.add(run, &arguments.submission, summary.sent_a_second, Arc::new(outbound))
    }

    fn visits(&self, run: &mut Run, mailer: Mailer, rate: f64) -> anyhow::Result<()> {
        let (people, password, seed) = (self.people.clone(), self.password.clone(), self.arguments.seed);
        let (servers, load): (_, Arc<dyn Load>) = match mailer {
            Mailer::Pop3 => {
                let target = self.target(&self.arguments.pop3)?;
                let load = Pop3Load {
                    target,
                    people,
                    password,
                    delete: false,
                    login_only: false,
                    own_accounts: false,
                    seed,
                };
                (&self.arguments.pop3, Arc::new(load))
            }
            Mailer::Web => {
                let target = self.target(&self.arguments.web)?;
                (&self.arguments.web, Arc::new(WebLoad { target, people, password, seed }))
            }
            mailer => {
                let target = self.target(&self.arguments.imap)?;
                let load = ImapLoad { target, people, password, script: Script::Mailer(mailer), seed };
                (&self.arguments.imap, Arc::new(load))
            }
        };
        self.add(run, servers, rate, load)
    }

    /// Those who wait, and those who look after the system.
    fn others(&self, run: &mut Run, connections: f64) -> anyhow::Result<()> {
        let arguments = self.arguments;
        if !arguments.imap.is_empty() {
            let target = self.target(&arguments.imap)?;
            let load = IdleLoad::new(target, self.people.clone(), self.password.clone(), arguments.seed);
            let clients = whole(connections * arguments.scale).min(arguments.idle_max);
            run.loads.push(Paced { load: Arc::new(load), clients, pace: Pace::Closed, until: self.until() });
        }
        let target = self.target(&arguments.health)?;
        let admin = AdminLoad { target, commands: Vec::new(), seed: arguments.seed };
        self.add(run, &arguments.health, ADMIN_RATE / arguments.scale, Arc::new(admin))
    }

    fn target(&self, servers: &[SocketAddr]) -> anyhow::Result<Target> {
        self.arguments.reach.target(servers.to_vec())
    }

    fn until(&self) -> Until {
        Until { count: u64::MAX, time: self.arguments.day.as_duration() }
    }

    /// A load at an average rate over the day; none without a server or somebody who does it.
    fn add(
        &self,
        run: &mut Run,
        servers: &[SocketAddr],
        rate: f64,
        load: Arc<dyn Load>,
    ) -> anyhow::Result<()> {
        if servers.is_empty() || rate <= 0.0 {
            return Ok(());
        }
        let pace = Pace::Open(day_curve(rate * self.arguments.scale, self.arguments.day.as_duration())?);
        run.loads.push(Paced { load, clients: self.arguments.sessions as u64, pace, until: self.until() });
        Ok(())
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of connections")]
fn whole(count: f64) -> u64 {
    count.ceil() as u64
}
