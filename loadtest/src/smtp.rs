//! SMTP: messages of one size over a number of sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use envelope::Address;
use hdrhistogram::Histogram;

use crate::Report;
use crate::wire::Wire;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// What to send.
#[derive(Debug, Clone)]
pub struct SmtpLoad {
    /// The server.
    pub server: SocketAddr,
    /// Reverse path of every message.
    pub from: Address,
    /// Recipients, taken in turn, one a message.
    pub to: Vec<Address>,
    /// Sessions at once.
    pub sessions: usize,
    /// Messages in all.
    pub messages: u64,
    /// Octets of each message, headers included.
    pub size: usize,
}

/// Sends everything; ends when each message has its answer.
pub async fn run(load: SmtpLoad) -> anyhow::Result<Report> {
    if load.to.is_empty() || load.sessions == 0 {
        bail!("a load needs at least one recipient and one session");
    }
    let load = Arc::new(load);
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let sessions: Vec<_> =
        (0..load.sessions).map(|_| tokio::spawn(session(Arc::clone(&load), Arc::clone(&next)))).collect();
    let mut histogram = Histogram::new(3).context("failed to make a histogram")?;
    let mut failed = 0;
    for session in sessions {
        let (part, more_failed) = session.await.context("a session panicked")??;
        histogram.add(part).context("failed to add up the histograms")?;
        failed += more_failed;
    }
    Ok(Report::new("smtp accept", &histogram, failed, begun.elapsed()))
}

async fn session(load: Arc<SmtpLoad>, next: Arc<AtomicU64>) -> anyhow::Result<(Histogram<u64>, u64)> {
    let mut histogram = Histogram::new(3).context("failed to make a histogram")?;
    let mut failed = 0;
    let mut wire = Wire::connect(load.server, ANSWER_MAX).await?;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.messages {
            break;
        }
        let begun = Instant::now();
        if message(&mut wire, &load, number).await? {
            histogram
                .record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX))
                .context("failed to record")?;
        } else {
            failed += 1;
            wire.command("RSET\r\n").await?;
        }
    }
    wire.command("QUIT\r\n").await?;
    Ok((histogram, failed))
}

/// One transaction, pipelined up to DATA (RFC 2920). Gives whether it was accepted.
async fn message(wire: &mut Wire, load: &SmtpLoad, number: u64) -> anyhow::Result<bool> {
    let index = usize::try_from(number).unwrap_or(0) % load.to.len();
    let to = load.to.get(index).context("no recipient")?;
    wire.send(format!("MAIL FROM:<{}>\r\nRCPT TO:<{to}>\r\nDATA\r\n", load.from).as_bytes()).await?;
    let (mail, rcpt, data) = (wire.reply().await?, wire.reply().await?, wire.reply().await?);
    if data.code != 354 {
        return Ok(false);
    }
    let accepted = mail.code == 250 && rcpt.code == 250;
    wire.send(&content(load, to, number)).await?;
    Ok(wire.reply().await?.code == 250 && accepted)
}

fn content(load: &SmtpLoad, to: &Address, number: u64) -> Vec<u8> {
    let mut text = format!(
        "From: <{}>\r\nTo: <{to}>\r\nSubject: load {number}\r\nMessage-ID: <{number}.load@load.example>\r\n\r\n",
        load.from
    )
    .into_bytes();
    const LINE: &[u8] = b"The quick brown fox jumps over the lazy dog and mail goes on its way.\r\n";
    while text.len() + LINE.len() <= load.size {
        text.extend_from_slice(LINE);
    }
    text.extend_from_slice(b".\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_the_size_asked_for_and_ends_once() {
        let load = SmtpLoad {
            server: SocketAddr::from(([127, 0, 0, 1], 25)),
            from: "a@b.test".parse().unwrap(),
            to: vec!["c@d.test".parse().unwrap()],
            sessions: 1,
            messages: 1,
            size: 5000,
        };
        let text = content(&load, &load.to[0], 7);
        assert!((4900..=5010).contains(&text.len()), "{}", text.len());
        assert_eq!(memchr_count(&text, b"\r\n.\r\n"), 1);
    }

    fn memchr_count(text: &[u8], needle: &[u8]) -> usize {
        text.windows(needle.len()).filter(|window| *window == needle).count()
    }
}
