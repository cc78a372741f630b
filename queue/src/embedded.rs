//! The queue of the product: logs in a directory on a local disk, no other service.
//!
//! ```text
//!  <dir>/log/<writer>/lock            held by the process that publishes under this name
//!                    /<seq>.seg       what it published: records, one write and one sync a batch
//!       /spool/<writer>/<id>-<n>.body bodies too large for the log
//!                      /<n>.tmp       bodies on their way
//!       /consumer/lock                held by the one process that works the queue
//!                /<seq>.log           what it decided; begins with all that still matters
//!                /at-hand             which messages workers have now
//!       /orders/<id>.order            what an operator wants done with messages that wait
//! ```
//!
//! **Invariant:** every process writes only its own files, so that the crash of one spoils nothing of
//! another's. The consumer alone removes segments and body files; writers only what has no name yet.
//! Messages are known by id, never by position.
//!
//! # Publishing
//!
//! ```text
//!  publishers ──→ bounded channel ──→ committer thread: write, fdatasync ──→ all are answered
//!      └ encode, checksum, sync and name the body file            │
//!                                                                 ├─ commit marker (not synced)
//!                                                                 └─ hands the batch to the consumer here
//! ```
//! A reader in another process believes a living log up to the last commit marker, so that it never
//! leases what its publisher may still be told was refused. It believes a segment to its end when there
//! is a later one, or when nobody holds the writer's lock (then it syncs the file first). After a failed
//! write the header of the next segment says how much of the failed one counts (a *cut*).
//!
//! # Consuming
//!
//! The first `lease` makes this process wait for the consumer's lock; whoever gets it replays the
//! decisions, begins a log with a snapshot of them, and leases while it is still reading the segments.
//! Decisions are made durable as publications are: in batches, by one thread.
//!
//! A segment is removed when it is read to its end and all its messages have left; what is remembered of
//! them is dropped only after the removal is durable. One message that stays (a dead letter) keeps its
//! segment.
//!
//! # After a crash
//!
//! ```text
//!  torn record at the end of a log      ends the segment: nobody was answered for it
//!  damaged record                       skipped: the next one is found by the segment's random number
//!  damaged segment header               there is a second copy, and the records carry the number too
//!  damaged decision                     its messages are leased again
//!  message that a worker had            leased again; after `ends_max` times a dead letter
//!  record without its body file         a dead letter
//!  body file without a record           removed when its writer opens again, or with its directory
//!  segment draft, body on its way       removed when its writer opens again
//!  writer that never comes back         its files go when its messages have left
//! ```

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use envelope::{Envelope, MessageId};
use tokio::sync::{mpsc, oneshot};

use crate::body::{SpoolPlace, blocking};
use crate::files::{Files, LockGuard, RealFiles};
use crate::metrics::Metrics;
use crate::schedule::{Slot, now};
use crate::{
    Body, BodyWriter, Config, Lane, LaneStats, Lease, ListFilter, Listed, Order, Ordered, PublishError,
    Queue, QueueError,
};

mod at_hand;
mod cleanup;
mod committer;
mod consumer;
mod crowd;
mod inspect;
mod lease;
mod orders;
mod read;
mod reader;
mod record;
mod scan;
mod segment;
mod settle;
mod spare;
mod state;
#[cfg(test)]
mod tests;
mod usage;

use committer::{Committer, Publication};
use consumer::Consumer;
pub use inspect::{Snapshot, inspect};
use orders::Pending;
use record::{Kind, Payload, encode};
use scan::{Extent, Segment, open_all, pass};
use segment::{LogWriter, START};
use state::{Place, Turns, spool_path};
use usage::Usage;

/// How long an open waits for a lock that a consumer holds for a moment to see whether the writer is gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How often the answer to an order is looked for.
const ANSWER_POLL: Duration = Duration::from_millis(20);

