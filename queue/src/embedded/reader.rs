//! The thread that finds what was published, in the logs of all processes, and removes what is spent.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::info;

use super::at_hand::ends;
use super::consumer::Consumer;
use super::record::Kind;
use super::scan::{Extent, Pass, Segment, each_record, pass};
use super::segment::{LogWriter, sequences};
use super::settle::{Settler, log_directory, remove_older};
use super::state::{Decision, SegmentKey, State, Turns, ended};
use crate::files::Files;

/// Messages read before they are handed on.
const PASS_MESSAGES: usize = 2000;
/// How long something unreadable at the end of a live log may be in the middle of being written.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Reader {
    consumer: Arc<Consumer>,
    /// Since when a writer's log ends in something unreadable.
    stuck: HashMap<Arc<str>, Instant>,
    /// When it was last tested whether a writer is gone.
    tested: HashMap<Arc<str>, Instant>,
}

impl Reader {
    pub(super) fn new(consumer: Arc<Consumer>) -> Self {
        Self { consumer, stuck: HashMap::new(), tested: HashMap::new() }
    }

    /// Becomes the consumer and works until the queue closes.
    pub(super) fn run(mut self) {
        let standby = self.consumer.config.standby_interval.as_duration();
        let lock = log_directory(&self.consumer).join("lock");
        let Some(guard) = self.until(standby, |consumer| {
            let guard = consumer.files.try_lock(&lock)?;
            Ok(guard)
        }) else {
            return;
        };
        let Some(log) = self.until(standby, |consumer| load(consumer).map(Some)) else { return };
        tracing::info!(dir = %self.consumer.config.dir.display(), "this process works the queue");
        let (sender, decisions) = mpsc::channel(self.consumer.config.publishers_max);
        let settler = Settler { consumer: Arc::clone(&self.consumer), log };
        let spawned = std::thread::Builder::new()
            .name("queue-settler".to_owned())
            .spawn(move || settler.run(decisions));
        let settler = match spawned {
            Ok(settler) => settler,
            Err(error) => {
                tracing::error!(%error, "failed to start the queue's settling thread");
                return self.consumer.stop();
            }
        };
        self.activate(sender);
        let orders = {
            let consumer = Arc::clone(&self.consumer);
            std::thread::Builder::new()
                .name("queue-orders".to_owned())
                .spawn(move || super::orders::serve(&consumer))
        };
        if let Err(error) = &orders {
            tracing::error!(%error, "failed to start the thread for operators' orders: none will be carried out");
        }
        self.work();
        self.consumer.lock().active = false;
        if orders.is_ok_and(|orders| orders.join().is_err()) {
            tracing::error!("the thread for operators' orders has panicked");
        }
        if settler.join().is_err() {
            tracing::error!("the queue's settling thread has panicked");
        }
        drop(guard);
    }

