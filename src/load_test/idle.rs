//! `sluice loadtest idle`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use envelope::Address;
use loadtest::{IdleLoad, Pace, Paced, Until};
use units::Span;

use super::options::{self, Crowd, Outcome, Reach, nothing};

#[derive(Args)]
pub(super) struct Arguments {
    /// The IMAP server; may be given several times: sessions take turns.
    #[arg(long = "server", default_value = "127.0.0.1:10143")]
    servers: Vec<SocketAddr>,
    /// An account; may be given several times. The password of all comes from standard input.
    #[arg(long = "login", value_name = "ADDRESS")]
    logins: Vec<Address>,
    /// Sessions to hold.
    #[arg(long, default_value_t = 1000)]
    sessions: usize,
    /// How long to hold them once all are idle.
    #[arg(long, default_value = "10s")]
    hold: Span,
    /// How long it may take until all are idle.
    #[arg(long, default_value = "5m")]
    patience: Span,
    /// Show the resident memory of this process of this machine, before and while holding.
    #[arg(long, value_name = "PID")]
    watch: Option<u32>,
    #[command(flatten)]
    crowd: Crowd,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    outcome: Outcome,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let people = arguments.crowd.people(&arguments.logins, "login")?;
    let mut run = arguments.outcome.plan("idle", arguments.crowd.seed)?;
    let target = arguments.reach.target(arguments.servers.clone())?;
    let load = IdleLoad::new(target, people, crate::password::read()?, arguments.crowd.seed);
    options::settings(
        &mut run,
        &[
            ("server", options::servers(&arguments.servers)),
            ("sessions", Some(arguments.sessions.to_string())),
            ("hold", Some(arguments.hold.to_string())),
        ],
    );
    let (stop, held) = (Arc::clone(&run.stop), load.held.subscribe());
    let until = Until { count: u64::MAX, time: Duration::MAX };
    run.loads.push(Paced {
        load: Arc::new(load),
        clients: arguments.sessions as u64,
        pace: Pace::Closed,
        until,
    });
    let before = arguments.watch.and_then(resident);
    let (watch, sessions, hold) = (arguments.watch, arguments.sessions, arguments.hold.as_duration());
    let patience = arguments.patience.as_duration();
    let holding = tokio::spawn(async move {
        let mut held = held;
        let all = held.wait_for(|held| *held >= sessions as u64);
        if tokio::time::timeout(patience, all).await.is_err() {
            eprintln!(
                "{} of {sessions} sessions idle after {} s: giving up",
                *held.borrow(),
                patience.as_secs()
            );
            return stop.notify_one();
        }
        if let (Some(before), Some(now)) = (before, watch.and_then(resident)) {
            let each = now.saturating_sub(before) / u64::try_from(sessions.max(1)).unwrap_or(1);
            eprintln!("resident before {before} B, holding {sessions} sessions {now} B: {each} B a session");
        }
        tokio::time::sleep(hold).await;
        stop.notify_one();
    });
    let executed = arguments.outcome.execute(run, nothing).await;
    holding.abort();
    executed
}

/// Resident memory of a process in bytes, from /proc.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib * 1024)
}