/// The queue in a directory, as one process uses it: it writes its own log, and works the queue when
/// it asks for leases and no other process does.
#[derive(Debug)]
pub struct EmbeddedQueue {
    files: Arc<dyn Files>,
    config: Config,
    writer: Arc<str>,
    consumer: Arc<Consumer>,
    sender: Mutex<Option<mpsc::Sender<Publication>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedQueue {
    /// Opens the queue in `config.dir`, making it if need be, to publish under the name `writer`
    /// (letters, digits, `-`): one process of that name at a time, such as `gateway`, `worker` or `up`.
    /// Blocks.
    pub fn open(config: &Config, writer: &str, registry: &prometheus::Registry) -> Result<Self, QueueError> {
        Self::open_in(Arc::new(RealFiles), config, writer, registry)
    }

    /// As [`Self::open`], but messages come out in the order in which they came, whoever sent them.
    pub(crate) fn open_in_order(
        config: &Config,
        writer: &str,
        registry: &prometheus::Registry,
    ) -> Result<Self, QueueError> {
        Self::open_with(Arc::new(RealFiles), config, writer, registry, Turns::InOrder)
    }

    pub(crate) fn open_in(
        files: Arc<dyn Files>,
        config: &Config,
        writer: &str,
        registry: &prometheus::Registry,
    ) -> Result<Self, QueueError> {
        Self::open_with(files, config, writer, registry, Turns::Fair)
    }

    fn open_with(
        files: Arc<dyn Files>,
        config: &Config,
        writer: &str,
        registry: &prometheus::Registry,
        turns: Turns,
    ) -> Result<Self, QueueError> {
        let log = config.dir.join("log").join(writer);
        let spool = config.dir.join("spool").join(writer);
        let failed =
            |step, path: &Path, source| QueueError::Io { step, path: path.display().to_string(), source };
        if writer.is_empty() || !writer.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let source =
                io::Error::new(io::ErrorKind::InvalidInput, "a writer's name is letters, digits and -");
            return Err(failed("use", &log, source));
        }
        let guard = lock_writer(&*files, &log)
            .map_err(|source| failed("lock", &log, source))?
            .ok_or_else(|| QueueError::InUse(log.join("lock").display().to_string()))?;
        for directory in [&spool, &config.dir.join("consumer")] {
            files.create_directory(directory).map_err(|source| failed("create", directory, source))?;
        }
        sync_names(&*files, &config.dir).map_err(|source| failed("sync", &config.dir, source))?;
        remove_orphans(&*files, &config.dir, writer).map_err(|source| failed("clean", &spool, source))?;
        let metrics = Metrics::new(registry)
            .map_err(|error| failed("register metrics of", &log, io::Error::other(error)))?;
        let reserve = config.segment_size.as_u64();
        let mut log_writer = LogWriter::open(Arc::clone(&files), log.clone(), "seg", reserve)
            .map_err(|source| failed("open", &log, source))?;
        // A successor tells readers that what an earlier process left unfinished will not grow. With a full
        // disk the first publish tries again; a worker must come up all the same to empty the queue.
        if let Err(error) = log_writer.begin(&mut std::iter::empty(), 0) {
            tracing::warn!(%error, log = %log.display(), "failed to begin a segment of the queue's log");
        }
        let writer: Arc<str> = writer.into();
        let consumer =
            Consumer::new(Arc::clone(&files), config.clone(), Arc::clone(&writer), metrics.clone(), turns);
        let consumer = Arc::new(consumer);
        let (free_space_min, bytes_max) = (config.free_space_min.as_u64(), config.queued_bytes_max.as_u64());
        metrics.limit_bytes.set(i64::try_from(bytes_max).unwrap_or(i64::MAX));
        metrics.waiting_publishers_limit.set(i64::try_from(config.publishers_max).unwrap_or(i64::MAX));
        metrics.cached_limit_bytes.set(i64::try_from(config.tail_cache_max.as_u64()).unwrap_or(i64::MAX));
        let usage = Usage::new(Arc::clone(&files), config.dir.clone(), free_space_min, bytes_max);
        let committer = Committer {
            config: config.clone(),
            lock: guard,
            log: log_writer,
            usage,
            consumer: Arc::clone(&consumer),
            metrics,
        };
        let (sender, publications) = mpsc::channel(config.publishers_max);
        let committer = std::thread::Builder::new()
            .name("queue-committer".to_owned())
            .spawn(move || committer.run(publications))
            .map_err(|source| failed("start a thread for", &log, source))?;
        Ok(Self {
            files,
            config: config.clone(),
            writer,
            consumer,
            sender: Mutex::new(Some(sender)),
            committer: Mutex::new(Some(committer)),
        })
    }

