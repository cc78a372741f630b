//! The one reader of all logs, and the leases it gives.
//!
//! ```text
//!  idle ──first lease──→ standby ──lock──→ loading ──→ active ──close──→ (lock released)
//!                           ↑ poll            │ error: again after standby_interval
//!                           └─ another process is the consumer
//! ```

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use envelope::{Envelope, MessageId};
use tokio::sync::mpsc;

use super::at_hand::AtHand;
use super::crowd::Crowd;
use super::lease::{Held, Taken};
use super::read::{Unreadable, read_message};
use super::record::{Header, Kind};
use super::scan::{Segment, Sighting};
use super::segment::{Position, START};
use super::settle::Settling;
use super::state::{Cached, SegmentKey, State, Turns};
use crate::bells::Bells;
use crate::files::Files;
use crate::flow::Flow;
use crate::metrics::Metrics;
use crate::schedule::Take;
use crate::{Config, Lane, Lease, QueueError};

/// What a message in memory costs beside its octets, about: the envelope and its texts.
const CACHED_BESIDE: u64 = 768;

/// Shared by the committer, the reading thread, the settling thread and all leases.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) files: Arc<dyn Files>,
    pub(super) config: Config,
    /// Whose committer is in this process.
    pub(super) writer: Arc<str>,
    pub(super) metrics: Metrics,
    pub(super) turns: Turns,
    pub(super) bells: Bells,
    pub(super) at_hand: AtHand,
    pub(super) crowd: Crowd,
    pub(super) closing: AtomicBool,
    inner: Mutex<Inner>,
    wake: Condvar,
    /// Held while an order is carried out: two about the same messages would see each other half done.
    ordering: Mutex<()>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) state: State,
    /// This process is the consumer, and knows what was decided before.
    pub(super) active: bool,
    /// All logs have been read once.
    pub(super) complete: bool,
    /// There is something to read.
    poked: bool,
    /// How far the committer's own messages have been taken from it, without reading them.
    handed: Option<Position>,
    started: bool,
    pub(super) settle: Option<mpsc::Sender<Settling>>,
    thread: Option<JoinHandle<()>>,
}

/// A message that the committer of this process has just made durable.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) lane: Lane,
    pub(super) envelope: Envelope,
    pub(super) body: Option<Bytes>,
    /// Names the body's file.
    pub(super) spool: Option<u128>,
    pub(super) size: usize,
    pub(super) offset: u64,
}

impl Inner {
    /// Whether all that a writer wrote before this place is known: messages of one sender keep their order.
    fn has_read_to(&self, key: &SegmentKey, start: Position) -> bool {
        let segments = &self.state.segments;
        if start.offset > START {
            return segments.get(key).is_some_and(|known| known.offset == start.offset && !known.ended);
        }
        let before = segments.range(..key).next_back().filter(|(before, _)| before.writer == key.writer);
        // The reading thread may have been here already.
        let unread = segments.get(key).is_none_or(|known| known.offset == START && !known.ended);
        self.complete
            && unread
            && before.is_none_or(|(before, known)| {
                known.ended || self.handed == Some(Position { seq: before.seq, offset: known.offset })
            })
    }
}

