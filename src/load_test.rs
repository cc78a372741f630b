//! `sluice loadtest`: load over the wire.

mod ledger;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use envelope::Address;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Hold idle IMAP sessions.
    Idle(Idle),
    /// Prove that a system keeps what it accepts: send numbered messages, then find each in exactly one place.
    #[command(subcommand)]
    Ledger(ledger::Action),
    /// Send messages over SMTP, closed loop.
    Smtp(Smtp),
}

#[derive(Args)]
struct Idle {
    /// The IMAP server, without TLS.
    #[arg(long, default_value = "127.0.0.1:10143")]
    server: SocketAddr,
    /// An account; may be given several times. The password comes from standard input.
    #[arg(long = "login", required = true)]
    logins: Vec<String>,
    /// Sessions to hold.
    #[arg(long, default_value_t = 1000)]
    sessions: usize,
    /// Seconds to hold them.
    #[arg(long, default_value_t = 10)]
    hold: u64,
    /// Show the resident memory of this process of this machine, before and while holding.
    #[arg(long, value_name = "PID")]
    watch: Option<u32>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Smtp {
    /// The SMTP server.
    #[arg(long, default_value = "127.0.0.1:10025")]
    server: SocketAddr,
    /// The sender.
    #[arg(long, default_value = "load@load.example")]
    from: Address,
    /// A recipient; may be given several times: they are taken in turn.
    #[arg(long = "to", required = true)]
    to: Vec<Address>,
    /// Sessions at once.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Messages in all.
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    /// Octets of each message.
    #[arg(long, default_value_t = 5000)]
    size: usize,
    /// Write the figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let executor =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start")?;
    match arguments.load {
        Load::Idle(idle) => executor.block_on(hold(idle)),
        Load::Ledger(action) => executor.block_on(ledger::run(action)),
        Load::Smtp(smtp) => executor.block_on(send(smtp)),
    }
}

async fn send(smtp: Smtp) -> anyhow::Result<()> {
    let load = loadtest::SmtpLoad {
        server: smtp.server,
        from: smtp.from,
        to: smtp.to,
        sessions: smtp.sessions,
        messages: smtp.messages,
        size: smtp.size,
    };
    let report = loadtest::smtp(load).await?;
    if let Some(path) = smtp.report {
        let text = serde_json::to_string_pretty(&report).context("failed to write JSON")?;
        std::fs::write(&path, text).with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    show(&report, smtp.json)
}

async fn hold(idle: Idle) -> anyhow::Result<()> {
    let password = crate::password::read()?;
    let before = idle.watch.and_then(resident);
    let (watch, sessions) = (idle.watch, idle.sessions);
    let load = loadtest::IdleLoad {
        server: idle.server,
        logins: idle.logins,
        password,
        sessions,
        hold: Duration::from_secs(idle.hold),
    };
    let report = loadtest::idle(load, || {
        if let (Some(before), Some(now)) = (before, watch.and_then(resident)) {
            let each = now.saturating_sub(before) / u64::try_from(sessions.max(1)).unwrap_or(1);
            eprintln!("resident before {before} B, holding {sessions} sessions {now} B: {each} B a session");
        }
    })
    .await?;
    show(&report, idle.json)
}

fn show(report: &loadtest::Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report).context("failed to write JSON")?);
    } else {
        println!("{report}");
    }
    anyhow::ensure!(report.failed == 0, "{} operations failed", report.failed);
    Ok(())
}

/// Resident memory of a process in bytes, from /proc.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib * 1024)
}