    /// Tries until there is something or the queue closes.
    fn until<T>(&self, wait: Duration, step: impl Fn(&Consumer) -> io::Result<Option<T>>) -> Option<T> {
        while !self.consumer.is_closing() {
            match step(&self.consumer) {
                Ok(Some(done)) => return Some(done),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "failed to take over the queue, trying again"),
            }
            self.consumer.unpoke();
            self.consumer.rest(wait);
        }
        None
    }

    fn activate(&self, sender: mpsc::Sender<super::settle::Settling>) {
        let mut inner = self.consumer.lock();
        if !self.consumer.is_closing() {
            inner.settle = Some(sender);
            inner.active = true;
        }
        drop(inner);
        self.consumer.bells.ring_all();
    }

    fn work(&mut self) {
        let mut cleaned: Option<Instant> = None;
        while !self.consumer.is_closing() {
            self.consumer.unpoke();
            match self.read_all() {
                Ok(()) => self.first_round_is_done(),
                Err(error) => {
                    tracing::error!(%error, "failed to read the queue's log, trying again");
                    self.consumer.rest(self.consumer.config.standby_interval.as_duration());
                }
            }
            if cleaned
                .is_none_or(|last| last.elapsed() >= self.consumer.config.cleanup_interval.as_duration())
            {
                super::cleanup::clean(&self.consumer);
                cleaned = Some(Instant::now());
            }
            self.consumer.rest(self.consumer.config.poll_interval.as_duration());
        }
    }

    fn first_round_is_done(&self) {
        let mut inner = self.consumer.lock();
        if !inner.complete {
            inner.complete = true;
            inner.state.forget_unseen();
        }
    }

    fn read_all(&mut self) -> io::Result<()> {
        let logs = self.consumer.config.dir.join("log");
        for writer in self.consumer.files.list(&logs)? {
            let writer: Arc<str> = writer.into();
            while !self.consumer.is_closing() && self.read_writer(&logs, &writer)? {}
        }
        Ok(())
    }

    /// One pass over a writer's log. Says whether there may be more at once.
    fn read_writer(&mut self, logs: &Path, writer: &Arc<str>) -> io::Result<bool> {
        let directory = logs.join(&**writer);
        let numbers = sequences(&*self.consumer.files, &directory, "seg")?;
        let Some(key) = self.open_segments(&directory, writer, &numbers)? else { return Ok(false) };
        let last = numbers.last() == Some(&key.seq);
        let extent = if last {
            let waited = self.stuck.get(writer).is_some_and(|since| since.elapsed() > PATIENCE);
            Extent::Live { patient: !waited }
        } else {
            Extent::Sealed(self.cut(&key))
        };
        let more = self.read_segment(&key, extent)?;
        if more || !last || !self.is_gone(&directory, writer)? {
            return Ok(more);
        }
        // No one writes here any more: what its commit markers do not cover counts as well, once it is on disk.
        if sequences(&*self.consumer.files, &directory, "seg")? != numbers {
            return Ok(true);
        }
        if let Some(segment) = self.segment(&key) {
            segment.handle.sync()?;
        }
        self.read_segment(&key, Extent::Sealed(None))
    }

    /// Opens what is new; returns the first segment that is not read to its end.
    fn open_segments(
        &self,
        directory: &Path,
        writer: &Arc<str>,
        numbers: &[u64],
    ) -> io::Result<Option<SegmentKey>> {
        let mut first = None;
        for seq in numbers {
            let key = SegmentKey { writer: Arc::clone(writer), seq: *seq };
            if self.segment(&key).is_none() {
                let segment = match Segment::open(&*self.consumer.files, directory, *seq, "seg") {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    other => other?,
                };
                self.consumer.lock().state.open_segment(&key, segment);
            }
            let ended = self.consumer.lock().state.segments.get(&key).is_none_or(|segment| segment.ended);
            if !ended && first.is_none() {
                first = Some(key);
            }
        }
        Ok(first)
    }

    fn segment(&self, key: &SegmentKey) -> Option<Segment> {
        self.consumer.lock().state.segments.get(key).map(|state| state.segment.clone())
    }

    /// How much of a sealed segment counts, if its writer has said so in a later one.
    fn cut(&self, key: &SegmentKey) -> Option<u64> {
        let inner = self.consumer.lock();
        let later =
            inner.state.segments.range(key.clone()..).take_while(|(other, _)| other.writer == key.writer);
        later.filter_map(|(_, state)| state.segment.header.cut_of(key.seq)).min()
    }

    fn read_segment(&mut self, key: &SegmentKey, extent: Extent) -> io::Result<bool> {
        let known = {
            let inner = self.consumer.lock();
            inner.state.segments.get(key).map(|state| (state.segment.clone(), state.offset))
        };
        let Some((segment, from)) = known else { return Ok(false) };
        let found = pass(&segment, from, extent, PASS_MESSAGES)?;
        if found.stuck {
            self.stuck.entry(Arc::clone(&key.writer)).or_insert_with(Instant::now);
        } else {
            self.stuck.remove(&key.writer);
        }
        let more = found.ended || found.offset != from;
        self.take(key, from, found);
        Ok(more)
    }

    /// Hands on what a pass brought, unless the committer has handed it on in the meantime.
    fn take(&self, key: &SegmentKey, from: u64, found: Pass) {
        let mut inner = self.consumer.lock();
        let state = &mut inner.state;
        let Some(known) = state.segments.get_mut(key).filter(|known| known.offset == from) else { return };
        known.offset = found.offset;
        known.ended = found.ended;
        state.schedule.now();
        let mut lanes = Vec::new();
        let mut bodies = Vec::new();
        for message in &found.messages {
            bodies.extend(state.arrive(key, message, None));
            lanes.extend(state.schedule.slot(message.header.id).map(|slot| slot.lane));
        }
        drop(inner);
        if found.damaged > 0 {
            self.consumer.metrics.damaged.inc_by(found.damaged);
            let (writer, seq) = (&*key.writer, key.seq);
            tracing::error!(writer, seq, gaps = found.damaged, "part of a queue segment cannot be read");
        }
        self.consumer.remove_bodies(&bodies);
        lanes.into_iter().for_each(|lane| self.consumer.bells.ring(lane));
    }

    /// Whether no process writes this log; looked at now and then only.
    fn is_gone(&mut self, directory: &Path, writer: &Arc<str>) -> io::Result<bool> {
        let interval = self.consumer.config.standby_interval.as_duration();
        if *writer == self.consumer.writer
            || self.tested.get(writer).is_some_and(|tested| tested.elapsed() < interval)
        {
            return Ok(false);
        }
        self.tested.insert(Arc::clone(writer), Instant::now());
        Ok(self.consumer.files.try_lock(&directory.join("lock"))?.is_some())
    }
}

