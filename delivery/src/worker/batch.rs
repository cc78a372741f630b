//! Messages that are on their way at the same time become durable together.
//!
//! Nobody waits for company: a message that finds a place free goes at once, alone if need be. While all places are taken
//! messages gather, and whoever gets the next place takes along what is there: those that have waited longest, and what else is for
//! their mailboxes, since a mailbox's lock and its records cost the same for one message as for many. So an idle worker is quick, and a
//! busy one shares its syncs. Where a gateway beside needs the processors, batches take turns with rests ([`pace`]).

mod pace;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runtime::{BlockingError, BlockingPool};
use store::{Patience, Store};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use envelope::AccountId;

use self::pace::Pace;
use super::mailbox::{Filed, Job, file_all};
use crate::Deps;
use crate::config::Config;
use crate::metrics::Metrics;

/// Accounts whose mailboxes one batch writes to.
pub(super) const TARGETS_MAX: usize = 100;

/// What waits for a place.
struct Waiting {
    job: Arc<Job>,
    answer: oneshot::Sender<Answer>,
}

/// What a batch did with a message: by target, none where the message must be tried alone.
type Answer = Vec<Option<Filed>>;

/// Where messages meet.
pub(crate) struct Batches {
    waiting: Mutex<VecDeque<Waiting>>,
    places: Semaphore,
    /// For those that are tried alone.
    alone: Semaphore,
    pace: Pace,
    batch_max: usize,
    octets_max: u64,
    wait_max: Duration,
    store: Store,
    blocking: BlockingPool,
    messages: prometheus::Histogram,
}

impl Batches {
    pub(crate) fn new(config: &Config, deps: &Deps, blocking: BlockingPool, metrics: &Metrics) -> Self {
        Self {
            waiting: Mutex::default(),
            places: Semaphore::new(usize::from(config.batches_at_once)),
            alone: Semaphore::new(usize::from(config.alone_max)),
            pace: Pace::new(config, Arc::clone(&deps.queue)),
            batch_max: usize::from(config.batch_max),
            octets_max: config.batch_octets_max.as_u64(),
            wait_max: config.batch_wait_max.as_duration(),
            store: deps.store.clone(),
            blocking,
            messages: metrics.batch_messages.clone(),
        }
    }

    /// Files a message; returns when it is durable or will not be. In the order of its targets.
    pub(super) async fn file(&self, job: Job) -> Vec<Filed> {
        let count = job.targets().count();
        let job = if job.is_limited() {
            let store = self.store.clone();
            match self.blocking.run(move || job.measure(&store)).await {
                Ok(job) => job,
                Err(error) => return undone(&error, count).into_iter().flatten().collect(),
            }
        } else {
            job
        };
        let job = Arc::new(job);
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push_back(Waiting { job: Arc::clone(&job), answer });
        let deadline = Instant::now() + self.wait_max;
        let together = loop {
            tokio::select! {
                biased;
                together = &mut answered => break together,
                place = timeout_at(deadline, self.places.acquire()) => {
                    if place.is_err() && self.withdraw(&job) {
                        // Nothing was begun.
                        return undone(&BlockingError::Busy, count).into_iter().flatten().collect();
                    }
                    let batch = if place.is_ok() {
                        let oldest = || self.waiting().front().map(|oldest| oldest.job.received_at());
                        tokio::select! {
                            biased;
                            together = &mut answered => break together,
                            () = self.pace.turn(oldest) => self.take(),
                        }
                    } else {
                        Vec::new()
                    };
                    if batch.is_empty() {
                        // Somebody took our message along.
                        drop(place);
                        break answered.await;
                    }
                    self.run(batch).await;
                }
            }
        };
        // A batch whose task ended left no answer.
        let together = together.unwrap_or_else(|_| job.targets().map(|_| None).collect());
        self.complete(&job, together).await
    }

    /// Takes a message back; false when a batch has it.
    fn withdraw(&self, job: &Arc<Job>) -> bool {
        let mut waiting = self.waiting();
        let found = waiting.iter().position(|one| Arc::ptr_eq(&one.job, job));
        found.is_some_and(|index| waiting.remove(index).is_some())
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who have waited longest, and whoever else waits for the same mailboxes, as many as one batch takes.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let (mut batch, mut left) = (Vec::new(), VecDeque::new());
        let mut accounts: HashSet<AccountId> = HashSet::new();
        let (mut copies, mut octets) = (0, 0);
        for one in waiting.drain(..) {
            let others = one.job.accounts().filter(|account| !accounts.contains(account)).count();
            let (more_copies, more_octets) = (one.job.targets().count(), one.job.octets());
            let fits = copies + more_copies <= self.batch_max
                && octets + more_octets <= self.octets_max
                && accounts.len() + others <= TARGETS_MAX;
            if fits || batch.is_empty() {
                accounts.extend(one.job.accounts().cloned());
                copies += more_copies;
                octets += more_octets;
                batch.push(one);
            } else {
                left.push_back(one);
            }
        }
        *waiting = left;
        batch
    }

    async fn run(&self, batch: Vec<Waiting>) {
        self.messages.observe(batch.len() as f64);
        let jobs: Vec<_> =
            batch.iter().map(|one| (Arc::clone(&one.job), one.job.targets().collect())).collect();
        let store = self.store.clone();
        let began = Instant::now();
        let filed = self.blocking.run(move || file_all(&store, &jobs, Patience::Little)).await;
        self.pace.rest(began.elapsed());
        let answers = match filed {
            Ok(answers) => answers,
            // Whose fault it was shows when each is tried alone.
            Err(BlockingError::Panicked) if batch.len() > 1 => {
                batch.iter().map(|one| one.job.targets().map(|_| None).collect()).collect()
            }
            Err(error) => batch.iter().map(|one| undone(&error, one.job.targets().count())).collect(),
        };
        for (one, answer) in batch.into_iter().zip(answers) {
            // Nobody there: its task was ended, and the message comes again.
            let _ = one.answer.send(answer);
        }
    }

    /// Tries alone, and as patiently as it takes, what the batch left.
    async fn complete(&self, job: &Arc<Job>, together: Answer) -> Vec<Filed> {
        let left: Vec<usize> = together
            .iter()
            .enumerate()
            .filter(|(_, filed)| filed.is_none())
            .map(|(index, _)| index)
            .collect();
        let mut alone = Vec::new().into_iter();
        if !left.is_empty() {
            let (store, jobs, count) = (self.store.clone(), [(Arc::clone(job), left.clone())], left.len());
            let answers = match timeout(self.wait_max, self.alone.acquire()).await {
                Ok(_turn) => self.blocking.run(move || file_all(&store, &jobs, Patience::Full)).await,
                Err(_) => Err(BlockingError::Busy),
            };
            let answers = match answers {
                Ok(mut answers) => answers.pop().unwrap_or_default(),
                Err(error) => undone(&error, count),
            };
            alone = answers.into_iter();
        }
        let missing = || Filed::Deferred {
            after: Duration::ZERO,
            reason: "the try was broken off".to_owned(),
            panicked: false,
        };
        let filed = together.into_iter().map(|filed| filed.or_else(|| alone.next().flatten()));
        filed.map(|filed| filed.unwrap_or_else(missing)).collect()
    }
}

fn undone(error: &BlockingError, count: usize) -> Answer {
    let panicked = matches!(error, BlockingError::Panicked);
    let one = || Filed::Deferred { after: Duration::ZERO, reason: error.to_string(), panicked };
    (0..count).map(|_| Some(one())).collect()
}

#[cfg(test)]
mod tests;
