//! Reading lines and writing replies, each with its deadline.

use runtime::{ServerTls, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Session;
use crate::pop3::metrics::End;
use crate::pop3::reply;

/// How much is read at once.
const READ_OCTETS: usize = 2048;
/// How much of replies is collected before it is sent.
const COLLECT_OCTETS: usize = 64 * 1024;

pub(super) enum Input {
    Line(Vec<u8>),
    TooLong,
}

impl Session {
    /// The next line. Sends what is collected before it waits.
    pub(super) async fn input(&mut self) -> Result<Input, End> {
        let deadline = match &self.open {
            Some(_) => Instant::now() + self.server.config.idle_timeout.as_duration(),
            None => self.login_deadline,
        };
        loop {
            match self.framer.line(&self.server.line_limits()) {
                Some(line) => {
                    if self.out.len() >= COLLECT_OCTETS {
                        self.flush().await?;
                    }
                    return Ok(line.map_or(Input::TooLong, Input::Line));
                }
                None => self.flush().await?,
            }
            let mut buffer = [0; READ_OCTETS];
            let Some(stream) = &mut self.stream else { return Err(End::Closed) };
            let read = tokio::select! {
                biased;
                () = self.drain.requested() => return Err(End::Drained),
                read = timeout_at(deadline, stream.read(&mut buffer)) => read,
            };
            match read {
                Ok(Ok(0) | Err(_)) => return Err(End::Closed),
                Ok(Ok(length)) => self.framer.push(buffer.get(..length).unwrap_or_default()),
                Err(_) if self.open.is_some() => return Err(End::IdleTimeout),
                Err(_) => return Err(End::LoginTimeout),
            }
        }
    }

    /// Sends what is collected. The client has a time for each buffer: one that does not read is let go.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else { return Err(End::Closed) };
        let write = async {
            stream.write_all(&self.out).await?;
            stream.flush().await
        };
        let written = timeout(self.server.config.write_timeout.as_duration(), write).await;
        if !matches!(written, Ok(Ok(()))) {
            return Err(End::Write);
        }
        self.server.metrics.octets_sent.inc_by(u64::try_from(self.out.len()).unwrap_or(u64::MAX));
        self.out.clear();
        // An idle connection keeps no large buffer.
        self.out.shrink_to(READ_OCTETS);
        Ok(())
    }

    /// Does the handshake on the plain connection.
    pub(super) async fn upgrade(&mut self, tls: &ServerTls) -> Result<(), End> {
        // A failed handshake leaves no stream: the session ends without another word.
        let Some(Stream::Plain(tcp)) = self.stream.take() else { return Err(End::Handshake) };
        self.stream = Some(tls.upgrade(tcp).await.map_err(|_| End::Handshake)?);
        Ok(())
    }

    /// The last words, where there is somebody to hear them; then the end of the stream.
    pub(super) async fn farewell(&mut self, end: End) {
        match end {
            End::BadCommands => self.put(&reply::too_many_bad_commands()),
            End::Drained => self.put(&reply::draining()),
            End::FailedLogins => self.put(&reply::too_many_failures()),
            End::IdleTimeout | End::LoginTimeout => self.put(&reply::timed_out()),
            End::Closed | End::Handshake | End::Write => return,
            End::PerAddressLimit | End::Quit | End::Store => {}
        }
        if self.flush().await.is_ok()
            && let Some(stream) = &mut self.stream
        {
            let _ = timeout(self.server.config.write_timeout.as_duration(), stream.shutdown()).await;
        }
    }
}
