//! A run: loads side by side, watched every interval, with what is done to the system meanwhile.
//!
//! ```text
//!  loads ── clients take tickets ──▶ recorder ◀── look, every interval ── progress, points
//!  observers ── until the loads are over and everything was seen
//!  chaos ── commands at times ──▶ marks
//!  scraper ── /metrics, every interval ──▶ series
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::chaos::{self, Order};
use crate::pace::{Pace, Schedule, Until};
use crate::recorder::Recorder;
use crate::report::{Point, Report};
use crate::scrape::{self, Endpoint};

/// How long observers may take until they see something.
const READY_MAX: Duration = Duration::from_secs(60);

/// One client of a load: it works until the schedule has nothing more for it.
#[async_trait]
pub trait Client: Send {
    /// Works.
    async fn run(self: Box<Self>, context: Context);
}

/// What a client works with. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// When operations begin, and when the load is over.
    pub schedule: Arc<Schedule>,
    /// Where their figures go.
    pub recorder: Arc<Recorder>,
    /// True when an observer shall end.
    pub over: watch::Receiver<bool>,
    /// Observers that see what comes from now on.
    pub ready: watch::Sender<usize>,
    /// The client's number in its load.
    pub number: u64,
}

/// Makes the clients of a load.
pub trait Load: Send + Sync {
    /// The client of a number.
    fn client(&self, number: u64) -> Box<dyn Client>;
}

/// A load with its pace.
pub struct Paced {
    /// What is done.
    pub load: Arc<dyn Load>,
    /// Clients at once; of an open loop the most that may be busy.
    pub clients: u64,
    /// How fast.
    pub pace: Pace,
    /// For how long.
    pub until: Until,
}

/// Waits until everything that was sent was seen, or nothing more is to be expected.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Returns then.
    async fn settle(&self);
}

/// Everything of a run.
pub struct Run {
    /// Its name in the report.
    pub name: String,
    /// Settings for the report.
    pub settings: BTreeMap<String, String>,
    /// What is done.
    pub loads: Vec<Paced>,
    /// What only looks on, one client each; they end after the loads, when `settle` returns.
    pub observers: Vec<Arc<dyn Load>>,
    /// When the observers have seen everything.
    pub settle: Option<Arc<dyn Settle>>,
    /// What is done to the system.
    pub chaos: Vec<Order>,
    /// Servers that tell of themselves.
    pub metrics: Vec<Endpoint>,
    /// Between two looks.
    pub interval: Duration,
    /// The seed of every choice.
    pub seed: u64,
    /// Ends the loads early; what was measured until then is reported.
    pub stop: Arc<Notify>,
}

/// What is going on.
pub struct Progress<'a> {
    /// Since the beginning.
    pub elapsed: Duration,
    /// What each operation did in the last interval.
    pub points: &'a [(&'static str, Point)],
    /// Whether the loads are over and the observers are not.
    pub settling: bool,
}

impl Run {
    /// Runs to the end; shows `progress` what goes on after each interval.
    pub async fn execute(self, mut progress: impl FnMut(&Progress<'_>)) -> anyhow::Result<Report> {
        let stamp = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let stamp = stamp.format(&Rfc3339).context("failed to write the time")?;
        let mut report = Report::new(&self.name, self.settings, stamp);
        let recorder = Arc::new(Recorder::new(Instant::now()));
        let (over, ending) = watch::channel(false);
        let ready = watch::Sender::new(0);
        let context = |schedule: &Arc<Schedule>, number| Context {
            schedule: Arc::clone(schedule),
            recorder: Arc::clone(&recorder),
            over: ending.clone(),
            ready: ready.clone(),
            number,
        };
        let mut observers = JoinSet::new();
        let unlimited = Until { count: u64::MAX, time: Duration::MAX };
        let endless = Arc::new(Schedule::new(Pace::Closed, unlimited, self.seed, Instant::now()));
        for (number, observer) in (0..).zip(&self.observers) {
            observers.spawn(observer.client(number).run(context(&endless, number)));
        }
        // Who comes late would miss what was there before.
        let all = self.observers.len();
        let mut watching = ready.subscribe();
        let _ = tokio::time::timeout(READY_MAX, watching.wait_for(|ready| *ready >= all)).await;
        let begun = recorder.begin();
        let orders = chaos::spawn(self.chaos, begun, ending.clone());
        let scraper = tokio::spawn(scrape::run(self.metrics, begun, self.interval, ending.clone()));
        let (mut clients, mut schedules) = (JoinSet::new(), Vec::new());
        for (at, paced) in (0..).zip(self.loads) {
            let schedule =
                Arc::new(Schedule::new(paced.pace, paced.until, self.seed.wrapping_add(at), begun));
            for number in 0..paced.clients {
                clients.spawn(paced.load.client(number).run(context(&schedule, number)));
            }
            schedules.push(schedule);
        }
        let mut looking = Looking {
            recorder: &recorder,
            begun,
            interval: self.interval,
            last: begun,
            progress: &mut progress,
        };
        let stopped = tokio::spawn(async move {
            self.stop.notified().await;
            schedules.iter().for_each(|schedule| schedule.close());
        });
        let worked_well = looking.until(false, all_of(&mut clients)).await;
        stopped.abort();
        worked_well.context("a client broke")?;
        let worked = begun.elapsed();
        if let Some(settle) = self.settle {
            looking.until(true, settle.settle()).await;
        }
        over.send_replace(true);
        looking.until(true, all_of(&mut observers)).await.context("an observer broke")?;
        looking.look(false);
        report.seconds = worked.as_secs_f64();
        report.operations = recorder.operations(worked);
        report.marks = orders.await.context("the orders broke")?;
        report.metrics = scraper.await.context("the scraper broke")?;
        Ok(report)
    }
}

/// Waits for every task; fails when one of them panicked, for then figures are missing.
async fn all_of(tasks: &mut JoinSet<()>) -> Result<(), JoinError> {
    let mut first = Ok(());
    while let Some(ended) = tasks.join_next().await {
        first = first.and(ended);
    }
    first
}

struct Looking<'a, P> {
    recorder: &'a Recorder,
    begun: Instant,
    interval: Duration,
    last: Instant,
    progress: &'a mut P,
}