    /// Whether this process works the queue, rather than another or none.
    pub fn is_consumer(&self) -> bool {
        self.consumer.lock().active
    }

    /// Whether it has read what was there when it began to: before that its figures say little.
    pub(crate) fn knows_all(&self) -> bool {
        let inner = self.consumer.lock();
        inner.active && inner.complete
    }

    fn sender(&self) -> Option<mpsc::Sender<Publication>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Moves the body to where a record may refer to it.
    async fn settle_body(&self, id: MessageId, body: Body) -> io::Result<Body> {
        let spooled = match body {
            Body::Memory(bytes) if bytes.len() <= self.config.inline_max.as_usize() => {
                return Ok(Body::Memory(bytes));
            }
            Body::Memory(bytes) => {
                let mut writer = self.body_writer();
                writer.write(&bytes).await?;
                writer.finish().await?
            }
            spooled @ Body::Spooled(_) => spooled,
        };
        let Body::Spooled(mut spooled) = spooled else { return Ok(spooled) };
        let path = spool_path(&self.config.dir, &self.writer, id, spooled.name());
        blocking(move || spooled.rename(path).map(|()| Body::Spooled(spooled))).await
    }

    fn encode(&self, lane: Lane, envelope: Envelope, body: Body) -> Option<(Publication, Answer)> {
        let json = serde_json::to_vec(&envelope).ok()?;
        let (answer, answered) = oneshot::channel();
        let (record, body, spooled) = match body {
            Body::Memory(bytes) => {
                (encode(Kind::Inline, lane, envelope.id, &json, Payload::Here(&bytes))?, Some(bytes), None)
            }
            Body::Spooled(spooled) => {
                let payload =
                    Payload::Elsewhere { size: spooled.size(), crc: spooled.crc(), name: spooled.name() };
                (encode(Kind::Spooled, lane, envelope.id, &json, payload)?, None, Some(spooled))
            }
        };
        Some((Publication { record, lane, envelope, body, spooled, answer }, answered))
    }

    /// Looks through `look` at the schedule of this process; none when another works the queue, or when
    /// `look` finds nothing in logs that have not been read to their end yet.
    fn schedule<T>(&self, look: impl FnOnce(&mut state::State, bool) -> Option<T>) -> Option<T> {
        let mut inner = self.consumer.lock();
        let complete = inner.complete;
        if inner.active { look(&mut inner.state, complete) } else { None }
    }

    /// Looks at the files, since another process works the queue.
    async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(Snapshot) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let (files, directory) = (Arc::clone(&self.files), self.config.dir.clone());
        let looked = move || inspect::inspect_in(&files, &directory).and_then(look);
        tokio::task::spawn_blocking(looked)
            .await
            .unwrap_or_else(|error| Err(self.failed(io::Error::other(error))))
    }

    fn failed(&self, source: io::Error) -> QueueError {
        self.failed_to("read the queue in", source)
    }

    fn failed_to(&self, step: &'static str, source: io::Error) -> QueueError {
        QueueError::Io { step, path: self.config.dir.display().to_string(), source }
    }

    async fn listed(
        &self,
        messages: Vec<(MessageId, Option<Segment>, Slot<Place>)>,
        filter: ListFilter,
        limit: usize,
    ) -> Result<Vec<Listed>, QueueError> {
        let list = move || {
            let now = now();
            messages
                .iter()
                .filter_map(|(id, segment, slot)| inspect::listed(segment.as_ref(), *id, slot, now).ok())
                .filter(|listed| filter.fits(listed, now))
                .take(limit)
                .collect()
        };
        tokio::task::spawn_blocking(list).await.map_err(|error| self.failed(io::Error::other(error)))
    }
}

