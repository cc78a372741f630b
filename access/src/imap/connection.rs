//! Octets in, octets out, with deadlines. Holds little while the connection is idle.

use std::io;
use std::time::Duration;

use imap_proto::{Expect, FrameEvent, FrameLimits, Framer};
use runtime::{Drain, ServerTls, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use runtime::HeldMemory;

/// What one read takes while no large command is under way.
const READ_SMALL: usize = 2 * 1024;

/// What one read takes in the middle of a command.
const READ_LARGE: usize = 64 * 1024;

/// Output is sent when it has grown to this.
const OUTPUT_FULL: usize = 32 * 1024;

/// A buffer larger than this is given back when it is empty.
const KEEP_MAX: usize = 4 * 1024;

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client closed it.
    Closed,
    /// The process drains.
    Drained,
    /// The socket failed.
    Io(io::Error),
    /// LOGOUT.
    Logout,
    /// Nothing came, or nothing was taken, for too long.
    Timeout,
    /// The server gives up on the client, with this text.
    Refused(&'static str),
}

impl End {
    /// For logs and metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Drained => "drained",
            Self::Io(_) => "failed",
            Self::Logout => "logout",
            Self::Timeout => "timeout",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Self::Closed,
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Io(error),
        }
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the first octet of a command.
    pub(crate) idle: Duration,
    /// For more of a command that has begun.
    pub(crate) command: Duration,
}

/// One client's connection.
pub(crate) struct Connection {
    stream: Option<Stream>,
    framer: Framer,
    input: Vec<u8>,
    /// How much of `input` is taken.
    taken: usize,
    /// What is to be sent.
    pub(crate) out: Vec<u8>,
    /// Memory for the command that is coming in.
    pub(crate) memory: HeldMemory,
    /// Octets of the command that is coming in.
    pending: u64,
    write_timeout: Duration,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Connection {
    pub(crate) fn new(stream: Stream, memory: HeldMemory, write_timeout: Duration) -> Self {
        Self {
            stream: Some(stream),
            framer: Framer::new(),
            input: Vec::new(),
            taken: 0,
            out: Vec::new(),
            memory,
            pending: 0,
            write_timeout,
            sent: 0,
            received: 0,
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::is_tls)
    }

    /// What is below; none after a handshake that failed.
    pub(crate) const fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref()
    }

    /// Gives up on the command whose literal the client wants to send.
    pub(crate) fn abandon(&mut self) {
        self.framer.abandon();
        self.end_command();
    }

    /// The tag of the command that is coming in.
    pub(crate) fn pending_tag(&self) -> Option<imap_proto::Tag> {
        self.framer.tag()
    }

    /// The next thing the client says. Between commands, a drain ends the wait. Cancel-safe: what was read stays here.
    pub(crate) async fn event(
        &mut self,
        expect: Expect,
        limits: &FrameLimits,
        patience: Patience,
        drain: &Drain,
    ) -> Result<FrameEvent, End> {
        loop {
            let unread = self.input.get(self.taken..).unwrap_or_default();
            let (taken, event) = self.framer.push(unread, expect, limits);
            self.taken += taken;
            self.pending += taken as u64;
            match event {
                FrameEvent::Incomplete => {}
                FrameEvent::Continue { .. } => return Ok(event),
                _ => {
                    self.pending = 0;
                    return Ok(event);
                }
            }
            self.input.clear();
            self.taken = 0;
            if !self.memory.grow_to(self.pending).await {
                return Err(End::Refused("Too many messages are being stored, try again"));
            }
            if self.framer.is_idle() {
                self.read_idle(patience.idle, drain).await?;
            } else {
                self.read(READ_LARGE, patience.command).await?;
            }
        }
    }

    /// The command at hand is done with.
    pub(crate) fn end_command(&mut self) {
        self.pending = 0;
        self.memory.release();
    }

    async fn read_idle(&mut self, patience: Duration, drain: &Drain) -> Result<(), End> {
        // Who says nothing for long holds no buffer, where the socket can be waited for without one.
        if self.input.capacity() > KEEP_MAX || !self.is_tls() {
            self.input = Vec::new();
        }
        let read = async {
            if let Some(stream) = &self.stream {
                stream.readable().await?;
            }
            self.read_some(READ_SMALL).await
        };
        tokio::select! {
            biased;
            () = drain.requested() => Err(End::Drained),
            read = timeout(patience, read) => read.map_err(|_| End::Timeout)?,
        }
    }

    async fn read(&mut self, octets: usize, patience: Duration) -> Result<(), End> {
        timeout(patience, self.read_some(octets)).await.map_err(|_| End::Timeout)?
    }

    async fn read_some(&mut self, octets: usize) -> Result<(), End> {
        let Some(stream) = &mut self.stream else { return Err(End::Closed) };
        self.input.reserve(octets);
        let count = stream.read_buf(&mut self.input).await?;
        self.received += count as u64;
        if count == 0 { Err(End::Closed) } else { Ok(()) }
    }

    /// Sends what has gathered when it is much. A client that does not read holds up its own session here.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), End> {
        if self.out.len() >= OUTPUT_FULL { self.flush().await } else { Ok(()) }
    }

    /// Sends what has gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        let Some(stream) = &mut self.stream else { return Err(End::Closed) };
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            // Progress within the deadline is enough: a slow reader of a large message is no broken one.
            let count = timeout(self.write_timeout, stream.write(rest)).await.map_err(|_| End::Timeout)??;
            if count == 0 {
                return Err(End::Closed);
            }
            rest = rest.get(count..).unwrap_or_default();
        }
        timeout(self.write_timeout, stream.flush()).await.map_err(|_| End::Timeout)??;
        self.sent += self.out.len() as u64;
        if self.out.capacity() > KEEP_MAX {
            self.out = Vec::new();
        } else {
            self.out.clear();
        }
        Ok(())
    }

    /// Begins TLS. Whatever the client sent before it is thrown away (RFC 3501 §6.2.1).
    pub(crate) async fn start_tls(&mut self, tls: &ServerTls) -> Result<(), End> {
        let Some(Stream::Plain(tcp)) = self.stream.take() else { return Err(End::Closed) };
        self.input = Vec::new();
        self.taken = 0;
        self.framer = Framer::new();
        self.stream = Some(tls.upgrade(tcp).await?);
        Ok(())
    }

    /// Says goodbye to the peer's socket, not waiting for long.
    pub(crate) async fn close(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            let _ = timeout(Duration::from_secs(5), stream.shutdown()).await;
        }
    }
}