impl<P: FnMut(&Progress<'_>)> Looking<'_, P> {
    /// Looks every interval until the work has ended.
    async fn until<T>(&mut self, settling: bool, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval_at((self.last + self.interval).into(), self.interval);
        // A look that came late is not followed by one over no time.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => self.look(settling),
            }
        }
    }

    fn look(&mut self, settling: bool) {
        let now = Instant::now();
        let points = self.recorder.look(now - self.last);
        self.last = now;
        (self.progress)(&Progress { elapsed: self.begun.elapsed(), points: &points, settling });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Curve;

    struct Counting;

    /// Counts its tickets; the client of number 7 breaks.
    struct Counter(u64);

    impl Load for Counting {
        fn client(&self, number: u64) -> Box<dyn Client> {
            Box::new(Counter(number))
        }
    }

    #[async_trait]
    impl Client for Counter {
        async fn run(self: Box<Self>, context: Context) {
            while let Some(ticket) = context.schedule.take() {
                assert_ne!(self.0, 7, "it breaks");
                crate::driver::due(ticket.due).await;
                context.recorder.done("test.count", ticket.due, 1);
            }
        }
    }

    fn run(clients: u64, pace: Pace, until: Until) -> Run {
        Run {
            name: "test".to_owned(),
            settings: BTreeMap::new(),
            loads: vec![Paced { load: Arc::new(Counting), clients, pace, until }],
            observers: Vec::new(),
            settle: None,
            chaos: Vec::new(),
            metrics: Vec::new(),
            interval: Duration::from_millis(20),
            seed: 1,
            stop: Arc::new(Notify::new()),
        }
    }

    #[tokio::test]
    async fn every_operation_is_counted_and_an_early_end_is_one() {
        let all = Until { count: 100, time: Duration::from_secs(60) };
        let report = run(5, Pace::Closed, all).execute(|_| ()).await.unwrap();
        assert_eq!(report.operation("test.count").unwrap().done, 100);
        // A hundred a second for ever, until somebody has seen enough.
        let endless = Until { count: u64::MAX, time: Duration::MAX };
        let endless = run(2, Pace::Open(Curve::level(100.0).unwrap()), endless);
        let stop = Arc::clone(&endless.stop);
        let mut seen = 0;
        let report = endless.execute(|progress| {
            seen += progress.points.len();
            if seen > 3 {
                stop.notify_one();
            }
        });
        let report = report.await.unwrap();
        let counted = report.operation("test.count").unwrap();
        assert!(counted.done >= 3 && counted.points.len() > 3, "{counted:?}");
    }

    #[tokio::test]
    async fn a_client_that_breaks_fails_the_run() {
        let until = Until { count: 1000, time: Duration::from_secs(60) };
        let error =
            run(8, Pace::Open(Curve::level(2000.0).unwrap()), until).execute(|_| ()).await.unwrap_err();
        assert_eq!(error.to_string(), "a client broke");
    }
}
