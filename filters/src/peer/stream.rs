//! A connection to a milter or a scanner.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::address::PeerAddress;

/// Over a Unix socket or TCP.
#[derive(Debug)]
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// Connects; a name's addresses are tried in their order.
    pub(crate) async fn connect(address: &PeerAddress) -> io::Result<Self> {
        match address {
            PeerAddress::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            PeerAddress::Inet(host, port) => {
                let stream = TcpStream::connect(format!("{host}:{port}")).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    /// Has the kernel acknowledge at once what comes next. libmilter writes a reply in two pieces and waits for the acknowledgement of the first: 45 ms a
    /// message without this. The kernel forgets it again, so it is said before each read.
    pub(crate) fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            // Only a matter of speed.
            let _ = socket2::SockRef::from(stream).set_tcp_quickack(true);
        }
    }

    /// Reads what is there, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_read(buffer),
            Self::Tcp(stream) => stream.try_read(buffer),
        }
    }

    /// Writes as much as goes, without waiting.
    pub(crate) fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_write(octets),
            Self::Tcp(stream) => stream.try_write(octets),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
