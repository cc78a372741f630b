//! A message on its way from the wire into the queue's body writer.

use std::io;
use std::time::Duration;

use envelope::{Address, MessageId, Priority};
use queue::{Body, BodyWriter};
use runtime::HeldMemory;
use smtp_proto::{Poison, Reply};
use tokio::time::timeout;

use super::binary::Unfit;
use super::header::{self, Header, HeaderLimits};
use crate::reply;
use crate::session::{Refused, Shared};

/// Gathers the header section, judges it, then hands everything on.
pub(super) struct Intake {
    stage: Stage,
    /// Goes in front: the `Received` field.
    trace: Vec<u8>,
    /// Set on submission: the id from which a missing Message-ID is made.
    submitted: Option<MessageId>,
    hostname: String,
    limits: HeaderLimits,
    size: u64,
    /// The Message-ID field's value, for the trail.
    message_id: String,
    priority: Priority,
    authors: Vec<Address>,
    /// How long the disk may take over one step.
    wait: Duration,
    memory: HeldMemory,
    /// Memory was short: what comes goes to the disk, a little at a time.
    spilled: bool,
}

/// A whole message.
pub(super) struct Taken {
    pub(super) body: Body,
    /// Octets of the trace field in front.
    pub(super) trace: usize,
    /// The Message-ID field's value, for the trail.
    pub(super) message_id: String,
    pub(super) priority: Priority,
    /// Whom the From fields name, on submission.
    pub(super) authors: Vec<Address>,
    /// Held until the message is with the queue.
    pub(super) memory: HeldMemory,
}

enum Stage {
    /// The header section is not complete.
    Header { head: Vec<u8>, writer: BodyWriter },
    /// The rest goes straight on.
    Text(BodyWriter),
    /// What follows is dropped.
    Failed(Fault),
}

/// Why a message is refused after it was read.
#[derive(Debug)]
pub(super) enum Fault {
    /// More fields than the limit.
    HeaderFields,
    /// A larger header section than the limit.
    HeaderSize,
    /// More hops than the limit.
    Loop,
    /// All messages on their way in take too much.
    Memory,
    /// Wrong octets.
    Poison(Poison),
    /// Binary parts that can't be made text.
    Unfit(Unfit),
    /// The queue's spool file.
    Spool(io::Error),
}

impl Fault {
    pub(super) fn reason(&self) -> Refused {
        match self {
            Self::HeaderFields | Self::HeaderSize => Refused::HeaderTooBig,
            Self::Loop => Refused::Loop,
            Self::Memory => Refused::Memory,
            Self::Poison(Poison::BareCr | Poison::BareLf) => Refused::BareCrOrLf,
            Self::Poison(Poison::LineTooLong) => Refused::LineTooLong,
            Self::Poison(Poison::MessageTooBig) => Refused::MessageTooBig,
            Self::Poison(Poison::Nul) => Refused::Nul,
            Self::Unfit(_) => Refused::NotConverted,
            Self::Spool(error) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refused::QueueFull,
                _ => Refused::QueueFailed,
            },
        }
    }

    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::HeaderFields => reply::header_fields(),
            Self::HeaderSize => reply::header_too_big(),
            Self::Loop => reply::routing_loop(),
            Self::Memory => reply::memory_short(),
            Self::Poison(poison) => reply::poisoned(*poison),
            Self::Unfit(unfit) => reply::not_converted(*unfit),
            Self::Spool(_) if self.reason() == Refused::QueueFull => reply::queue_full(),
            Self::Spool(_) => reply::queue_failed(),
        }
    }
}

impl Intake {
    pub(super) fn new(trace: Vec<u8>, submitted: Option<MessageId>, shared: &Shared) -> Self {
        let limits = &shared.config.limits;
        Self {
            stage: Stage::Header { head: Vec::new(), writer: shared.queue.body_writer() },
            trace,
            submitted,
            hostname: shared.hostname.to_string(),
            limits: HeaderLimits {
                size_max: limits.header_size_max.as_usize(),
                fields_max: limits.header_fields_max,
                received_max: limits.received_fields_max,
            },
            size: 0,
            message_id: String::new(),
            priority: Priority::Interactive,
            authors: Vec::new(),
            wait: shared.config.timeouts.publish.as_duration(),
            memory: shared.message_memory.hold(),
            spilled: false,
        }
    }

