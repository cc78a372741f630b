//! Figures for docs/performance.md: a release build, driven over the wire in a folder of its own.

mod node;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use node::Node;

/// Messages of the mailbox whose first FETCH is timed.
const LARGE_MAILBOX: u64 = 10_000;
/// How long the queue may take to run empty.
const DRAIN_MAX: Duration = Duration::from_secs(600);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each measurement; medians and ranges are printed.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Messages of each accept run.
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// SMTP sessions at once.
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Idle IMAP sessions; held once, then three times as many.
    #[arg(long, default_value_t = 1000)]
    idle: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    node::build()?;
    println!(
        "{} runs each, {} cores; median (smallest to largest)",
        arguments.runs,
        std::thread::available_parallelism()?
    );
    let mut accept = Vec::new();
    let mut delivered = Vec::new();
    for run in 0..arguments.runs {
        let node = Node::start()?;
        let recipients = node.accounts(20)?;
        let begun = Instant::now();
        let report = node.smtp(&recipients, arguments.messages, arguments.sessions)?;
        node.wait_until_empty(DRAIN_MAX)?;
        let through = rate(arguments.messages, begun.elapsed());
        let accepted =
            report.get("rate").and_then(serde_json::Value::as_f64).context("no rate in the report")?;
        println!(
            "run {run}: accepted {accepted:.0}/s, through to the Maildir {through:.0}/s, p99 {} µs",
            report.pointer("/latency/p99").cloned().unwrap_or_default()
        );
        accept.push(accepted);
        delivered.push(through);
    }
    row("5 KB messages accepted a second", &mut accept);
    row("5 KB messages accepted and delivered a second", &mut delivered);
    large_mailbox(arguments)?;
    idle(arguments)
}

fn large_mailbox(arguments: &Arguments) -> anyhow::Result<()> {
    let mut node = Node::start()?;
    let account = node.accounts(1)?;
    node.smtp(&account, LARGE_MAILBOX, arguments.sessions)?;
    node.wait_until_empty(DRAIN_MAX)?;
    let login = account.first().context("no account")?.clone();
    let mut cold = Vec::new();
    let mut warm = Vec::new();
    for _ in 0..arguments.runs {
        node.restart()?;
        let mut session = node.imap(&login)?;
        let begun = Instant::now();
        let selected = session.command("SELECT INBOX")?;
        ensure!(selected.contains(&format!("* {LARGE_MAILBOX} EXISTS")), "unexpected: {selected}");
        session.command("FETCH 1:* ENVELOPE")?;
        cold.push(begun.elapsed().as_secs_f64() * 1000.0);
        let begun = Instant::now();
        session.command("FETCH 1:* ENVELOPE")?;
        warm.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    row("SELECT and FETCH ENVELOPE of 10,000 after a restart, ms", &mut cold);
    row("the same FETCH again, ms", &mut warm);
    Ok(())
}

fn idle(arguments: &Arguments) -> anyhow::Result<()> {
    let mut each = Vec::new();
    for _ in 0..arguments.runs.min(3) {
        let node = Node::start()?;
        let accounts = node.accounts(20)?;
        // What logins left behind, password hashes above all, is in both: the difference is what sessions cost.
        let fewer = node.idle(&accounts, arguments.idle)?;
        let more = node.idle(&accounts, arguments.idle * 3)?;
        each.push((more - fewer) / count(arguments.idle * 2));
    }
    row("resident bytes an idle IMAP session", &mut each);
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "a count of sessions is small")]
fn count(sessions: usize) -> f64 {
    sessions as f64
}

fn row(name: &str, figures: &mut [f64]) {
    figures.sort_by(f64::total_cmp);
    let median = figures.get(figures.len() / 2).copied().unwrap_or_default();
    let (first, last) =
        (figures.first().copied().unwrap_or_default(), figures.last().copied().unwrap_or_default());
    println!("| {name} | {median:.0} ({first:.0} to {last:.0}) |");
}
