//! One connection to one milter.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use milter_proto::{Answer, Command, Event, Macros, Modification, Session, Step, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Milter;
use super::failure::Failure;
use crate::peer::{Permit, Stream};

/// Octets of commands that nobody answers, collected before they are written.
const WRITE_AT: usize = 64 * 1024;
/// Octets read at once.
const READ_AT: usize = 8 * 1024;

/// A connection, and what the milter was told on it.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    session: Session,
    input: BytesMut,
    output: Vec<u8>,
    permit: Permit,
    /// Set while something is being written or waited for: whoever finds it set knows that the waiting was given up, and nobody knows where the two sides are.
    busy: bool,
    /// Whether the milter has been told of the client.
    pub(super) introduced: bool,
    /// Whether it knows what the client calls itself now.
    pub(super) greeted: bool,
    command_max: Duration,
}

impl Link {
    /// Connects and agrees on the protocol.
    pub(super) async fn open(milter: &Milter) -> Result<Self, Failure> {
        let mut permit = milter.breaker.admit().ok_or(Failure::NotAsked)?;
        let deadline = Instant::now() + milter.config.connect_max.as_duration();
        let stream = match timeout_at(deadline, Stream::connect(&milter.config.address)).await {
            Ok(Ok(stream)) => stream,
            other => {
                permit.failed();
                return Err(other.map_or(Failure::ConnectTimeout, |result| match result {
                    Err(error) => Failure::Unreachable(error),
                    Ok(_) => Failure::ConnectTimeout,
                }));
            }
        };
        let mut output = Vec::new();
        let session = Session::open(milter.config.limits(), &mut output);
        let mut link = Self {
            stream,
            session,
            input: BytesMut::new(),
            output,
            permit,
            busy: true,
            introduced: false,
            greeted: false,
            command_max: milter.config.command_max.as_duration(),
        };
        let agreed = link.negotiate(deadline).await;
        link.busy = false;
        if agreed.is_err() {
            link.permit.failed();
        }
        agreed.map(|()| link)
    }

    async fn negotiate(&mut self, deadline: Instant) -> Result<(), Failure> {
        let agree = async {
            self.flush(Step::Negotiate).await?;
            match self.event(Step::Negotiate).await? {
                Event::Negotiated => Ok(()),
                _ => Err(Failure::Closed(Step::Negotiate)),
            }
        };
        timeout_at(deadline, agree).await.unwrap_or(Err(Failure::ConnectTimeout))
    }

    /// Whether a message may begin on this connection: the last one is brought to its end, nothing was said since, and the milter is still there.
    pub(super) async fn is_fresh(&mut self) -> bool {
        if self.busy || self.session.abort(&mut self.output).is_err() {
            return false;
        }
        let written = timeout(self.command_max, self.flush(Step::Mail)).await;
        let mut octet = [0];
        let unread = self.stream.try_read(&mut octet);
        let quiet = unread.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        matches!(written, Ok(Ok(()))) && quiet && self.input.is_empty()
    }

    /// Ends a message that is open. A connection on which that can't be said is not used again.
    pub(super) async fn abort(&mut self) -> bool {
        if self.busy || self.session.abort(&mut self.output).is_err() {
            return false;
        }
        matches!(timeout(self.command_max, self.flush(Step::Mail)).await, Ok(Ok(())))
    }

    /// Whether the milter wants to hear of the message under way.
    pub(super) const fn wants_message(&self) -> bool {
        self.session.wants_message()
    }

    /// Whether a call was given up half-way.
    pub(super) const fn is_lost(&self) -> bool {
        self.busy
    }

    /// Whether a message is open here.
    pub(super) const fn in_message(&self) -> bool {
        self.session.in_message()
    }

    /// Sends a command and waits for its answer, if one is due: within `command_max` and `until`.
    pub(super) async fn ask(
        &mut self,
        command: &Command<'_>,
        macros: &Macros,
        until: Option<Instant>,
    ) -> Result<Answer, Failure> {
        let by = Instant::now() + self.command_max;
        let by = until.map_or(by, |until| until.min(by));
        self.ask_by(command, macros, by, &mut Vec::new()).await
    }

    /// Sends the end of a message and takes the changes and the answer.
    pub(super) async fn finish(
        &mut self,
        macros: &Macros,
        by: Instant,
    ) -> Result<(Answer, Vec<Modification>), Failure> {
        let mut changes = Vec::new();
        let answer = self.ask_by(&Command::EndOfMessage, macros, by, &mut changes).await?;
        self.permit.succeeded();
        Ok((answer, changes))
    }

    /// The milter has failed, and this connection with it.
    pub(super) fn failed(&mut self) {
        self.busy = true;
        self.permit.failed();
    }

    async fn ask_by(
        &mut self,
        command: &Command<'_>,
        macros: &Macros,
        by: Instant,
        changes: &mut Vec<Modification>,
    ) -> Result<Answer, Failure> {
        let Some(step) = command.step() else { return Ok(Answer::Continue) };
        let due = self
            .session
            .send(command, macros, &mut self.output)
            .map_err(|misuse| Failure::Misuse { step, misuse })?;
        if !due && self.output.len() < WRITE_AT && step != Step::EndOfMessage {
            return Ok(Answer::Continue);
        }
        self.busy = true;
        let answer =
            timeout_at(by, self.exchange(step, due, changes)).await.unwrap_or(Err(Failure::Timeout(step)))?;
        self.busy = false;
        Ok(answer)
    }

    async fn exchange(
        &mut self,
        step: Step,
        due: bool,
        changes: &mut Vec<Modification>,
    ) -> Result<Answer, Failure> {
        self.flush(step).await?;
        if !due {
            return Ok(Answer::Continue);
        }
        loop {
            match self.event(step).await? {
                Event::Answer(answer) => return Ok(answer),
                Event::Modification(change) => changes.push(change),
                Event::Progress | Event::Negotiated => {}
            }
        }
    }

    async fn flush(&mut self, step: Step) -> Result<(), Failure> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await.map_err(|error| Failure::Io { step, error })?;
            self.output.clear();
            self.output.shrink_to(WRITE_AT);
        }
        Ok(())
    }

    async fn event(&mut self, step: Step) -> Result<Event, Failure> {
        loop {
            let framed = frame(&self.input, self.session.packet_max());
            let framed = framed.map_err(|error| Failure::Fault { step, fault: error.into() })?;
            if let Some((packet, taken)) = framed {
                let event = self.session.receive(packet).map_err(|fault| Failure::Fault { step, fault });
                let _ = self.input.split_to(taken);
                return event;
            }
            self.input.reserve(READ_AT);
            self.stream.acknowledge_at_once();
            let read =
                self.stream.read_buf(&mut self.input).await.map_err(|error| Failure::Io { step, error })?;
            if read == 0 {
                return Err(Failure::Closed(step));
            }
        }
    }
}

impl Drop for Link {
    /// The polite end, if it goes without waiting.
    fn drop(&mut self) {
        if !self.busy && self.output.is_empty() {
            self.session.quit(&mut self.output);
            let _ = self.stream.try_write(&self.output);
            if self.introduced {
                self.permit.succeeded();
            }
        }
    }
}
