//! A connection to a server: bytes out, replies in.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use smtp_proto::{Reply, ReplyReader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One SMTP session.
pub(crate) struct Wire {
    tcp: TcpStream,
    reader: ReplyReader,
    answer_max: Duration,
}

impl Wire {
    /// Connects and says EHLO.
    pub(crate) async fn connect(server: SocketAddr, answer_max: Duration) -> anyhow::Result<Self> {
        let connecting = timeout(answer_max, TcpStream::connect(server)).await;
        let tcp = connecting
            .context("no connection in time")?
            .with_context(|| format!("failed to connect to {server}"))?;
        tcp.set_nodelay(true)?;
        let mut wire = Self { tcp, reader: ReplyReader::default(), answer_max };
        if wire.reply().await?.code != 220 || wire.command("EHLO load.example\r\n").await?.code != 250 {
            bail!("{server} does not want to talk");
        }
        Ok(wire)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let sent = timeout(self.answer_max, self.tcp.write_all(bytes)).await;
        sent.context("the server takes nothing")?.context("the server hung up")
    }

    pub(crate) async fn command(&mut self, line: &str) -> anyhow::Result<Reply> {
        self.send(line.as_bytes()).await?;
        self.reply().await
    }

    pub(crate) async fn reply(&mut self) -> anyhow::Result<Reply> {
        loop {
            if let Some(reply) = self.reader.reply().context("the server's reply makes no sense")? {
                return Ok(reply);
            }
            let read = timeout(self.answer_max, self.tcp.read_buf(self.reader.buffer())).await;
            if read.context("no answer in time")?.context("the connection broke")? == 0 {
                bail!("the server hung up");
            }
        }
    }
}