type Answer = oneshot::Receiver<Result<(), PublishError>>;

#[async_trait]
impl Queue for EmbeddedQueue {
    fn body_writer(&self) -> BodyWriter {
        let place = SpoolPlace {
            files: Arc::clone(&self.files),
            directory: self.config.dir.join("spool").join(&*self.writer),
            free_space_min: self.config.free_space_min.as_u64(),
        };
        BodyWriter::spooling(self.config.inline_max.as_usize(), place)
    }

    async fn publish(&self, lane: Lane, envelope: Envelope, body: Body) -> Result<(), PublishError> {
        let sender = self.sender().ok_or(PublishError::Closing)?;
        let body = self.settle_body(envelope.id, body).await.map_err(PublishError::Store)?;
        let too_large = || PublishError::Store(io::Error::other("the message does not fit into a record"));
        let (publication, answered) = self.encode(lane, envelope, body).ok_or_else(too_large)?;
        sender.send(publication).await.map_err(|_| PublishError::Closing)?;
        drop(sender);
        let ended = || PublishError::Store(io::Error::other("the committing thread has ended"));
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn lease(&self, lane: Lane) -> Result<Lease, QueueError> {
        self.consumer.lease(lane).await
    }

    async fn stats(&self) -> Result<Vec<LaneStats>, QueueError> {
        match self.schedule(|state, _| Some(state.schedule.stats(now()))) {
            Some(stats) => Ok(stats),
            None => self.inspect(|mut snapshot| Ok(snapshot.stats())).await,
        }
    }

    async fn list(&self, filter: &ListFilter, limit: usize) -> Result<Vec<Listed>, QueueError> {
        let filter = filter.clone();
        let messages = self.schedule(|state, complete| {
            let messages = state.schedule.by_age(filter.lane);
            // Without any filter but the lane the first ones are the right ones.
            let only_lane = filter == ListFilter { lane: filter.lane, ..ListFilter::default() };
            let enough = if only_lane { limit } else { usize::MAX };
            complete.then(|| messages.take(enough).map(|(id, slot)| state.located(id, slot)).collect())
        });
        match messages {
            Some(messages) => self.listed(messages, filter, limit).await,
            None => self.inspect(move |snapshot| Ok(snapshot.list(&filter, limit))).await,
        }
    }

    async fn find(&self, id: MessageId) -> Result<Option<Listed>, QueueError> {
        let known = self.schedule(|state, complete| {
            let message = state.schedule.slot(id).map(|slot| state.located(id, slot));
            (complete || message.is_some()).then_some(message)
        });
        match known {
            Some(None) => Ok(None),
            Some(Some(message)) => {
                Ok(self.listed(vec![message], ListFilter::default(), 1).await?.into_iter().next())
            }
            None => self.inspect(move |snapshot| snapshot.find(id)).await,
        }
    }

    async fn content(&self, id: MessageId) -> Result<Option<Bytes>, QueueError> {
        self.inspect(move |snapshot| snapshot.body(id)).await
    }

    /// Asks the process that works the queue, which is this one when no other does.
    async fn order(&self, filter: &ListFilter, order: Order) -> Result<Ordered, QueueError> {
        self.consumer.start()?;
        let wait = self.config.order_wait_max.as_duration();
        let (files, directory, filter) = (Arc::clone(&self.files), self.config.dir.clone(), filter.clone());
        let failed = |source| self.failed_to("give an order to", source);
        let id = new_id().map_err(failed)?;
        let ask = move || Pending::ask(&files, &directory, id, &filter, order, wait);
        let pending = Arc::new(blocking(ask).await.map_err(failed)?);
        // Twice: once until it is begun, once until it is done.
        for begun in [false, true] {
            let deadline = Instant::now() + wait;
            while Instant::now() < deadline {
                let asked = Arc::clone(&pending);
                match blocking(move || asked.answer()).await.map_err(failed)? {
                    Some(Ok(ordered)) => return Ok(ordered),
                    Some(Err(error)) => return Err(failed(io::Error::other(error))),
                    None => tokio::time::sleep(ANSWER_POLL).await,
                }
            }
            let asked = Arc::clone(&pending);
            if !begun && blocking(move || asked.take_back()).await.map_err(failed)? {
                return Err(QueueError::Unworked(self.config.dir.display().to_string()));
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::TimedOut, "it was begun, and no answer has come")))
    }

