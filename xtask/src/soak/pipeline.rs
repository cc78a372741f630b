//! `cargo xtask soak pipeline`: gateways, workers and access nodes as processes, with and without RabbitMQ, under load and faults; a ledger says
//! afterwards whether each accepted message is in exactly one place.

mod control;
mod disk;
mod faults;
mod ledger;
mod machine;
mod redis;
mod shim;
mod site;
#[cfg(test)]
mod tests;
mod wires;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use faults::Faults;
use machine::Means;
use site::Site;

/// Seconds of load in one round.
const ROUND: u64 = 60;
/// The gap between two faults is up to so many milliseconds.
const GAP_MAX: u64 = 3000;
const KILLS_GAP_MAX: u64 = 600;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long to go on, in seconds; the round that is under way then is finished.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The seed of the first round; the next ones count on from it.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the messages wait; without it the rounds take turns.
    #[arg(long)]
    backend: Option<Backend>,
    /// Seconds of load in one round.
    #[arg(long, default_value_t = ROUND)]
    round: u64,
    /// The program to run; without it this workspace's is built.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The negative control: something in front of the gateways says 250 before they do. The checker must find loss.
    #[arg(long)]
    early: bool,
    /// The other negative controls: what gateways or workers write is not synced, and the power is cut. The checker must find loss.
    #[arg(long, conflicts_with = "early", num_args = 0..=1, require_equals = true, default_missing_value = "gateway")]
    unsynced: Option<Unsynced>,
    /// Nothing but kills and power cuts, and many of them.
    #[arg(long)]
    kills: bool,
    /// Without the message that ends its worker, whose way to the dead letters takes a broker a minute or two.
    #[arg(long)]
    unpoisoned: bool,
}

impl Arguments {
    const fn is_control(&self) -> bool {
        self.early || self.unsynced.is_some()
    }
}

/// Whose writes are not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Unsynced {
    /// A 250 for what is not on the disk.
    Gateway,
    /// A message leaves the queue before it is in its mailbox for good. With a broker only: else what left the queue comes back with the power.
    Worker,
}

impl Unsynced {
    const fn role(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }
}

/// Where messages wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The embedded queue: one gateway, one worker, one access node over one folder.
    Embedded,
    /// One RabbitMQ node; two of each role.
    Broker,
    /// Three RabbitMQ nodes; two of each role.
    Cluster,
}

impl Backend {
    const ALL: [Self; 3] = [Self::Embedded, Self::Broker, Self::Cluster];

    const fn nodes(self) -> usize {
        match self {
            Self::Embedded => 0,
            Self::Broker => 1,
            Self::Cluster => 3,
        }
    }
}

/// What one or more rounds came to.
#[derive(Debug, Default)]
struct Outcome {
    accepted: u64,
    lost: u64,
    doubled: u64,
    wrong: u64,
    faults: u64,
    kills: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let sluice = match &arguments.program {
        Some(program) => program.clone(),
        None => build(root)?,
    };
    let first = match arguments.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
    };
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    ensure!(
        arguments.unsynced != Some(Unsynced::Worker)
            || arguments.backend.is_some_and(|backend| backend != Backend::Embedded),
        "--unsynced=worker needs --backend broker or cluster"
    );
    let means = means()?;
    if let Some(missing) = means.missing() {
        println!("{missing}");
    }
    let mut all = Outcome::default();
    let mut seed = first;
    while seed == first || Instant::now() < end {
        let turn = usize::try_from(seed)? % Backend::ALL.len();
        let backend = arguments.backend.or(Backend::ALL.get(turn).copied()).context("a backend")?;
        let round = one(&sluice, seed, backend, means, arguments)
            .with_context(|| format!("seed {seed}, {backend:?}"))?;
        all.accepted += round.accepted;
        all.lost += round.lost;
        all.doubled += round.doubled;
        all.wrong += round.wrong;
        all.faults += round.faults;
        all.kills += round.kills;
        seed += 1;
    }
    let Outcome { accepted, lost, doubled, wrong, faults, kills } = all;
    println!("of the faults {kills} ended a process at once");
    println!("accepted {accepted} lost {lost} doubled {doubled} faults {faults}");
    if arguments.is_control() {
        ensure!(lost > 0, "the control found no loss: the harness proves nothing");
        return Ok(());
    }
    ensure!(lost == 0 && doubled == 0 && wrong == 0, "the pipeline broke a promise");
    Ok(())
}

fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let built = Command::new("cargo")
        .args(["build", "--locked", "--package", "sluice"])
        .current_dir(root)
        .status()?;
    ensure!(built.success(), "the program was not built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("debug/sluice"))
}

fn means() -> anyhow::Result<Means> {
    let folder = std::env::temp_dir().join(format!("sluice-pipeline-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let means = Means::find(&folder);
    std::fs::remove_dir_all(&folder)?;
    Ok(means)
}

fn one(
    sluice: &Path,
    seed: u64,
    backend: Backend,
    means: Means,
    arguments: &Arguments,
) -> anyhow::Result<Outcome> {
    let folder = std::env::temp_dir().join(format!("sluice-pipeline-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    println!("seed {seed}: {backend:?}");
    let mut site = Site::start(sluice, &folder, backend, means, arguments.unsynced)?;
    let poisoned = usize::from(!arguments.unpoisoned);
    (0..poisoned).try_for_each(|_| site.poison())?;
    let early = arguments.early.then(|| control::Early::start(site.gateways())).transpose()?;
    let servers = early.as_ref().map_or_else(|| site.gateways(), |early| vec![early.address()]);
    let load = Duration::from_secs(arguments.round);
    let mut driver = site.send(&servers, load)?;
    let mut faults = Faults::new(seed, arguments.kills);
    let gap_max = if arguments.kills { KILLS_GAP_MAX } else { GAP_MAX };
    let began = Instant::now();
    while began.elapsed() < load {
        faults.next(&mut site).with_context(|| format!("fault {}", faults.count()))?;
        std::thread::sleep(faults.gap(gap_max));
    }
    faults.heal(&mut site)?;
    let sent = driver.wait()?;
    ensure!(sent.success(), "the load ended with {sent}: see {}", folder.display());
    drop(early);
    let dead = site.settle(if arguments.is_control() { 0 } else { poisoned })?;
    let verdict = site.check()?;
    println!("  {verdict}, faults: {}", faults.told());
    // What ends its worker every time waits for an operator, and nothing else does.
    ensure!(
        arguments.is_control() || dead == (poisoned, 0),
        "{dead:?} messages wait for an operator, poisoned ones and others; poisoned was {poisoned}: see {}",
        folder.display()
    );
    let outcome = Outcome {
        accepted: verdict.accepted,
        lost: verdict.lost,
        doubled: verdict.doubled,
        wrong: verdict.wrong,
        faults: faults.count(),
        kills: faults.kills(),
    };
    let clean = outcome.lost + outcome.doubled + outcome.wrong == 0;
    site.end();
    if clean || arguments.is_control() {
        std::fs::remove_dir_all(&folder)?;
    } else {
        println!("  everything is kept in {}", folder.display());
    }
    Ok(outcome)
}