    /// Octets that came.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    pub(super) const fn has_failed(&self) -> bool {
        matches!(self.stage, Stage::Failed(_))
    }

    /// The first fault stays; what was written goes away with its writer.
    pub(super) fn fail(&mut self, fault: Fault) {
        if !self.has_failed() {
            self.stage = Stage::Failed(fault);
            self.memory.release();
        }
    }

    /// Memory is short: a text goes on to the disk, a header section can't.
    async fn spill(&mut self) {
        let spilled = match &mut self.stage {
            Stage::Text(writer) => within(self.wait, writer.spill()).await,
            Stage::Header { .. } => Err(io::ErrorKind::Unsupported.into()),
            Stage::Failed(_) => return,
        };
        match spilled {
            Ok(()) => {
                self.spilled = true;
                self.memory.release();
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.fail(Fault::Memory),
            Err(error) => self.fail(Fault::Spool(error)),
        }
    }

    /// Takes more text.
    pub(super) async fn take(&mut self, text: &[u8]) {
        self.size = self.size.saturating_add(text.len() as u64);
        let held = match &self.stage {
            Stage::Header { head, .. } => head.len() as u64,
            Stage::Text(writer) => writer.buffered(),
            Stage::Failed(_) => 0,
        };
        if !self.spilled && !self.memory.grow_to(held.saturating_add(text.len() as u64)).await {
            self.spill().await;
        }
        match &mut self.stage {
            Stage::Failed(_) => {}
            Stage::Text(writer) => {
                if let Err(error) = within(self.wait, writer.write(text)).await {
                    self.fail(Fault::Spool(error));
                }
            }
            Stage::Header { head, .. } => {
                let seen = head.len();
                head.extend_from_slice(text);
                if header::is_complete(head, seen) || head.len() > self.limits.size_max {
                    self.end_header().await;
                }
            }
        }
    }

    /// The message is complete. Gives its octets, its Message-ID, and the memory to hold as long as the octets.
    pub(super) async fn finish(mut self) -> Result<Taken, Fault> {
        if matches!(self.stage, Stage::Header { .. }) {
            self.end_header().await;
        }
        match self.stage {
            Stage::Text(writer) => {
                let body = within(self.wait, writer.finish()).await.map_err(Fault::Spool)?;
                let Self { trace, message_id, priority, authors, memory, .. } = self;
                Ok(Taken { body, trace: trace.len(), message_id, priority, authors, memory })
            }
            Stage::Failed(fault) => Err(fault),
            Stage::Header { .. } => Err(Fault::HeaderSize),
        }
    }

    /// Judges the header section and writes it, with what belongs in front of it and into it.
    async fn end_header(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Failed(Fault::HeaderSize));
        let Stage::Header { head, mut writer } = stage else {
            self.stage = stage;
            return;
        };
        self.stage = match self.write_header(&head, &mut writer).await {
            Ok(()) => Stage::Text(writer),
            Err(fault) => Stage::Failed(fault),
        };
        if self.has_failed() {
            self.memory.release();
        }
    }

    async fn write_header(&mut self, head: &[u8], writer: &mut BodyWriter) -> Result<(), Fault> {
        let header = Header::scan(head, self.limits)?;
        self.message_id = header.message_id.clone().unwrap_or_default();
        self.priority = header.priority;
        let (_, rest) = head.split_at_checked(header.end).unwrap_or((head, &[]));
        let mut front = self.trace.clone();
        front.extend_from_slice(&header.kept(head, self.submitted.is_some()));
        if let Some(id) = self.submitted {
            self.authors = header::authors(head.get(..header.end).unwrap_or_default());
            // RFC 6409 §8.2, §8.3: a submission server adds what the client forgot.
            let (missing, message_id) = header.missing(id, &self.hostname);
            front.extend_from_slice(&missing);
            self.message_id = message_id;
        }
        if header.separator_missing {
            front.extend_from_slice(b"\r\n");
        }
        within(self.wait, writer.write(&front)).await.map_err(Fault::Spool)?;
        within(self.wait, writer.write(rest)).await.map_err(Fault::Spool)
    }
}

/// A disk that hangs must not hold the session for ever; what was spooled goes away with its writer.
pub(super) async fn within<T>(wait: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(wait, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_a_temporary_refusal() {
        let hangs = within(Duration::from_secs(120), std::future::pending::<io::Result<()>>());
        let fault = Fault::Spool(hangs.await.unwrap_err());
        assert_eq!(fault.reason(), Refused::QueueFailed);
        assert!(fault.reply().to_string().starts_with("451"), "{}", fault.reply());
    }
}
