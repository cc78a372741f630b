//! What the loads have in common on the command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use envelope::{Address, Secret};
use loadtest::population::Population;
use loadtest::{
    Curve, Encryption, Endpoint, Load, Order, Pace, Paced, People, Report, Requirement, Run, Settle, Target,
    Until,
};
use runtime::ClientTls;
use tokio::sync::Notify;
use units::Span;

use super::progress;
use crate::listing;

/// How the server is reached.
#[derive(Args, Clone)]
pub(super) struct Reach {
    /// When connections are encrypted. Certificates are not checked unless --authorities is given.
    #[arg(long, value_enum, default_value_t = Tls::None)]
    tls: Tls,
    /// Part of the connections that are encrypted, from 0 to 1.
    #[arg(long, default_value_t = 1.0, value_name = "PART")]
    tls_share: f64,
    /// Believe only certificates that the authorities in this PEM file signed.
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
    /// The name that the server must prove to have.
    #[arg(long, default_value = "localhost", value_name = "NAME")]
    server_name: String,
    /// How long an answer may take before it counts as missing.
    #[arg(long, default_value = "60s")]
    answer_max: Span,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// Never.
    None,
    /// With STARTTLS or STLS.
    Starttls,
    /// From the first octet.
    Implicit,
}

impl Reach {
    pub(super) fn target(&self, servers: Vec<SocketAddr>) -> anyhow::Result<Target> {
        if !(0.0..=1.0).contains(&self.tls_share) {
            bail!("--tls-share is a part from 0 to 1, not {}", self.tls_share);
        }
        let tls = match &self.authorities {
            None => ClientTls::unverified(),
            Some(file) => ClientTls::trusting_authorities(file)
                .with_context(|| format!("the authorities in `{}` can't be used", file.display()))?,
        };
        let (encryption, tls_share) = match self.tls {
            Tls::None => (Encryption::None, 0.0),
            Tls::Starttls => (Encryption::StartTls, self.tls_share),
            Tls::Implicit => (Encryption::Implicit, self.tls_share),
        };
        let (name, answer_max) = (self.server_name.clone(), self.answer_max.as_duration());
        Ok(Target { servers, name, tls_share, encryption, tls, answer_max })
    }
}

/// A population.
#[derive(Args, Clone)]
pub(super) struct Crowd {
    /// Accounts of a population (see `sluice loadtest population`) instead of named ones.
    #[arg(long, value_name = "COUNT")]
    accounts: Option<u64>,
    /// The seed of the population and of every other choice.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// What the population's domains end in.
    #[arg(long, default_value = "example")]
    suffix: String,
}

impl Crowd {
    /// Named accounts, or the population.
    pub(super) fn people(&self, named: &[Address], option: &str) -> anyhow::Result<People> {
        match (self.accounts, named) {
            (None, []) => bail!("give --{option} or --accounts: a load needs somebody to act for"),
            (None, named) => People::named(named.to_vec()),
            (Some(accounts), []) => {
                Ok(People::Population(Arc::new(Population::new(self.seed, accounts, &self.suffix)?)))
            }
            (Some(_), _) => bail!("give either --{option} or --accounts"),
        }
    }
}

/// How much and for how long.
#[derive(Args, Clone)]
pub(super) struct Amount {
    /// Operations a second, whatever the server does (open loop). Without it each session does one after the other (closed loop).
    #[arg(long, value_name = "A-SECOND")]
    rate: Option<f64>,
    /// Stop after this time.
    #[arg(long, default_value = "24h")]
    time: Span,
}

impl Amount {
    pub(super) fn paced(&self, load: Arc<dyn Load>, clients: usize, count: u64) -> anyhow::Result<Paced> {
        if clients == 0 {
            bail!("a load needs at least one session");
        }
        let pace = match self.rate {
            None => Pace::Closed,
            Some(rate) => Pace::Open(Curve::level(rate)?),
        };
        let until = Until { count, time: self.time.as_duration() };
        Ok(Paced { load, clients: clients as u64, pace, until })
    }

    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }
}

/// What becomes of the figures.
#[derive(Args, Clone)]
pub(super) struct Outcome {
    /// Write the report to this file as a page, and as JSON beside it. A name that ends in .json gets the JSON alone.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// End with status 1 unless this holds, such as "smtp.message p99 < 30ms" or "all failed < 0.1%"; may be given several times. Without any, no operation may fail.
    #[arg(long = "require", value_name = "REQUIREMENT")]
    requirements: Vec<Requirement>,
    /// Do something to the system meanwhile, such as "60s kill a worker: kill -9 4711"; may be given several times.
    #[arg(long = "at", value_name = "ORDER")]
    orders: Vec<Order>,
    /// The same from a file, one order a line.
    #[arg(long, value_name = "FILE")]
    chaos: Option<PathBuf>,
    /// Read metrics of a server into the report, such as http://127.0.0.1:19090/metrics; may be given several times.
    #[arg(long = "metrics", value_name = "URL")]
    metrics: Vec<Endpoint>,
    /// Time between two points of the charts.
    #[arg(long, default_value = "1s")]
    interval: Span,
}

