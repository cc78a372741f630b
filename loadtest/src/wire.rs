//! A connection to a server, plain or under TLS: octets out, octets in, each wait with a deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use runtime::{ClientTls, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::random::Random;
use crate::recorder::Failure;

/// Octets that are made room for before a read: whoever measures must not be what takes the time.
const READ: usize = 64 << 10;

/// When a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Never.
    None,
    /// By a command, before anything else is said.
    StartTls,
    /// From its first octet.
    Implicit,
}

/// A server and how it is talked to. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    /// Where it listens; several are taken in turn.
    pub servers: Vec<SocketAddr>,
    /// The name that it must prove to have, and that it is greeted for.
    pub name: String,
    /// Part of the connections that are encrypted, from 0 to 1.
    pub tls_share: f64,
    /// How those are.
    pub encryption: Encryption,
    /// Whom to believe.
    pub tls: ClientTls,
    /// How long one answer may take.
    pub answer_max: Duration,
}

impl Target {
    /// One server that is not encrypted.
    pub fn plain(server: SocketAddr, answer_max: Duration) -> Self {
        Self {
            servers: vec![server],
            name: server.ip().to_string(),
            tls_share: 0.0,
            encryption: Encryption::None,
            tls: ClientTls::unverified(),
            answer_max,
        }
    }

    /// Whether the next connection is encrypted, and how.
    pub(crate) fn drawn(&self, random: &mut Random) -> Encryption {
        if random.chance(self.tls_share) { self.encryption } else { Encryption::None }
    }

    /// How connections are that are no part of the load.
    pub(crate) fn usual(&self) -> Encryption {
        if self.tls_share > 0.0 { self.encryption } else { Encryption::None }
    }

    /// The server of a client's or a visit's number.
    pub(crate) fn server(&self, number: u64) -> Result<SocketAddr, Failure> {
        let count = self.servers.len().max(1) as u64;
        let at = usize::try_from(number % count).unwrap_or(0);
        self.servers.get(at).copied().ok_or_else(|| Failure::new("no server is named"))
    }
}

/// A connection.
pub(crate) struct Wire {
    stream: Stream,
    answer_max: Duration,
}

impl Wire {
    /// Connects, with a handshake when the connection is encrypted from its first octet.
    pub(crate) async fn connect(
        target: &Target,
        server: SocketAddr,
        encryption: Encryption,
    ) -> Result<Self, Failure> {
        let tcp = within(target.answer_max, "no connection in time", TcpStream::connect(server)).await?;
        tcp.set_nodelay(true).map_err(failure)?;
        let wire = Self { stream: Stream::Plain(tcp), answer_max: target.answer_max };
        if encryption == Encryption::Implicit { wire.encrypt(target).await } else { Ok(wire) }
    }

    /// Does the handshake. What was read before it is the caller's to forget.
    pub(crate) async fn encrypt(self, target: &Target) -> Result<Self, Failure> {
        let Stream::Plain(tcp) = self.stream else { return Err(Failure::new("encrypted already")) };
        let handshake = target.tls.connect(tcp, &target.name);
        let stream = within(self.answer_max, "no TLS in time", handshake).await?;
        Ok(Self { stream, answer_max: self.answer_max })
    }

    /// For a library that speaks a protocol on it.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> Result<(), Failure> {
        let writing = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        within(self.answer_max, "the server takes nothing", writing).await
    }

    /// Appends what comes to `buffer`; at least an octet.
    pub(crate) async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        buffer.reserve(READ);
        let read = within(self.answer_max, "no answer in time", self.stream.read_buf(buffer)).await?;
        if read == 0 { Err(Failure::new("closed by the server")) } else { Ok(()) }
    }

    /// The same for as long as it takes, up to `patience`; whether something came.
    pub(crate) async fn read_for(
        &mut self,
        buffer: &mut Vec<u8>,
        patience: Duration,
    ) -> Result<bool, Failure> {
        buffer.reserve(READ);
        match timeout(patience, self.stream.read_buf(buffer)).await {
            Err(_) => Ok(false),
            Ok(Ok(0)) => Err(Failure::new("closed by the server")),
            Ok(read) => read.map(|_| true).map_err(failure),
        }
    }
}

async fn within<T>(
    time: Duration,
    late: &str,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    match timeout(time, work).await {
        Ok(done) => done.map_err(failure),
        Err(_) => Err(Failure::new(late)),
    }
}

/// The kind alone where it says enough: texts with numbers in them would each count as a reason of their own.
fn failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::new("connection refused"),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof => Failure::new("connection broken"),
        io::ErrorKind::TimedOut => Failure::new("no answer in time"),
        _ => Failure::new(error),
    }
}