impl Consumer {
    pub(super) fn new(
        files: Arc<dyn Files>,
        config: Config,
        writer: Arc<str>,
        metrics: Metrics,
        turns: Turns,
    ) -> Self {
        let state = State::of(&config, turns);
        let inner = Inner {
            state,
            active: false,
            complete: false,
            poked: false,
            handed: None,
            started: false,
            settle: None,
            thread: None,
        };
        let (closing, bells) = (AtomicBool::new(false), Bells::default());
        Self {
            files,
            config,
            writer,
            metrics,
            turns,
            bells,
            at_hand: AtHand::default(),
            crowd: Crowd::new(),
            closing,
            inner: Mutex::new(inner),
            wake: Condvar::new(),
            ordering: Mutex::new(()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Waits for a due message, becoming the consumer first if need be.
    pub(super) async fn lease(self: &Arc<Self>, lane: Lane) -> Result<Lease, QueueError> {
        self.start()?;
        loop {
            let mut held = self.bells.wait(lane, || self.take(lane)).await?;
            let Taken { place, cached, segment } = held.taken();
            let (id, attempts) = (held.id, held.attempts);
            self.at_hand.given(id);
            let read = match cached {
                Some(cached) => Ok(cached),
                None => {
                    let (files, directory) = (Arc::clone(&self.files), self.config.dir.clone());
                    let read = move || read_message(&*files, &directory, &segment, id, &place);
                    tokio::task::spawn_blocking(read)
                        .await
                        .unwrap_or_else(|error| Err(Unreadable::Io(std::io::Error::other(error))))
                }
            };
            match read {
                Ok((envelope, body)) => {
                    held.given(&envelope);
                    return Ok(Lease::new(envelope, body, attempts, Box::new(held)));
                }
                Err(error) => self.set_aside(held, &error).await?,
            }
        }
    }

    /// Takes what the committer has written, when all before it has been read; else the reading thread will.
    pub(super) fn arrived(&self, start: Position, end: Position, segment: &Segment, fresh: Vec<Fresh>) {
        let key = SegmentKey { writer: Arc::clone(&self.writer), seq: start.seq };
        let mut inner = self.lock();
        if !inner.active {
            return;
        }
        if !inner.has_read_to(&key, start) {
            inner.poked = true;
            self.wake.notify_all();
            return;
        }
        inner.handed = Some(end);
        let state = &mut inner.state;
        state.schedule.now();
        if start.offset == START {
            state.open_segment(&key, segment.clone());
        }
        let Some(known) = state.segments.get_mut(&key) else { return };
        known.offset = end.offset;
        let mut files = Vec::new();
        let mut lanes = Vec::with_capacity(fresh.len());
        for message in fresh {
            lanes.push(message.lane);
            files.extend(message.arrive(state, &key));
        }
        drop(inner);
        self.remove_bodies(&files);
        lanes.into_iter().for_each(|lane| self.bells.ring(lane));
    }

    /// Ends the threads; what waits is told that the queue is closing. Blocks.
    pub(super) fn close(&self) {
        self.stop();
        let thread = self.lock().thread.take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the queue's reading thread has panicked");
        }
    }

    /// Tells the threads to end, without waiting for them.
    pub(super) fn stop(&self) {
        self.closing.store(true, Ordering::Release);
        self.lock().settle = None;
        self.wake.notify_all();
        self.bells.ring_all();
    }

    /// Sleeps until there is something to read, the queue closes or `longest` has passed.
    pub(super) fn rest(&self, longest: std::time::Duration) {
        let inner = self.lock();
        if inner.poked || self.is_closing() {
            return;
        }
        let _ = self.wake.wait_timeout_while(inner, longest, |inner| !inner.poked && !self.is_closing());
    }

    /// Sleeps until the queue closes or `length` has passed.
    pub(super) fn pause(&self, length: std::time::Duration) {
        let _ = self.wake.wait_timeout_while(self.lock(), length, |_| !self.is_closing());
    }

    pub(super) fn ordering(&self) -> MutexGuard<'_, ()> {
        self.ordering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn unpoke(&self) {
        self.lock().poked = false;
    }

    /// Body files that nobody needs any more; what cannot be removed now is found again at the next start.
    pub(super) fn remove_bodies(&self, paths: &[PathBuf]) {
        for path in paths {
            match self.files.remove(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %path.display(), "failed to remove a body file");
                }
                _ => {}
            }
        }
    }

    /// Begins to wait for its turn to work the queue.
    pub(super) fn start(self: &Arc<Self>) -> Result<(), QueueError> {
        if self.is_closing() {
            return Err(QueueError::Closing);
        }
        let mut inner = self.lock();
        if inner.started {
            return Ok(());
        }
        let consumer = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("queue-reader".to_owned())
            .spawn(move || super::reader::Reader::new(consumer).run())
            .map_err(|source| QueueError::Io { step: "start a thread for", path: self.path(), source })?;
        inner.started = true;
        inner.thread = Some(thread);
        Ok(())
    }

    fn take(self: &Arc<Self>, lane: Lane) -> Result<Result<Held, QueueError>, Take> {
        if self.is_closing() {
            return Ok(Err(QueueError::Closing));
        }
        let mut inner = self.lock();
        if !inner.active {
            return Err(Take::Empty);
        }
        let now = inner.state.schedule.now();
        let id = match inner.state.schedule.take(lane, now) {
            Take::Leased(id) => id,
            nothing => return Err(nothing),
        };
        match Held::new(self, &mut inner, id) {
            Some(held) => Ok(Ok(held)),
            None => Err(Take::Empty),
        }
    }

    /// A message that cannot be read waits a while, or for an operator when waiting does not help.
    async fn set_aside(&self, held: Held, error: &Unreadable) -> Result<(), QueueError> {
        self.metrics.unreadable.inc();
        let id = held.id;
        if let Unreadable::Io(_) = error {
            tracing::warn!(%id, %error, "failed to read a queued message, trying again later");
            held.postpone(self.config.unreadable_retry.as_duration());
            return Ok(());
        }
        tracing::error!(%id, %error, "a queued message is damaged, it waits for an operator");
        if held.lane == Lane::Dead {
            held.postpone(self.config.unreadable_retry.as_duration());
            return Ok(());
        }
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        crate::Settle::settle(Box::new(held), crate::Settlement::Dead { reason: format!("{error}{cause}") })
            .await
    }

    pub(super) fn path(&self) -> String {
        self.config.dir.join("consumer").display().to_string()
    }
}

impl Fresh {
    fn arrive(self, state: &mut State, key: &SegmentKey) -> Option<PathBuf> {
        let Self { lane, envelope, body, spool, size, offset } = self;
        let kind = if spool.is_some() { Kind::Spooled } else { Kind::Inline };
        let (id, received_at): (MessageId, _) = (envelope.id, envelope.received_at);
        let (flow, priority) = (Flow::of(&envelope), envelope.priority);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let header = Header { kind, lane, id, envelope: 0, body: 0, size };
        let waits_for_a_worker = matches!(lane, Lane::Local | Lane::Remote);
        let cached = body.filter(|_| waits_for_a_worker).map(|body| {
            let size = CACHED_BESIDE + u64::from(size);
            Cached { envelope, body, size }
        });
        state.arrive(key, &Sighting { header, offset, received_at, flow, priority, spool }, cached)
    }
}
