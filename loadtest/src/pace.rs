//! When operations begin.
//!
//! *Closed loop*: each client begins the next operation when the last has ended. It finds the most that a server does with so many clients; a slow server slows its clients
//! down and hides how long others would have waited.
//!
//! *Open loop*: operations fall due at a rate, whatever the server does, and their latency counts from when they were due. It finds how long people wait.
//!
//! ```text
//!  due   │  │ │   │  │ │  │        gaps are exponential: independent people, not a metronome
//!  free client takes the next ─▶ waits until it is due ─▶ operation ─▶ latency = end − due
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::random::Random;

/// How fast.
#[derive(Debug, Clone, PartialEq)]
pub enum Pace {
    /// As fast as the clients get answers.
    Closed,
    /// At a rate.
    Open(Curve),
}

/// Operations a second over the time of a run: straight lines between points, and level behind the last.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve(Vec<(Duration, f64)>);

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// After so many operations.
    pub count: u64,
    /// After this time; operations under way are finished.
    pub time: Duration,
}

/// Hands out operations to the clients of one load.
pub struct Schedule {
    pace: Pace,
    until: Until,
    begun: Instant,
    closed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    next: u64,
    due: Duration,
    random: Random,
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Its number, from 0.
    pub number: u64,
    /// When it is due, and its latency begins.
    pub due: Instant,
}

impl Curve {
    /// The same rate all the time.
    pub fn level(rate: f64) -> anyhow::Result<Self> {
        Self::new(vec![(Duration::ZERO, rate)])
    }

    /// Points in the order of their times.
    pub fn new(points: Vec<(Duration, f64)>) -> anyhow::Result<Self> {
        if points.is_empty() || points.iter().any(|(_, rate)| !rate.is_finite() || *rate < 0.0) {
            bail!("a rate is a number of operations a second, not below zero");
        }
        if points.iter().all(|(_, rate)| *rate <= 0.0) {
            bail!("a rate of zero all the time is no load");
        }
        if !points.is_sorted_by(|one, other| one.0 < other.0) {
            bail!("the points of a curve stand in the order of their times");
        }
        Ok(Self(points))
    }

    /// The rate at a time.
    pub fn at(&self, time: Duration) -> f64 {
        let behind = self.0.partition_point(|(at, _)| *at <= time);
        let before = behind.checked_sub(1).and_then(|at| self.0.get(at));
        match (before, self.0.get(behind)) {
            (Some((from, low)), Some((to, high))) => {
                let part = (time - *from).as_secs_f64() / (*to - *from).as_secs_f64();
                low + (high - low) * part
            }
            (Some((_, rate)), None) | (None, Some((_, rate))) => *rate,
            (None, None) => 0.0,
        }
    }

    /// How long after `time` the next operation is due, when `events` of a rate of one a second lie between: the area under the curve.
    fn ahead(&self, time: Duration, mut events: f64) -> Duration {
        /// Curves are walked in steps in which a rate changes little.
        const STEP: f64 = 0.05;
        let mut ahead = 0.0;
        loop {
            let rate = self.at(time + Duration::from_secs_f64(ahead + STEP / 2.0));
            if rate * STEP >= events {
                return Duration::from_secs_f64(ahead + events / rate);
            }
            events -= rate * STEP;
            ahead += STEP;
            if ahead > 86_400.0 {
                return Duration::from_secs(86_400);
            }
        }
    }
}

impl Schedule {
    /// Begins now.
    pub fn new(pace: Pace, until: Until, seed: u64, begun: Instant) -> Self {
        let state =
            Mutex::new(State { next: 0, due: Duration::ZERO, random: Random::new(seed, 0x7061_6365) });
        Self { pace, until, begun, closed: AtomicBool::new(false), state }
    }

    /// The next operation; nothing when the load is over.
    pub fn take(&self) -> Option<Ticket> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = match &self.pace {
            Pace::Closed => self.begun.elapsed(),
            Pace::Open(curve) => {
                let events = state.random.exponential(1.0);
                let due = state.due + curve.ahead(state.due, events);
                state.due = due;
                due
            }
        };
        let closed = self.closed.load(Ordering::Relaxed);
        if closed || state.next >= self.until.count || due >= self.until.time {
            return None;
        }
        let number = state.next;
        state.next += 1;
        Some(Ticket { number, due: self.begun + due })
    }

    /// Hands out nothing more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether the time is over, or somebody closed it.
    pub(crate) fn is_over(&self) -> bool {
        self.closed.load(Ordering::Relaxed) || self.begun.elapsed() >= self.until.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn curves() {
        let curve = Curve::new(vec![(SECOND, 10.0), (SECOND * 3, 30.0), (SECOND * 4, 0.0)]).unwrap();
        for (milliseconds, rate) in
            [(0, 10.0), (1000, 10.0), (2000, 20.0), (3000, 30.0), (3500, 15.0), (4000, 0.0), (9000, 0.0)]
        {
            assert!((curve.at(Duration::from_millis(milliseconds)) - rate).abs() < 1e-9, "{milliseconds}");
        }
        for points in [
            vec![],
            vec![(SECOND, 0.0)],
            vec![(SECOND, -1.0)],
            vec![(SECOND, f64::NAN)],
            vec![(SECOND, 1.0), (SECOND, 2.0)],
        ] {
            assert!(Curve::new(points.clone()).is_err(), "{points:?}");
        }
    }

    #[test]
    fn an_open_loop_hands_out_at_its_rate_whatever_the_clients_do() {
        let until = Until { count: u64::MAX, time: SECOND * 100 };
        let begun = Instant::now();
        let curve =
            Curve::new(vec![(Duration::ZERO, 100.0), (SECOND * 50, 100.0), (SECOND * 51, 300.0)]).unwrap();
        let schedule = Schedule::new(Pace::Open(curve), until, 1, begun);
        let tickets: Vec<Ticket> = std::iter::from_fn(|| schedule.take()).collect();
        let early = tickets.iter().filter(|ticket| ticket.due < begun + SECOND * 50).count();
        let late = tickets.iter().filter(|ticket| ticket.due >= begun + SECOND * 51).count();
        assert!((4750..5250).contains(&early), "{early} in 50 s at 100/s");
        assert!((14_300..15_100).contains(&late), "{late} in 49 s at 300/s");
        assert!(tickets.is_sorted_by(|one, other| one.due < other.due && one.number + 1 == other.number));
    }

    #[test]
    fn both_ends_are_kept() {
        let begun = Instant::now();
        let schedule = Schedule::new(Pace::Closed, Until { count: 2, time: SECOND * 60 }, 1, begun);
        assert_eq!(
            [schedule.take().map(|ticket| ticket.number), schedule.take().map(|ticket| ticket.number)],
            [Some(0), Some(1)]
        );
        assert_eq!(schedule.take(), None);
        assert_eq!(
            Schedule::new(Pace::Closed, Until { count: 2, time: Duration::ZERO }, 1, begun).take(),
            None
        );
        let idle = Curve::new(vec![(Duration::ZERO, 1000.0), (SECOND, 0.0)]).unwrap();
        let schedule = Schedule::new(Pace::Open(idle), Until { count: u64::MAX, time: SECOND * 2 }, 1, begun);
        let count = std::iter::from_fn(|| schedule.take()).count();
        assert!((400..600).contains(&count), "it ends though the rate is zero: {count}");
    }
}