/// Reads what was decided before, and begins a log of our own with it.
fn load(consumer: &Consumer) -> io::Result<LogWriter> {
    let directory = log_directory(consumer);
    let mut state = State::of(&consumer.config, consumer.turns);
    let damaged = replay(&*consumer.files, &directory, &mut state)?;
    consumer.metrics.damaged.inc_by(damaged);
    let reserve = consumer.config.segment_size.as_u64();
    let mut log = LogWriter::open(Arc::clone(&consumer.files), directory, "log", reserve)?;
    let mut at_hand = match consumer.turns {
        Turns::Fair => ends(&*consumer.files, &log_directory(consumer)),
        // Who replays a log passes messages on and looks into none of them.
        Turns::InOrder => HashMap::new(),
    };
    let (most, apart) = (consumer.config.ends_max, consumer.config.ends_apart.as_duration());
    let buried: Vec<_> = at_hand.extract_if(|id, ends| state.suspect(*id, *ends, most, apart)).collect();
    log.begin(&mut (0..).map_while(|piece| state.snapshot(piece)), 0)?;
    for (id, ends) in buried {
        tracing::error!(%id, ends, "a message ends the worker's process again and again, it waits for an operator");
        info!(target: "sluice::message", %id, event = "dead", reason = ended(ends), "put aside for an operator");
    }
    remove_older(consumer, &log);
    if consumer.turns == Turns::Fair {
        consumer.at_hand.begin(&*consumer.files, &log_directory(consumer), &at_hand);
    }
    consumer.lock().state = state;
    Ok(log)
}

/// Reads the consumer's logs, oldest first. Returns how many gaps there were.
pub(super) fn replay(files: &dyn Files, directory: &Path, state: &mut State) -> io::Result<u64> {
    let mut damaged = 0;
    for seq in sequences(files, directory, "log")? {
        let segment = Segment::open(files, directory, seq, "log")?;
        damaged += each_record(&segment, |kind, id, json, body| match kind {
            Kind::Done => body
                .as_chunks::<16>()
                .0
                .iter()
                .for_each(|id| state.replay(envelope::MessageId::from_bytes(*id), Decision::Done)),
            Kind::Waiting => match serde_json::from_slice(json) {
                Ok(waiting) => state.replay(id, Decision::Waiting(waiting)),
                Err(error) => tracing::error!(%id, %error, "a decision in the consumer's log is unreadable"),
            },
            Kind::Inline | Kind::Spooled | Kind::Commit => {}
        })?;
    }
    if damaged > 0 {
        tracing::error!(gaps = damaged, "part of the consumer's log cannot be read, messages may come again");
    }
    Ok(damaged)
}
