//! Looks at the queue without disturbing it.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use envelope::{MessageId, Timestamp};
use queue::embedded::{Snapshot, inspect};
use queue::{Backend, LaneStats, ListFilter, Listed, Queue, QueuedState};
use tokio::runtime::Runtime;

use crate::arguments::Place;
use crate::data::DataFolder;
use crate::queues::WithoutBroker;
use crate::settings::Settings;

/// Of a listing of messages.
pub(crate) const HEADINGS: [&str; 8] =
    ["id", "lane", "state", "tries", "next", "sender", "recipients", "last error"];

/// What waits.
pub(crate) enum View {
    /// The files of the embedded queue; a running process is not disturbed.
    Files(Box<Snapshot>),
    /// The broker's queues.
    Broker(Runtime, Arc<dyn Queue>),
}

impl View {
    pub(crate) fn open(place: &Place) -> anyhow::Result<Self> {
        Self::open_either(place, false)
    }

    /// The queue, or with RabbitMQ this node's own log of what it accepted while the broker was away.
    pub(crate) fn open_either(place: &Place, spill: bool) -> anyhow::Result<Self> {
        DataFolder::open(&place.data)?;
        let settings = Settings::load(place)?;
        let view = if spill { Self::of_files(&settings)? } else { Self::of(&settings)? };
        view.with_context(|| format!("there is no queue in `{}`", settings.queue.dir.display()))
    }

    /// None when there is no queue yet.
    pub(crate) fn of(settings: &Settings) -> anyhow::Result<Option<Self>> {
        if settings.queue.backend == Backend::Rabbitmq {
            let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let executor = executor.context("failed to start")?;
            let registry = prometheus::Registry::new();
            let opening = crate::queues::open(settings, "command", WithoutBroker::Wait, &registry);
            let queue = executor.block_on(opening)?;
            return Ok(Some(Self::Broker(executor, queue)));
        }
        Self::of_files(settings)
    }

    /// What is in `queue.dir`.
    pub(crate) fn of_files(settings: &Settings) -> anyhow::Result<Option<Self>> {
        if !settings.queue.dir.exists() {
            return Ok(None);
        }
        let snapshot = inspect(&settings.queue.dir).context("failed to read the queue")?;
        Ok(Some(Self::Files(Box::new(snapshot))))
    }

    pub(crate) fn list(&self, filter: &ListFilter, limit: usize) -> anyhow::Result<Vec<Listed>> {
        match self {
            Self::Files(snapshot) => Ok(snapshot.list(filter, limit)),
            Self::Broker(executor, queue) => Ok(executor.block_on(queue.list(filter, limit))?),
        }
    }

    pub(crate) fn find(&self, id: MessageId) -> anyhow::Result<Option<Listed>> {
        match self {
            Self::Files(snapshot) => Ok(snapshot.find(id)?),
            Self::Broker(executor, queue) => Ok(executor.block_on(queue.find(id))?),
        }
    }

    pub(crate) fn content(&self, id: MessageId) -> anyhow::Result<Option<Bytes>> {
        match self {
            Self::Files(snapshot) => Ok(snapshot.body(id)?),
            Self::Broker(executor, queue) => Ok(executor.block_on(queue.content(id))?),
        }
    }

    pub(crate) fn stats(&mut self) -> anyhow::Result<Vec<LaneStats>> {
        match self {
            Self::Files(snapshot) => Ok(snapshot.stats()),
            Self::Broker(executor, queue) => Ok(executor.block_on(queue.stats())?),
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Self::Broker(executor, queue) = self {
            executor.block_on(queue.close());
        }
    }
}

pub(crate) fn row(message: &Listed) -> Vec<String> {
    let recipients: Vec<String> = message.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    let state = match message.state {
        QueuedState::Deferred => "deferred",
        QueuedState::Held => "held",
        QueuedState::Leased => "leased",
        QueuedState::Ready => "ready",
    };
    vec![
        message.envelope.id.to_string(),
        message.lane.to_string(),
        state.to_owned(),
        message.attempts.to_string(),
        until(message.next_attempt),
        format!("<{}>", message.envelope.reverse_path),
        recipients.join(","),
        message.last_error.clone(),
    ]
}

pub(crate) fn age(since: Timestamp) -> String {
    units::Span::secs(now().since(since).as_secs()).to_string()
}

pub(crate) fn until(due: Timestamp) -> String {
    let seconds = due.since(now()).as_secs();
    if seconds == 0 { "now".to_owned() } else { units::Span::secs(seconds).to_string() }
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}
