//! A connection, plain or encrypted, and one with a deadline for whoever does not read.

use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::TlsStream;

use crate::tls::PeerCertificate;

/// What a session reads and writes. STARTTLS turns a plain one into an encrypted one ([`crate::ServerTls::upgrade`]);
/// as a client, [`crate::ClientTls::connect`] does.
pub enum Stream {
    /// Not encrypted.
    Plain(TcpStream),
    /// Encrypted, as the server or as the client.
    Tls(Box<Encrypted>),
}

/// A connection under TLS, and what is known of the peer.
pub struct Encrypted {
    tls: TlsStream<TcpStream>,
    /// Boxed: most connections have none.
    peer: Option<Box<PeerCertificate>>,
}

impl Deref for Encrypted {
    type Target = TlsStream<TcpStream>;

    fn deref(&self) -> &Self::Target {
        &self.tls
    }
}

impl Stream {
    pub(crate) fn encrypted(tls: TlsStream<TcpStream>, peer: Option<PeerCertificate>) -> Self {
        Self::Tls(Box::new(Encrypted { tls, peer: peer.map(Box::new) }))
    }

    /// The certificate of the client, where it was asked for one and an authority of ours vouches for it.
    pub fn peer_certificate(&self) -> Option<&PeerCertificate> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.peer.as_deref(),
        }
    }

    /// Whether the connection is encrypted.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Version and cipher suite, as OpenSSL and milters write them: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`.
    pub fn tls_names(&self) -> Option<(String, String)> {
        let Self::Tls(tls) = self else { return None };
        let (_, connection) = tls.get_ref();
        let version = match connection.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
            other => format!("{other:?}"),
        };
        let suite = format!("{:?}", connection.negotiated_cipher_suite()?.suite());
        Some((version, suite.replace("TLS13_", "TLS_")))
    }

    /// Waits until there may be something to read, without a buffer for it; under TLS it does not wait.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.readable().await,
            Self::Tls(_) => Ok(()),
        }
    }

    /// The socket underneath.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(&mut tls.tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(&mut tls.tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut tls.tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.tls).poll_shutdown(cx),
        }
    }
}

/// A connection that fails when nothing could be written to it for a time: a client that asks and never reads must not
/// hold it. Any progress begins the time anew.
pub struct WriteDeadline<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    /// `stream` with a write that waits at most `patience`.
    pub const fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, deadline: None }
    }

    fn bounded<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let patience = self.patience;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.bounded(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.bounded(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.bounded(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_never_reads_is_given_up_and_who_reads_slowly_is_not() {
        let (client, server) = duplex(8);
        let mut writer = WriteDeadline::new(server, Duration::from_secs(30));
        assert_eq!(writer.write_all(b"123456789").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(client);
        let (mut client, server) = duplex(8);
        let mut writer = WriteDeadline::new(server, Duration::from_secs(30));
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            let mut octets = [0; 8];
            loop {
                tokio::time::sleep(Duration::from_secs(29)).await;
                match client.read(&mut octets).await.unwrap() {
                    0 => return read,
                    count => read.extend_from_slice(&octets[..count]),
                }
            }
        });
        writer.write_all(&[7; 64]).await.unwrap();
        // Silence without anything to write is no fault.
        tokio::time::sleep(Duration::from_secs(300)).await;
        writer.write_all(b"more").await.unwrap();
        drop(writer);
        assert_eq!(reading.await.unwrap().len(), 68);
    }
}
