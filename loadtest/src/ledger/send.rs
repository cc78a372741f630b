//! Sends numbered messages and writes down what was answered.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use envelope::Address;
use serde::Serialize;

use super::FIELD;
use crate::wire::Wire;

/// How long a session that found no server waits before it tries the next one.
const PAUSE: Duration = Duration::from_millis(200);
/// Every so many messages one goes to two recipients, and one is large.
const TWO_RECIPIENTS_EVERY: u64 = 4;
const LARGE_EVERY: u64 = 50;
const LINE: &[u8] = b"0123456789 The quick brown fox jumps over the lazy dog and mail goes on its way.\r\n";

/// What to send.
#[derive(Debug, Clone)]
pub struct LedgerLoad {
    /// Servers; a session whose server fails goes on with the next.
    pub servers: Vec<SocketAddr>,
    /// Reverse path of every message.
    pub from: Address,
    /// Recipients, taken in turn.
    pub to: Vec<Address>,
    /// Sessions at once.
    pub sessions: usize,
    /// Stop after so many messages.
    pub messages: u64,
    /// Stop after this time.
    pub time: Duration,
    /// Octets of a message; one in 50 has a hundred times as many.
    pub size: usize,
    /// How long one answer may take.
    pub answer_max: Duration,
    /// Where the ledger goes; the file must not exist.
    pub ledger: PathBuf,
}

/// What was answered.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sent {
    /// Messages with a 250.
    pub accepted: u64,
    /// Messages with another answer.
    pub refused: u64,
    /// Messages without one.
    pub unknown: u64,
    /// From the first to the last.
    pub seconds: f64,
}

struct Book {
    file: Mutex<File>,
    run: String,
}

impl Book {
    /// A line is with the system before this returns: it outlives this process.
    fn write(&self, line: &str) -> anyhow::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).context("failed to write the ledger")
    }
}

struct Shared {
    load: LedgerLoad,
    book: Book,
    next: AtomicU64,
    end: Instant,
}