impl Default for Outcome {
    fn default() -> Self {
        let interval = Span::secs(1);
        Self {
            report: None,
            json: false,
            requirements: Vec::new(),
            orders: Vec::new(),
            chaos: None,
            metrics: Vec::new(),
            interval,
        }
    }
}

impl Outcome {
    pub(super) fn plan(&self, name: &str, seed: u64) -> anyhow::Result<Run> {
        let mut chaos = self.orders.clone();
        if let Some(path) = &self.chaos {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("failed to read `{}`", path.display()))?;
            chaos.extend(loadtest::orders(&text).with_context(|| format!("in `{}`", path.display()))?);
        }
        if self.interval.as_duration() < Duration::from_millis(100) {
            bail!("--interval is at least 100ms");
        }
        Ok(Run {
            name: name.to_owned(),
            settings: BTreeMap::new(),
            loads: Vec::new(),
            observers: Vec::new(),
            settle: None::<Arc<dyn Settle>>,
            chaos,
            metrics: self.metrics.clone(),
            interval: self.interval.as_duration(),
            seed,
            stop: Arc::new(Notify::new()),
        })
    }

    /// Runs it and reports; `prove` looks at what is left afterwards.
    pub(super) async fn execute(
        &self,
        run: Run,
        prove: impl AsyncFnOnce(&mut Report) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut screen = progress::Screen::new();
        let stop = Arc::clone(&run.stop);
        let interrupted = tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!("ending early; what was measured is reported");
                stop.notify_one();
            }
        });
        let executed = run.execute(|progress| screen.show(progress)).await;
        interrupted.abort();
        drop(screen);
        let mut report = executed?;
        prove(&mut report).await?;
        report.require(&self.requirements);
        if let Some(path) = &self.report {
            report.write(path)?;
        }
        if self.json {
            listing::write(serde_json::to_string_pretty(&report).context("failed to write JSON")? + "\n")?;
        } else {
            listing::write(report.to_string())?;
        }
        let failed = report.failed();
        if self.requirements.is_empty() && failed > 0 {
            bail!("{failed} operations failed");
        }
        if !report.is_good() {
            bail!("what was required does not hold");
        }
        Ok(())
    }
}

/// Visits of accounts, over whatever protocol.
#[derive(Args, Clone)]
pub(super) struct Visits {
    /// An account; may be given several times: they are taken in turn. The password of all comes from standard input.
    #[arg(long = "login", value_name = "ADDRESS")]
    logins: Vec<Address>,
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

/// What a load of visits is made from.
pub(super) struct Visited {
    pub(super) target: Target,
    pub(super) people: People,
    pub(super) password: Secret<String>,
    pub(super) seed: u64,
}

impl Visits {
    /// Runs the load that `load` makes, and reports; `more` are settings of its own.
    pub(super) async fn execute(
        &self,
        name: &str,
        servers: &[SocketAddr],
        more: &[(&str, Option<String>)],
        load: impl FnOnce(Visited) -> Arc<dyn Load>,
    ) -> anyhow::Result<()> {
        let people = self.crowd.people(&self.logins, "login")?;
        let mut run = self.outcome.plan(name, self.crowd.seed)?;
        let target = self.reach.target(servers.to_vec())?;
        let load =
            load(Visited { target, people, password: crate::password::read()?, seed: self.crowd.seed });
        settings(
            &mut run,
            &[
                ("server", self::servers(servers)),
                ("sessions", Some(self.sessions.to_string())),
                ("rate", self.amount.rate().map(|rate| rate.to_string())),
                ("seed", Some(self.crowd.seed.to_string())),
            ],
        );
        settings(&mut run, more);
        run.loads.push(self.amount.paced(load, self.sessions, self.count)?);
        self.outcome.execute(run, nothing).await
    }
}

/// Settings for the report, without those that nobody gave.
pub(super) fn settings(run: &mut Run, settings: &[(&str, Option<String>)]) {
    for (name, value) in settings {
        if let Some(value) = value {
            run.settings.insert((*name).to_owned(), value.clone());
        }
    }
}

/// Addresses for the report.
pub(super) fn servers(servers: &[SocketAddr]) -> Option<String> {
    Some(servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// No more to do after a run.
pub(super) async fn nothing(_: &mut Report) -> anyhow::Result<()> {
    Ok(())
}
