//! Submission over SMTP (RFC 6409), as any mail client does it: one connection for one message.
//!
//! A message goes to everybody or to nobody: when one recipient is refused, the connection is closed before DATA and the
//! writer is told who it was.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::{ReversePath, Secret};
use runtime::Stream;
use smtp_proto::client::{Action, Client, Encryption, Failure, Job, Outcome, Step};
use smtp_proto::{DotStuffer, Reply, ReplyDecoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::submit::{Submission, Submit, SubmitError};

/// How much is read at a time, and the most that a server may send ahead of being asked.
const BUFFER: usize = 16 * 1024;

/// The gateway's submission listener.
pub(super) struct Smtp {
    gateway: crate::Submission,
    timeout: Duration,
}

impl Smtp {
    /// One submission takes at most `timeout`.
    pub(super) const fn new(gateway: crate::Submission, timeout: Duration) -> Self {
        Self { gateway, timeout }
    }

    fn job(&self, submission: &Submission) -> Job {
        let plain = format!("\0{}\0{}", submission.login, submission.password.expose());
        let addresses = || submission.recipients.iter().chain([&submission.sender]);
        Job {
            name: "localhost".to_owned(),
            encryption: if self.gateway.tls.is_some() { Encryption::Required } else { Encryption::AsItIs },
            plain_response: Some(Secret::new(STANDARD.encode(plain))),
            reverse_path: ReversePath::Address(submission.sender.clone()),
            recipients: submission.recipients.clone(),
            size: u64::try_from(submission.content.len()).unwrap_or(u64::MAX),
            eight_bit: !submission.content.is_ascii(),
            smtp_utf8: addresses().any(envelope::Address::needs_utf8),
        }
    }

    async fn converse(&self, submission: &Submission, sent: &mut bool) -> Result<Outcome, SubmitError> {
        let locate = Arc::clone(&self.gateway.locate);
        let located = tokio::task::spawn_blocking(move || locate()).await;
        let address = located.ok().flatten().ok_or_else(no_gateway)?;
        let tcp = TcpStream::connect(address).await.map_err(SubmitError::Unreachable)?;
        let mut line =
            Line { stream: Some(Stream::Plain(tcp)), buffer: Vec::new(), decoder: ReplyDecoder::default() };
        let mut client = Client::new(self.job(submission));
        let mut asked = None;
        loop {
            let reply = line.read().await.map_err(SubmitError::Unreachable)?;
            if let Some(recipient) = asked.take()
                && !reply.is_positive()
            {
                let reason = words(&reply);
                return Err(if reply.is_permanent() {
                    SubmitError::Recipient { recipient, reason }
                } else {
                    SubmitError::Later(format!("{recipient}: {reason}"))
                });
            }
            let mut action = client.reply(reply);
            if matches!(action, Action::StartTls) {
                line.encrypt(&self.gateway).await.map_err(SubmitError::Unreachable)?;
                action = client.tls_started();
            }
            match action {
                Action::Done(outcome) => return Ok(outcome),
                Action::Send(octets) => {
                    asked = recipient(&octets);
                    let leaving = octets.starts_with(b"QUIT");
                    let written = line.write(&octets).await;
                    if leaving {
                        // All is known; the answer to QUIT changes nothing.
                        return Ok(client.into_outcome());
                    }
                    written.map_err(SubmitError::Unreachable)?;
                }
                Action::SendMessage => {
                    let mut octets = Vec::with_capacity(submission.content.len() + 1024);
                    let mut stuffer = DotStuffer::default();
                    stuffer.encode(&submission.content, &mut octets);
                    stuffer.finish(&mut octets);
                    *sent = true;
                    line.write(&octets).await.map_err(SubmitError::Unreachable)?;
                }
                Action::StartTls => return Err(SubmitError::Later("the session is out of step".to_owned())),
            }
        }
    }
}

#[async_trait]
impl Submit for Smtp {
    async fn submit(&self, submission: Submission) -> Result<String, SubmitError> {
        let mut sent = false;
        let conversation = tokio::time::timeout(self.timeout, self.converse(&submission, &mut sent)).await;
        let outcome = match conversation {
            Ok(Ok(outcome)) => outcome,
            // The whole message was on its way: nobody knows whether it was taken.
            Ok(Err(SubmitError::Unreachable(_))) | Err(_) if sent => return Err(SubmitError::Unconfirmed),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(SubmitError::Unreachable(io::ErrorKind::TimedOut.into())),
        };
        if let Some(accepted) = outcome.accepted {
            return Ok(words(&accepted));
        }
        Err(match outcome.failure {
            Some(Failure::Refused { step: Step::Auth, reply }) if reply.is_permanent() => SubmitError::Login,
            Some(Failure::Refused { step: Step::Mail | Step::Data | Step::Message, reply })
                if reply.is_permanent() =>
            {
                SubmitError::Refused(words(&reply))
            }
            Some(Failure::Refused { reply, .. }) => SubmitError::Later(words(&reply)),
            Some(failure @ (Failure::TooBig | Failure::NoUtf8)) => SubmitError::Refused(failure.to_string()),
            Some(failure) => SubmitError::Later(failure.to_string()),
            None => SubmitError::Later("the server gave no answer".to_owned()),
        })
    }
}

/// A connection and what was read ahead of it.
struct Line {
    stream: Option<Stream>,
    buffer: Vec<u8>,
    decoder: ReplyDecoder,
}

impl Line {
    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    async fn read(&mut self) -> io::Result<Reply> {
        loop {
            let decoded = self.decoder.decode(&self.buffer);
            let (taken, reply) =
                decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.buffer.drain(..taken.min(self.buffer.len()));
            if let Some(reply) = reply {
                return Ok(reply);
            }
            if taken > 0 {
                continue;
            }
            if self.buffer.len() >= BUFFER {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut chunk = [0; 2048];
            let count = self.stream()?.read(&mut chunk).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let stream = self.stream()?;
        stream.write_all(octets).await?;
        stream.flush().await
    }

    /// What was read before the handshake is thrown away: somebody else may have put it there.
    async fn encrypt(&mut self, gateway: &crate::Submission) -> io::Result<()> {
        self.buffer.clear();
        self.decoder = ReplyDecoder::default();
        let tls = gateway.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        match self.stream.take() {
            Some(Stream::Plain(tcp)) => {
                self.stream = Some(tls.connect(tcp, &gateway.server_name).await?);
                Ok(())
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

fn no_gateway() -> SubmitError {
    SubmitError::Later("no mail gateway is running that this server knows of".to_owned())
}

/// Whom a command asks for, when it is RCPT.
fn recipient(octets: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(octets).ok()?.strip_prefix("RCPT TO:<")?;
    Some(text.trim_end().trim_end_matches('>').to_owned())
}

/// What a server says, for a person: bounded, without controls.
fn words(reply: &Reply) -> String {
    reply.lines.join(" ").chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests;