/// Sends until the count or the time is reached.
pub async fn send(load: LedgerLoad) -> anyhow::Result<Sent> {
    if load.to.is_empty() || load.servers.is_empty() || load.sessions == 0 {
        bail!("a ledger needs at least one server, one recipient and one session");
    }
    let file = File::create_new(&load.ledger)
        .with_context(|| format!("failed to make the ledger `{}`", load.ledger.display()))?;
    let run = format!("{:x}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros());
    let book = Book { file: Mutex::new(file), run };
    book.write(&format!("run {}\n", book.run))?;
    let begun = Instant::now();
    let (end, sessions) = (begun + load.time, load.sessions);
    let shared = Arc::new(Shared { load, book, next: AtomicU64::new(0), end });
    let tasks: Vec<_> =
        (0..sessions).map(|session| tokio::spawn(run_session(Arc::clone(&shared), session))).collect();
    let mut sent = Sent::default();
    for task in tasks {
        let part = task.await.context("a session panicked")??;
        sent.accepted += part.accepted;
        sent.refused += part.refused;
        sent.unknown += part.unknown;
    }
    sent.seconds = begun.elapsed().as_secs_f64();
    Ok(sent)
}

async fn run_session(shared: Arc<Shared>, session: usize) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    let mut server = session;
    let mut wire: Option<Wire> = None;
    while Instant::now() < shared.end {
        let connected = match wire.take() {
            Some(wire) => wire,
            None => {
                let address = shared.load.servers.get(server % shared.load.servers.len()).copied();
                server += 1;
                let address = address.context("a server")?;
                match Wire::connect(address, shared.load.answer_max).await {
                    Ok(wire) => wire,
                    Err(_) => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
            }
        };
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.load.messages {
            break;
        }
        wire = message(&shared, connected, number, &mut sent).await?;
    }
    if let Some(mut wire) = wire {
        let _ = wire.command("QUIT\r\n").await;
    }
    Ok(sent)
}

/// Sends one message; gives the connection back when it can go on.
async fn message(
    shared: &Shared,
    mut wire: Wire,
    number: u64,
    sent: &mut Sent,
) -> anyhow::Result<Option<Wire>> {
    let load = &shared.load;
    let recipients = recipients(load, number);
    let named: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    shared.book.write(&format!("try {number} {}\n", named.join(" ")))?;
    let text = content(load, &shared.book.run, number);
    match transact(&mut wire, load, &recipients, &text).await {
        Ok(Outcome::Accepted(id)) => {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            shared.book.write(&format!("ack {number} {id} {at}\n"))?;
            sent.accepted += 1;
            Ok(Some(wire))
        }
        Ok(Outcome::Refused(code)) => {
            shared.book.write(&format!("no {number} {code}\n"))?;
            sent.refused += 1;
            tokio::time::sleep(PAUSE).await;
            let reset = code != 421 && wire.command("RSET\r\n").await.is_ok_and(|reply| reply.code == 250);
            Ok(reset.then_some(wire))
        }
        Err(_) => {
            shared.book.write(&format!("unknown {number}\n"))?;
            sent.unknown += 1;
            Ok(None)
        }
    }
}

enum Outcome {
    Accepted(String),
    Refused(u16),
}

/// Step by step, since a refused recipient must not leave a message to the others.
async fn transact(
    wire: &mut Wire,
    load: &LedgerLoad,
    recipients: &[&Address],
    text: &[u8],
) -> anyhow::Result<Outcome> {
    let mail = wire.command(&format!("MAIL FROM:<{}>\r\n", load.from)).await?;
    if mail.code != 250 {
        return Ok(Outcome::Refused(mail.code));
    }
    for recipient in recipients {
        let rcpt = wire.command(&format!("RCPT TO:<{recipient}>\r\n")).await?;
        if rcpt.code != 250 {
            return Ok(Outcome::Refused(rcpt.code));
        }
    }
    let data = wire.command("DATA\r\n").await?;
    if data.code != 354 {
        return Ok(Outcome::Refused(data.code));
    }
    wire.send(text).await?;
    let end = wire.reply().await?;
    if end.code != 250 {
        return Ok(Outcome::Refused(end.code));
    }
    // Where a server names the message, the name is its last word (`queued as 01J…`).
    let text = end.lines.last().map(|line| line.trim()).unwrap_or_default();
    Ok(Outcome::Accepted(text.rsplit(' ').next().filter(|word| !word.is_empty()).unwrap_or("-").to_owned()))
}

fn recipients(load: &LedgerLoad, number: u64) -> Vec<&Address> {
    let many = load.to.len();
    let first = usize::try_from(number).unwrap_or(0) % many;
    let mut recipients: Vec<&Address> = load.to.get(first).into_iter().collect();
    if number % TWO_RECIPIENTS_EVERY == 1 && many > 1 {
        recipients.extend(load.to.get((first + 1) % many));
    }
    recipients
}

/// The message with its end. The checksum is of all behind the empty line.
pub(super) fn content(load: &LedgerLoad, run: &str, number: u64) -> Vec<u8> {
    let size =
        if number % LARGE_EVERY == LARGE_EVERY - 1 { load.size.saturating_mul(100) } else { load.size };
    let mut body = format!("number {number} of {run}\r\n").into_bytes();
    while body.len() < size {
        body.extend_from_slice(LINE);
    }
    let digest = crc32c::crc32c(&body);
    let from = &load.from;
    let mut text = format!(
        "From: <{from}>\r\nTo: undisclosed-recipients:;\r\nSubject: ledger {number}\r\nMessage-ID: <{number}.{run}@ledger.invalid>\r\n{FIELD}: {run} {number} {digest:08x}\r\n\r\n"
    )
    .into_bytes();
    text.extend_from_slice(&body);
    text.extend_from_slice(b".\r\n");
    text
}
