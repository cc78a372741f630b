//! The one thread that writes a process's log: it takes all who wait, writes once, syncs once and
//! answers all of them.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use envelope::{Envelope, MessageId};
use tokio::sync::{mpsc, oneshot};

use super::consumer::{Consumer, Fresh};
use super::record::{Batch, Kind, Payload, encode};
use super::segment::{LogWriter, Position};
use super::usage::Usage;
use crate::body::SpooledBody;
use crate::files::LockGuard;
use crate::metrics::Metrics;
use crate::{Config, Lane, PublishError};

/// A message whose publisher waits.
#[derive(Debug)]
pub(super) struct Publication {
    /// Encoded, with a blank salt.
    pub(super) record: Vec<u8>,
    pub(super) lane: Lane,
    pub(super) envelope: Envelope,
    /// The body when it is in the record, for the tail cache.
    pub(super) body: Option<Bytes>,
    /// The body's file, which is removed when the publication fails.
    pub(super) spooled: Option<SpooledBody>,
    pub(super) answer: oneshot::Sender<Result<(), PublishError>>,
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) config: Config,
    /// Nobody else writes under this name while the thread lives.
    pub(super) lock: LockGuard,
    pub(super) log: LogWriter,
    pub(super) usage: Usage,
    pub(super) consumer: Arc<Consumer>,
    pub(super) metrics: Metrics,
}

impl Committer {
    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut publications: mpsc::Receiver<Publication>) {
        while let Some(first) = publications.blocking_recv() {
            if self.consumer.crowd.is_there() {
                // On a busy machine whoever is about to publish goes first: what it brings shares the sync.
                std::thread::yield_now();
            }
            let mut size = first.record.len() as u64;
            let mut waiting = vec![first];
            while size < self.config.batch_max.as_u64()
                && waiting.len() < self.config.publishers_max
                && let Ok(next) = publications.try_recv()
            {
                size += next.record.len() as u64;
                waiting.push(next);
            }
            self.metrics.waiting_publishers.set(waiting.len() as i64);
            self.consumer.crowd.note(waiting.len());
            self.commit(waiting, size);
            self.metrics.waiting_publishers.set(0);
        }
        self.log.seal();
        drop(self.lock);
    }

    fn commit(&mut self, waiting: Vec<Publication>, size: u64) {
        match self.usage.refusal(size) {
            Ok(None) => {}
            Ok(Some(reason)) => {
                tracing::warn!(reason, "the queue is full, refusing messages");
                return self.refuse(waiting, "full", || PublishError::Full(reason.clone()));
            }
            Err(error) => return self.fail(waiting, &error),
        }
        self.metrics.used_bytes.set(i64::try_from(self.usage.bytes()).unwrap_or(i64::MAX));
        let mut batch = Batch::default();
        let starts: Vec<u64> = waiting.iter().map(|each| batch.push(&each.record)).collect();
        let started = Instant::now();
        let start = match self.write(&mut batch) {
            Ok(start) => start,
            Err(error) => return self.fail(waiting, &error),
        };
        self.metrics.sync_seconds.observe(started.elapsed().as_secs_f64());
        self.metrics.batch_messages.observe(waiting.len() as f64);
        self.metrics.published.inc_by(waiting.len() as u64);
        let segment = self.log.current().map(|(segment, _)| segment);
        self.log.mark(&mut marker());
        let end = self
            .log
            .current()
            .map_or(Position { offset: start.offset + batch.size(), ..start }, |(_, position)| position);
        let (mut fresh, mut answers) = (Vec::new(), Vec::new());
        for (publication, offset) in waiting.into_iter().zip(starts) {
            let Publication { record, lane, envelope, body, spooled, answer } = publication;
            let spool = spooled.as_ref().map(SpooledBody::name);
            spooled.into_iter().for_each(SpooledBody::hand_over);
            let (size, offset) = (record.len(), start.offset + offset);
            fresh.push(Fresh { lane, envelope, body, spool, size, offset });
            answers.push(answer);
        }
        if let Some(segment) = segment {
            self.consumer.arrived(start, end, &segment, fresh);
        }
        for answer in answers {
            // Who does not wait any more has its message stored all the same.
            let _ = answer.send(Ok(()));
        }
    }

    /// Writes into the open segment; when that fails, once more into a new one.
    fn write(&mut self, batch: &mut Batch) -> io::Result<Position> {
        let room = batch.size() + marker().size();
        if self.log.is_full_for(room) {
            self.log.begin(&mut std::iter::empty(), room)?;
        }
        self.log.write(batch).or_else(|error| {
            tracing::error!(%error, "failed to write the queue's log, going on in a new segment");
            self.metrics.condemned.inc();
            self.log.begin(&mut std::iter::empty(), room)?;
            self.log.write(batch)
        })
    }

    fn fail(&self, waiting: Vec<Publication>, error: &io::Error) {
        tracing::error!(%error, messages = waiting.len(), "failed to store messages in the queue");
        let mut waiting = waiting;
        for publication in &mut waiting {
            // After a crash the record may be found all the same: then the body must be there too. If it
            // is not found, the body is an orphan that the next open removes.
            publication.spooled.take().into_iter().for_each(SpooledBody::hand_over);
        }
        self.refuse(waiting, "store", || {
            PublishError::Store(io::Error::new(error.kind(), error.to_string()))
        });
    }

    fn refuse(&self, waiting: Vec<Publication>, reason: &str, error: impl Fn() -> PublishError) {
        self.metrics.refused.with_label_values(&[reason]).inc_by(waiting.len() as u64);
        for publication in waiting {
            let _ = publication.answer.send(Err(error()));
        }
    }
}

/// A record that says that all before it is on disk.
fn marker() -> Batch {
    let mut batch = Batch::default();
    let id = MessageId::from_bytes([0; 16]);
    batch.extend(encode(Kind::Commit, Lane::Local, id, &[], Payload::Here(&[])));
    batch
}
