//! Octets in and out of one connection, with deadlines.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use runtime::{ChannelBinding, Drain, PeerCertificate, ServerTls, Stream};
use smtp_proto::Reply;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::session::End;

/// Room for commands: small, since most connections wait most of the time.
const COMMAND_ROOM: usize = 1024;
/// Room for a message's text.
const DATA_ROOM: usize = 32 * 1024;
/// A pipelining client that doesn't read its answers is made to wait at this many octets.
const OUTPUT_MAX: usize = 16 * 1024;

/// One connection with its buffers.
pub(crate) struct Wire {
    /// None only while a handshake is under way.
    stream: Option<Stream>,
    pub(crate) input: BytesMut,
    output: Vec<u8>,
    reply_max: Duration,
}

impl Wire {
    pub(crate) const fn new(stream: Stream, input: BytesMut, reply_max: Duration) -> Self {
        Self { stream: Some(stream), input, output: Vec::new(), reply_max }
    }

    /// Version and cipher of the encryption.
    pub(crate) fn tls_names(&self) -> Option<(String, String)> {
        self.stream.as_ref()?.tls_names()
    }

    /// What a login over this connection can be bound to.
    pub(crate) fn channel_binding(&self, tls: &ServerTls) -> Option<ChannelBinding> {
        self.stream.as_ref().map(|stream| tls.channel_binding(stream))
    }

    /// Puts a reply into the output; [`Self::flush`] sends it. A reply without lines is nothing.
    pub(crate) async fn push(&mut self, reply: &Reply) -> Result<(), End> {
        reply.write(&mut self.output);
        if self.output.len() > OUTPUT_MAX { self.flush().await } else { Ok(()) }
    }

    /// Sends what is owed.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        let stream = self.stream.as_mut().ok_or(End::Broken)?;
        let write = async {
            stream.write_all(&output).await?;
            stream.flush().await
        };
        match tokio::time::timeout(self.reply_max, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Broken),
            Err(_) => Err(End::ReplyTimeout),
        }
    }

    /// Waits for more commands. The drain, if there is one, ends the wait: nothing is under way then.
    pub(crate) async fn read_commands(
        &mut self,
        deadline: Instant,
        drain: Option<&Drain>,
    ) -> Result<(), End> {
        if self.input.is_empty() && self.input.capacity() > COMMAND_ROOM * 2 {
            // A message came through here: give its room back.
            self.input = BytesMut::new();
        }
        let drained = async {
            match drain {
                Some(drain) => drain.requested().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = drained => Err(End::Drained),
            read = self.read(deadline, COMMAND_ROOM) => read.map_err(|end| if end == End::Timeout { End::CommandTimeout } else { end }),
        }
    }

    /// Waits for more of a message.
    pub(crate) async fn read_data(&mut self, deadline: Instant) -> Result<(), End> {
        self.read(deadline, DATA_ROOM).await
    }

    async fn read(&mut self, deadline: Instant, room: usize) -> Result<(), End> {
        let stream = self.stream.as_mut().ok_or(End::Broken)?;
        self.input.reserve(room);
        match timeout_at(deadline, stream.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => Err(End::Gone),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(End::Broken),
            Err(_) => Err(End::Timeout),
        }
    }

    pub(crate) fn consume(&mut self, octets: usize) {
        self.input.advance(octets.min(self.input.len()));
    }

    /// Encrypts. What the client sent before the handshake is thrown away (RFC 3207 §5).
    pub(crate) async fn start_tls(&mut self, tls: &ServerTls) -> Result<(), End> {
        self.flush().await?;
        self.input = BytesMut::new();
        match self.stream.take() {
            Some(Stream::Plain(tcp)) => {
                self.stream = Some(tls.upgrade(tcp).await.map_err(|_| End::Handshake)?);
                Ok(())
            }
            _ => Err(End::Broken),
        }
    }

    /// Whose certificate the client showed, where one was asked for and an authority of ours vouches for it.
    pub(crate) fn peer_certificate(&self) -> Option<&PeerCertificate> {
        self.stream.as_ref().and_then(Stream::peer_certificate)
    }

    /// Says goodbye to the transport, as far as the peer lets us.
    pub(crate) async fn close(mut self) {
        if let Some(stream) = self.stream.as_mut() {
            let _ = tokio::time::timeout(self.reply_max.min(Duration::from_secs(5)), stream.shutdown()).await;
        }
    }
}

/// Whether a client speaks before its turn, within `pause`. No pause, no look.
pub(crate) async fn spoke_early(tcp: &TcpStream, pause: Duration) -> bool {
    let mut octet = [0];
    !pause.is_zero()
        && matches!(tokio::time::timeout(pause, tcp.peek(&mut octet)).await, Ok(Ok(count)) if count > 0)
}
