//! Submission over SMTP (RFC 6409), as any mail client does it: one connection for one message.
//!
//! A message goes to everybody or to nobody: when one recipient is refused the message is not sent, and the writer is told who it was.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::{Address, ReversePath, Secret};
use runtime::Stream;
use smtp_proto::client::{Answer, Encryption, Failure, Hello, Next, Session, Step, To, Transaction, Verdict};
use smtp_proto::{DotStuffer, Reply, ReplyReader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::submit::{Submission, Submit, SubmitError};

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

    fn hello(&self, submission: &Submission) -> Hello {
        let plain = format!("\0{}\0{}", submission.login, submission.password.expose());
        Hello {
            name: "localhost".to_owned(),
            encryption: if self.gateway.tls.is_some() { Encryption::Required } else { Encryption::AsItIs },
            plain_response: Some(Secret::new(STANDARD.encode(plain))),
        }
    }

    async fn converse(&self, submission: &Submission, sent: &mut bool) -> Result<String, SubmitError> {
        let locate = Arc::clone(&self.gateway.locate);
        let located = tokio::task::spawn_blocking(move || locate()).await;
        let address = located.ok().flatten().ok_or_else(no_gateway)?;
        let tcp = TcpStream::connect(address).await.map_err(SubmitError::Unreachable)?;
        let mut line = Line { stream: Some(Stream::Plain(tcp)), reader: ReplyReader::default() };
        let mut session = Session::new(self.hello(submission));
        let mut next = Next::Read;
        loop {
            match next {
                Next::Ready(None) => {
                    next = session.begin(transaction(submission));
                    continue;
                }
                Next::Ready(Some(verdict)) => {
                    // All is known; what becomes of QUIT changes nothing.
                    let _ = line.write(Session::quit()).await;
                    return judge(verdict, submission);
                }
                Next::Closed(failure, _) => return Err(closed(failure, *sent)),
                Next::StartTls => {
                    line.encrypt(&self.gateway).await.map_err(SubmitError::Unreachable)?;
                    next = session.tls_started();
                    continue;
                }
                Next::Read => {}
                Next::Send(octets) => line.write(&octets).await.map_err(SubmitError::Unreachable)?,
                Next::SendStuffed => {
                    let mut octets = Vec::with_capacity(submission.content.len() + 1024);
                    let mut stuffer = DotStuffer::default();
                    stuffer.encode(&submission.content, &mut octets);
                    stuffer.finish(&mut octets);
                    *sent = true;
                    line.write(&octets).await.map_err(SubmitError::Unreachable)?;
                }
                Next::SendChunk(mut octets) => {
                    octets.extend_from_slice(&submission.content);
                    *sent = true;
                    line.write(&octets).await.map_err(SubmitError::Unreachable)?;
                }
            }
            let reply = line.read().await.map_err(SubmitError::Unreachable)?;
            next = session.reply(reply);
        }
    }
}

fn transaction(submission: &Submission) -> Transaction {
    let mut addresses = submission.recipients.iter().chain([&submission.sender]);
    let to = |address: &Address| To { address: address.clone(), notify: None, original: None };
    Transaction {
        reverse_path: ReversePath::Address(submission.sender.clone()),
        recipients: submission.recipients.iter().map(to).collect(),
        size: u64::try_from(submission.content.len()).unwrap_or(u64::MAX),
        eight_bit: !submission.content.is_ascii(),
        smtp_utf8: addresses.any(Address::needs_utf8),
        require_tls: false,
        envelope_id: None,
        returned: None,
        all_or_none: true,
    }
}

/// One answer for the whole message.
fn judge(Verdict(answers): Verdict, submission: &Submission) -> Result<String, SubmitError> {
    let mut accepted = None;
    for (recipient, answer) in submission.recipients.iter().zip(answers) {
        match answer {
            Answer::Accepted(reply) => accepted = Some(words(&reply)),
            Answer::Refused(Step::Rcpt, reply) if reply.is_permanent() => {
                return Err(SubmitError::Recipient {
                    recipient: recipient.to_string(),
                    reason: words(&reply),
                });
            }
            Answer::Refused(Step::Rcpt, reply) => {
                return Err(SubmitError::Later(format!("{recipient}: {}", words(&reply))));
            }
            Answer::Refused(_, reply) if reply.is_permanent() => {
                return Err(SubmitError::Refused(words(&reply)));
            }
            Answer::Refused(_, reply) => return Err(SubmitError::Later(words(&reply))),
            Answer::Unfit(failure) => return Err(SubmitError::Refused(failure.to_string())),
            // The one that was refused says why.
            Answer::Open => {}
        }
    }
    accepted.ok_or_else(|| SubmitError::Later("the server gave no answer".to_owned()))
}

fn closed(failure: Failure, sent: bool) -> SubmitError {
    match failure {
        Failure::Refused { step: Step::Auth, reply } if reply.is_permanent() => SubmitError::Login,
        Failure::Refused { reply, .. } => SubmitError::Later(words(&reply)),
        // An answer to the whole message that is none.
        Failure::OutOfStep if sent => SubmitError::Unconfirmed,
        failure => SubmitError::Later(failure.to_string()),
    }
}

#[async_trait]
impl Submit for Smtp {
    async fn submit(&self, submission: Submission) -> Result<String, SubmitError> {
        let mut sent = false;
        let conversation = tokio::time::timeout(self.timeout, self.converse(&submission, &mut sent)).await;
        match conversation {
            // The whole message was on its way: nobody knows whether it was taken.
            Ok(Err(SubmitError::Unreachable(_))) | Err(_) if sent => Err(SubmitError::Unconfirmed),
            Ok(answer) => answer,
            Err(_) => Err(SubmitError::Unreachable(io::ErrorKind::TimedOut.into())),
        }
    }
}

/// A connection and what was read ahead of it.
struct Line {
    stream: Option<Stream>,
    reader: ReplyReader,
}

impl Line {
    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    async fn read(&mut self) -> io::Result<Reply> {
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

    async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let stream = self.stream()?;
        stream.write_all(octets).await?;
        stream.flush().await
    }

    async fn encrypt(&mut self, gateway: &crate::Submission) -> io::Result<()> {
        self.reader.clear();
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

/// What a server says, for a person: bounded, without controls.
fn words(reply: &Reply) -> String {
    reply.lines.join(" ").chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests;
