//! `sluice-milter`: the checks and rules of Sluice for a mail server that speaks the milter protocol, such as Postfix or Sendmail.
//!
//! ```text
//!  Postfix ──milter──▶ libmilter ──▶ callbacks ──▶ gathered ──▶ engine: filters (SPF, DKIM, DMARC, rules)
//!          ◀─────────────────────────────────────── answer ◀──┘
//! ```
//! It is no part of the workspace beside it: libmilter's bindings are GPL-3.0, and so is this program. What it uses of Sluice is MIT OR Apache-2.0.
//!
//! # Failure behaviour
//! Whatever can't be checked, or not in time, is refused for now; what libmilter itself does not answer is for the mail server to decide (`milter_default_action`).
//! Rules with a fault are not taken: at the start that is an error, later those before them go on.
//!
//! # Security
//! The attacker writes the message. Its size, its recipients, the messages and connections at once and the time of its checks are bounded; a panic
//! in the checks ends those of one message. Of what comes from the message nothing becomes a reply but by the rules, as printable US-ASCII on one line.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks through its standard streams"
)]

mod answer;
mod callbacks;
mod config;
mod engine;
mod gathered;
mod share;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use config::Config;
use engine::Engine;

/// Sluice's checks and rules as a milter, for Postfix and Sendmail.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/sluice-milter.toml")]
    config: PathBuf,
    /// Where the mail server finds the milter, instead of what the configuration says: unix:/path, inet:port@host.
    #[arg(long)]
    socket: Option<String>,
    /// The folder of rules, instead of what the configuration says.
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Looks at the configuration and the rules, says every fault, and ends.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let sentence: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("sluice-milter: {}", sentence.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = read(arguments)?;
    if arguments.check {
        return check(&config);
    }
    let level: tracing::Level = config.log_level.parse()?;
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    let inside = runtime.enter();
    let (socket, silence_max) = (config.socket.clone(), config.limits.silence_max.as_duration());
    let engine = Arc::new(Engine::open(config)?);
    let rules = engine.rules();
    info!(socket, version = rules.version(), rules = rules.rules().len(), "ready");
    runtime.spawn(Arc::clone(&engine).upkeep());
    runtime.spawn(until_told()?);
    drop(inside);
    let ended = callbacks::run(Arc::clone(&engine), &socket, silence_max);
    engine.close();
    ended.with_context(|| format!("the milter ended on `{socket}`"))?;
    info!("ended");
    runtime.shutdown_background();
    Ok(())
}

/// The file, the environment (`SLUICE_LIMITS__MESSAGE_MAX=30s`), and over them the command line.
fn read(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut variables: Vec<(String, String)> = std::env::vars().collect();
    // The command line has its say before what is wrong is looked for.
    let over = |key: &str, value: String| (format!("SLUICE_{key}"), value);
    if let Some(policy) = &arguments.policy {
        let policy = policy.to_str().context("the folder of rules is no UTF-8")?;
        variables.push(over("POLICY__FOLDER", policy.to_owned()));
    }
    let mut config: Config =
        ::config::load(Some(&arguments.config), variables).map_err(anyhow::Error::from)?;
    if let Some(socket) = &arguments.socket {
        config.socket.clone_from(socket);
        let faults = ::config::Validate::faults(&config);
        let fault = faults.into_iter().find(|(key, _)| key == "socket");
        anyhow::ensure!(
            fault.is_none(),
            "--socket: {}",
            fault.map(|(_, problem)| problem).unwrap_or_default()
        );
    }
    Ok(config)
}

fn check(config: &Config) -> anyhow::Result<()> {
    let folder = &config.policy.folder;
    if folder.as_os_str().is_empty() {
        println!("the configuration is good; there is no folder of rules");
        return Ok(());
    }
    anyhow::ensure!(folder.is_dir(), "`{}` is no folder", folder.display());
    let rules = engine::check_rules(folder, &config.policy).map_err(|faults| {
        anyhow::anyhow!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    println!("the configuration is good; {} rules, version {}", rules.rules().len(), rules.version());
    Ok(())
}

/// Ends libmilter's loop at a signal; it looks every five seconds. Messages under way come again: the mail server was told nothing yet.
fn until_told() -> anyhow::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("told to end");
        milter::shutdown();
    })
}
