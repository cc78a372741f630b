//! The one thread that writes the consumer's log: what was decided about messages.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use envelope::MessageId;
use tokio::sync::{mpsc, oneshot};

use super::consumer::Consumer;
use super::record::Batch;
use super::segment::{LogWriter, sequences};
use super::state::{Decision, encode_done, encode_waiting};
use crate::Lane;

/// A decision whose worker waits for it to be durable.
#[derive(Debug)]
pub(super) struct Settling {
    pub(super) id: MessageId,
    pub(super) lane: Lane,
    pub(super) decision: Decision,
    pub(super) answer: oneshot::Sender<io::Result<()>>,
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Settler {
    pub(super) consumer: Arc<Consumer>,
    pub(super) log: LogWriter,
}

/// The directory of the consumer's log.
pub(super) fn log_directory(consumer: &Consumer) -> PathBuf {
    consumer.config.dir.join("consumer")
}

impl Settler {
    /// Works until every sender is gone.
    pub(super) fn run(mut self, mut decisions: mpsc::Receiver<Settling>) {
        let most = self.consumer.config.publishers_max;
        while let Some(first) = decisions.blocking_recv() {
            let mut waiting = vec![first];
            while waiting.len() < most
                && let Ok(next) = decisions.try_recv()
            {
                waiting.push(next);
            }
            self.commit(waiting);
        }
        self.log.seal();
    }

    fn commit(&mut self, waiting: Vec<Settling>) {
        let mut batch = Batch::default();
        let mut done = Vec::new();
        for settling in &waiting {
            match &settling.decision {
                Decision::Done => done.push(settling.id),
                Decision::Waiting(decision) => batch.extend(encode_waiting(settling.id, decision)),
            }
        }
        if !done.is_empty() {
            batch.extend(encode_done(&done));
        }
        match self.write(&mut batch) {
            Ok(()) => self.apply(waiting),
            Err(error) => {
                tracing::error!(%error, "failed to record decisions, their messages go back");
                self.give_back(waiting, &error);
            }
        }
    }

    /// Writes into the open log; when that fails, once more into a new one.
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        if self.log.is_full_for(batch.size()) {
            self.renew(batch.size())?;
        }
        self.log.write(batch).map(drop).or_else(|error| {
            tracing::error!(%error, "failed to write the consumer's log, going on in a new one");
            self.consumer.metrics.condemned.inc();
            self.renew(batch.size())?;
            self.log.write(batch).map(drop)
        })
    }

    /// Begins a new log with everything that still matters, and removes those before it.
    fn renew(&mut self, room: u64) -> io::Result<()> {
        // Piece by piece, so that nobody waits long for the state: this thread alone changes decisions, and one about a message that is
        // found in between is in the first piece.
        let mut snapshot = (0..).map_while(|piece| self.consumer.lock().state.snapshot(piece));
        self.log.begin(&mut snapshot, room)?;
        remove_older(&self.consumer, &self.log);
        Ok(())
    }

    fn apply(&self, waiting: Vec<Settling>) {
        let (mut answers, mut lanes, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        let ids: Vec<MessageId> = waiting.iter().map(|settling| settling.id).collect();
        let mut inner = self.consumer.lock();
        for settling in waiting {
            match settling.decision {
                Decision::Done => bodies.extend(inner.state.finish(settling.id)),
                Decision::Waiting(decision) => {
                    lanes.push(decision.lane);
                    inner.state.defer(settling.id, decision);
                }
            }
            answers.push(settling.answer);
        }
        drop(inner);
        self.consumer.at_hand.settled(ids.into_iter());
        lanes.into_iter().for_each(|lane| self.consumer.bells.ring(lane));
        for answer in answers {
            let _ = answer.send(Ok(()));
        }
        self.consumer.remove_bodies(&bodies);
    }

    fn give_back(&self, waiting: Vec<Settling>, error: &io::Error) {
        let mut inner = self.consumer.lock();
        for settling in &waiting {
            inner.state.schedule.put_back(settling.id);
        }
        drop(inner);
        for settling in waiting {
            self.consumer.at_hand.given_back(settling.id);
            self.consumer.bells.ring(settling.lane);
            let _ = settling.answer.send(Err(io::Error::new(error.kind(), error.to_string())));
        }
    }
}

/// Removes the consumer's logs before the current one, which begins with all that matters of them.
pub(super) fn remove_older(consumer: &Consumer, log: &LogWriter) {
    let Some((_, current)) = log.current() else { return };
    let directory = log_directory(consumer);
    let older = sequences(&*consumer.files, &directory, "log").unwrap_or_default();
    for seq in older.into_iter().filter(|seq| *seq < current.seq) {
        let path = directory.join(super::segment::segment_name(seq, "log"));
        if let Err(error) = consumer.files.remove(&path) {
            tracing::warn!(%error, path = %path.display(), "failed to remove an old log of the consumer");
        }
    }
}
