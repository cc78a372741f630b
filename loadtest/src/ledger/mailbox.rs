//! Reads a mailbox over IMAP, message by message.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use envelope::Secret;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Messages of one FETCH.
const TOGETHER: u32 = 50;
/// No message that a ledger sends is larger.
const LITERAL_MAX: usize = 256 << 20;

/// One session with INBOX open for reading.
pub(super) struct Inbox {
    wire: BufReader<TcpStream>,
    /// Messages in it.
    pub(super) exists: u32,
}

/// One line of the server, with its literals taken out.
struct Line {
    text: String,
    literals: Vec<Vec<u8>>,
}

impl Inbox {
    pub(super) async fn open(
        server: SocketAddr,
        login: &str,
        password: &Secret<String>,
    ) -> anyhow::Result<Self> {
        let tcp =
            timeout(ANSWER_MAX, TcpStream::connect(server)).await.context("no connection in time")??;
        let mut inbox = Self { wire: BufReader::with_capacity(64 << 10, tcp), exists: 0 };
        let greeting = inbox.line().await?;
        if !greeting.text.starts_with("* OK") {
            bail!("the IMAP server said {:?}", greeting.text);
        }
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let command = format!("LOGIN {} {}", quoted(login), quoted(password.expose()));
        inbox.command(&command, |_| Ok(())).await.with_context(|| format!("{login} can't log in"))?;
        let mut exists = 0;
        inbox
            .command("EXAMINE INBOX", |line| {
                if let ["*", number, "EXISTS"] = *line.text.split(' ').collect::<Vec<_>>() {
                    exists = number.parse()?;
                }
                Ok(())
            })
            .await?;
        inbox.exists = exists;
        Ok(inbox)
    }

    /// Shows every message's octets to `visit`.
    pub(super) async fn each(
        &mut self,
        mut visit: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut first = 1;
        while first <= self.exists {
            let last = first.saturating_add(TOGETHER - 1).min(self.exists);
            let mut count = 0;
            self.command(&format!("FETCH {first}:{last} (BODY.PEEK[])"), |line| {
                if line.text.contains(" FETCH (") && !line.literals.is_empty() {
                    count += 1;
                    line.literals.iter().try_for_each(|octets| visit(octets))?;
                }
                Ok(())
            })
            .await?;
            if count != last - first + 1 {
                bail!("the server showed {count} of the messages {first} to {last}");
            }
            first = last + 1;
        }
        Ok(())
    }

    async fn command(
        &mut self,
        command: &str,
        mut each: impl FnMut(&Line) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let command = format!("a {command}\r\n");
        let sent = self.wire.get_mut().write_all(command.as_bytes());
        timeout(ANSWER_MAX, sent).await.context("the server takes nothing")?.context("the server hung up")?;
        loop {
            let line = self.line().await?;
            match line.text.strip_prefix("a ") {
                Some(done) if done.starts_with("OK") => return Ok(()),
                Some(refused) => bail!("the server said {refused:?}"),
                None => each(&line)?,
            }
        }
    }

    async fn line(&mut self) -> anyhow::Result<Line> {
        let mut whole = Line { text: String::new(), literals: Vec::new() };
        loop {
            let mut part = Vec::new();
            let read = timeout(ANSWER_MAX, self.wire.read_until(b'\n', &mut part)).await;
            if read.context("no answer in time")?.context("the connection broke")? == 0 {
                bail!("the server hung up");
            }
            let text = String::from_utf8_lossy(&part);
            let text = text.trim_end_matches(['\r', '\n']);
            whole.text.push_str(text);
            let Some(size) = literal(text) else { return Ok(whole) };
            if size > LITERAL_MAX {
                bail!("the server sends a literal of {size} octets");
            }
            let mut octets = vec![0; size];
            let read = timeout(ANSWER_MAX, self.wire.read_exact(&mut octets)).await;
            read.context("no answer in time")?.context("the connection broke")?;
            whole.literals.push(octets);
        }
    }
}

/// RFC 9051 §4.3: a line that ends in `{size}` goes on with so many octets.
fn literal(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}