    fn is_crowded(&self) -> bool {
        self.consumer.crowd.is_there()
    }

    async fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let consumer = Arc::clone(&self.consumer);
        let ended = tokio::task::spawn_blocking(move || {
            let committed = committer.is_none_or(|committer| committer.join().is_ok());
            consumer.close();
            committed
        });
        if !matches!(ended.await, Ok(true)) {
            tracing::error!("the queue's committing thread has panicked");
        }
    }
}

impl Drop for EmbeddedQueue {
    fn drop(&mut self) {
        // The committer ends by itself when it has answered all, since its last sender goes with this.
        self.consumer.stop();
    }
}

/// A process that was killed may have made a directory and not come to the sync of its name: what is published into it
/// would not outlive a power cut.
fn sync_names(files: &dyn Files, directory: &Path) -> io::Result<()> {
    for part in [&directory.join("log"), &directory.join("spool"), directory] {
        files.sync_directory(part)?;
    }
    match directory.parent().map_or(Ok(()), |parent| files.sync_directory(parent)) {
        // An operator's own directory, made by the operator.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Takes the writer's name. A consumer may hold the lock for a moment, or be removing the directory.
fn lock_writer(files: &dyn Files, log: &Path) -> io::Result<Option<LockGuard>> {
    let started = Instant::now();
    loop {
        files.create_directory(log)?;
        match files.try_lock(&log.join("lock")) {
            Ok(Some(guard)) => return Ok(Some(guard)),
            Ok(None) if started.elapsed() > LOCK_PATIENCE => return Ok(None),
            Err(error) if error.kind() != io::ErrorKind::NotFound || started.elapsed() > LOCK_PATIENCE => {
                return Err(error);
            }
            Ok(None) | Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Removes body files that an earlier process of this name left without a record.
fn remove_orphans(files: &dyn Files, directory: &Path, writer: &str) -> io::Result<()> {
    let spool = directory.join("spool").join(writer);
    let mut bodies: Vec<PathBuf> = Vec::new();
    for name in files.list(&spool)? {
        if name.ends_with(".tmp") {
            files.remove(&spool.join(name))?;
        } else {
            bodies.push(spool.join(name));
        }
    }
    if bodies.is_empty() {
        return Ok(());
    }
    let log = directory.join("log").join(writer);
    let mut recorded = HashSet::new();
    for (_, segment, cut) in open_all(files, &log)? {
        for message in pass(&segment, START, Extent::Sealed(cut), usize::MAX)?.messages {
            recorded.extend(message.spool.map(|name| spool_path(directory, writer, message.header.id, name)));
        }
    }
    for body in bodies.iter().filter(|body| !recorded.contains(*body)) {
        match files.remove(body) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A name for an order.
fn new_id() -> io::Result<MessageId> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(MessageId::new(now().unix_milliseconds(), random))
}
