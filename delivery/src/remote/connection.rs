//! One connection to another mail system: the octets and deadlines around [`smtp_proto::client::Session`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use runtime::{ClientTls, Stream};
use smtp_proto::client::{Failure as SmtpFailure, Hello, Next, Session, Transaction, Verdict};
use smtp_proto::{DotStuffer, Reply, ReplyReader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout, timeout_at};

use super::RemoteConfig;

/// Octets written at a time, each within `data_block_max`.
const BLOCK: usize = 64 * 1024;
/// How long a server that broke off may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Whom to talk to, and how.
pub(super) struct Peer<'a> {
    pub(super) host: &'a str,
    pub(super) address: SocketAddr,
    pub(super) source: Option<IpAddr>,
    pub(super) hello: Hello,
    /// How the server is judged at the handshake; none: there is none.
    pub(super) tls: Option<(&'a ClientTls, &'static str)>,
}

/// Why there is no connection, or no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{step}: {source}")]
    Io {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("no TLS: {0}")]
    Handshake(io::Error),
    #[error("{0}")]
    Smtp(SmtpFailure),
}

/// An open session with a server.
pub(crate) struct Connection {
    pub(super) host: String,
    pub(super) address: IpAddr,
    /// How the server was judged: `none`, `unverified`, `verified`, `dane`.
    pub(super) tls: &'static str,
    pub(super) messages: u16,
    began: Instant,
    session: Session,
    wire: Wire,
}

impl Connection {
    /// Connects, greets, encrypts and logs in.
    pub(super) async fn open(config: &RemoteConfig, peer: Peer<'_>) -> Result<Self, Broken> {
        let tcp = within(config.connect_max.as_duration(), "connecting", connect(&peer)).await?;
        let _ = tcp.set_nodelay(true);
        let mut connection = Self {
            host: peer.host.to_owned(),
            address: peer.address.ip(),
            tls: "none",
            messages: 0,
            began: Instant::now(),
            session: Session::new(peer.hello),
            wire: Wire { stream: Some(Stream::Plain(tcp)), reader: ReplyReader::default() },
        };
        let reply =
            connection.wire.read(config.greeting_max.as_duration(), "waiting for the greeting").await?;
        let mut next = connection.session.reply(reply);
        loop {
            next = match next {
                Next::Ready(_) => return Ok(connection),
                Next::Closed(failure, _) => return Err(Broken::Smtp(failure)),
                Next::StartTls => {
                    let (tls, judged) = peer.tls.ok_or(Broken::Smtp(SmtpFailure::OutOfStep))?;
                    connection.wire.encrypt(tls, peer.host).await?;
                    connection.tls = judged;
                    connection.session.tls_started()
                }
                next => connection.step(config, next, &Bytes::new()).await?,
            };
        }
    }

    /// Offers a message. What is known of it when the connection broke comes with the error.
    pub(super) async fn transact(
        mut self,
        config: &RemoteConfig,
        transaction: Transaction,
        octets: &Bytes,
    ) -> Result<(Self, Verdict), (Broken, Option<Verdict>, bool)> {
        self.messages = self.messages.saturating_add(1);
        let mut next = self.session.begin(transaction);
        let deadline = Instant::now() + config.transaction_max.as_duration();
        loop {
            next = match next {
                Next::Ready(Some(verdict)) => return Ok((self, verdict)),
                Next::Ready(None) | Next::StartTls => {
                    return Err((Broken::Smtp(SmtpFailure::OutOfStep), None, false));
                }
                Next::Closed(failure, verdict) => return Err((Broken::Smtp(failure), verdict, false)),
                next => {
                    match timeout_at(deadline, self.step(config, next, octets)).await.unwrap_or_else(|_| {
                        let source = io::ErrorKind::TimedOut.into();
                        Err(Broken::Io { step: "the whole transaction", source })
                    }) {
                        Ok(next) => next,
                        Err(broken) => {
                            let unconfirmed = self.session.awaits_verdict();
                            return Err((broken, self.session.into_verdict(), unconfirmed));
                        }
                    }
                }
            };
        }
    }

