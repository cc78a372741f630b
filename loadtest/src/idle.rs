//! IMAP: sessions that log in, select INBOX and idle, as phones do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use envelope::Secret;
use hdrhistogram::Histogram;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::Report;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Sessions that log in at the same time: password hashes are meant to be slow.
const LOGINS_AT_ONCE: usize = 8;

/// What to hold.
#[derive(Debug, Clone)]
pub struct IdleLoad {
    /// The server.
    pub server: SocketAddr,
    /// Accounts, taken in turn.
    pub logins: Vec<String>,
    /// The password of all of them.
    pub password: Secret<String>,
    /// Sessions to hold.
    pub sessions: usize,
    /// How long to hold them once all are idle.
    pub hold: Duration,
}

/// Opens every session, calls `holding` when all of them idle, and keeps them for the time asked.
pub async fn run(load: IdleLoad, holding: impl FnOnce()) -> anyhow::Result<Report> {
    if load.logins.is_empty() {
        bail!("a load needs at least one login");
    }
    let begun = Instant::now();
    let mut histogram = Histogram::new(3).context("failed to make a histogram")?;
    let mut held = Vec::with_capacity(load.sessions);
    let mut opening = tokio::task::JoinSet::new();
    let mut next = 0;
    while held.len() < load.sessions {
        while next < load.sessions && opening.len() < LOGINS_AT_ONCE {
            let login = load.logins.get(next % load.logins.len()).cloned().unwrap_or_default();
            opening.spawn(open(load.server, login, load.password.clone()));
            next += 1;
        }
        let opened = opening.join_next().await.context("no session left to open")?;
        let (wire, took) = opened.context("a session panicked")??;
        histogram.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)).context("failed to record")?;
        held.push(wire);
    }
    let took = begun.elapsed();
    holding();
    tokio::time::sleep(load.hold).await;
    Ok(Report::new("imap login, select, idle", &histogram, 0, took))
}

async fn open(
    server: SocketAddr,
    login: String,
    password: Secret<String>,
) -> anyhow::Result<(BufReader<TcpStream>, Duration)> {
    let begun = Instant::now();
    let tcp = TcpStream::connect(server).await.with_context(|| format!("failed to connect to {server}"))?;
    let mut wire = BufReader::with_capacity(1024, tcp);
    expect(&mut wire, "* OK").await?;
    let login = format!("a LOGIN \"{login}\" \"{}\"\r\n", password.expose());
    for (command, answer) in [(login.as_str(), "a OK"), ("b SELECT INBOX\r\n", "b OK"), ("c IDLE\r\n", "+")] {
        wire.get_mut().write_all(command.as_bytes()).await.context("the server hung up")?;
        expect(&mut wire, answer).await?;
    }
    Ok((wire, begun.elapsed()))
}

/// Reads lines until one begins with `prefix`.
async fn expect(wire: &mut BufReader<TcpStream>, prefix: &str) -> anyhow::Result<()> {
    let tag = prefix.split(' ').next().unwrap_or_default();
    loop {
        let mut line = String::new();
        let read = tokio::time::timeout(ANSWER_MAX, wire.read_line(&mut line)).await;
        if read.context("no answer in time")?.context("the connection broke")? == 0 {
            bail!("the server hung up");
        }
        if line.starts_with(prefix) {
            return Ok(());
        }
        if tag != "*" && tag != "+" && line.starts_with(&format!("{tag} ")) {
            bail!("the server said {:?}", line.trim_end());
        }
    }
}