    /// Writes what is to be written and takes one reply.
    async fn step(&mut self, config: &RemoteConfig, next: Next, octets: &Bytes) -> Result<Next, Broken> {
        let block = config.data_block_max.as_duration();
        let written = match next {
            Next::Send(line) => self.wire.write(&line, config.command_max.as_duration()).await,
            Next::SendStuffed => self.wire.write_stuffed(octets, block).await,
            Next::SendChunk(mut line) => {
                let (head, rest) = octets.split_at(octets.len().min(BLOCK));
                line.extend_from_slice(head);
                match self.wire.write(&line, block).await {
                    Ok(()) => self.wire.write(rest, block).await,
                    failed => failed,
                }
            }
            _ => Ok(()),
        };
        let (patience, what) = match (&written, self.session.awaits_verdict()) {
            // A server that refuses in the middle of a message says so and hangs up.
            (Err(_), _) => (LAST_WORDS, "sending"),
            (Ok(()), true) => (config.verdict_max.as_duration(), "waiting for the answer to the message"),
            (Ok(()), false) => (config.command_max.as_duration(), "waiting for an answer"),
        };
        let reply = self.wire.read(patience, what).await;
        match (written, reply) {
            (_, Ok(reply)) => Ok(self.session.reply(reply)),
            (Err(broken), Err(_)) | (Ok(()), Err(broken)) => Err(broken),
        }
    }

    /// Whether it may be used once more.
    pub(super) fn is_good(&self, config: &RemoteConfig) -> bool {
        self.messages < config.connection_messages_max
            && self.began.elapsed() < config.connection_age_max.as_duration()
    }

    /// Whether the server has proved who it is.
    pub(super) fn is_proved(&self) -> bool {
        matches!(self.tls, "verified" | "dane")
    }

    /// Whether the server tells the sender what it wants to hear of.
    pub(super) const fn knows_dsn(&self) -> bool {
        self.session.knows_dsn()
    }

    /// Takes leave without waiting for an answer.
    pub(super) fn leave(mut self) {
        tokio::spawn(async move { self.wire.write(Session::quit(), LAST_WORDS).await });
    }
}

async fn connect(peer: &Peer<'_>) -> io::Result<tokio::net::TcpStream> {
    let socket = if peer.address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if let Some(source) = peer.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(peer.address).await
}

async fn within<T>(
    patience: Duration,
    step: &'static str,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Broken> {
    match timeout(patience, work).await {
        Ok(done) => done.map_err(|source| Broken::Io { step, source }),
        Err(_) => Err(Broken::Io { step, source: io::ErrorKind::TimedOut.into() }),
    }
}

/// The octets of a connection.
struct Wire {
    stream: Option<Stream>,
    reader: ReplyReader,
}

impl Wire {
    async fn read(&mut self, patience: Duration, step: &'static str) -> Result<Reply, Broken> {
        within(patience, step, self.read_reply()).await
    }

    async fn read_reply(&mut self) -> io::Result<Reply> {
        loop {
            let reply = self.reader.reply();
            if let Some(reply) = reply.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                return Ok(reply);
            }
            let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            if stream.read_buf(self.reader.buffer()).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Every block within `patience`.
    async fn write(&mut self, octets: &[u8], patience: Duration) -> Result<(), Broken> {
        for block in octets.chunks(BLOCK) {
            let stream = self.stream.as_mut();
            within(patience, "sending", async {
                let stream = stream.ok_or(io::ErrorKind::NotConnected)?;
                stream.write_all(block).await?;
                stream.flush().await
            })
            .await?;
        }
        Ok(())
    }

    async fn write_stuffed(&mut self, octets: &[u8], patience: Duration) -> Result<(), Broken> {
        let mut stuffer = DotStuffer::default();
        let mut out = Vec::with_capacity(BLOCK + BLOCK / 8);
        for block in octets.chunks(BLOCK) {
            out.clear();
            stuffer.encode(block, &mut out);
            self.write(&out, patience).await?;
        }
        out.clear();
        stuffer.finish(&mut out);
        self.write(&out, patience).await
    }

    async fn encrypt(&mut self, tls: &ClientTls, name: &str) -> Result<(), Broken> {
        self.reader.clear();
        let Some(Stream::Plain(tcp)) = self.stream.take() else {
            return Err(Broken::Handshake(io::ErrorKind::NotConnected.into()));
        };
        // A server at an address has that for a name.
        let name = name.trim_start_matches('[').trim_end_matches(']').trim_start_matches("IPv6:");
        self.stream = Some(tls.connect(tcp, name).await.map_err(Broken::Handshake)?);
        Ok(())
    }
}
