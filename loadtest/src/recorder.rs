//! What was done, how long it took and what failed, second by second.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::report::{Operation, Point, Sample};

/// Kinds of failures that are told apart for one operation; further ones count as `other`.
const KINDS_MAX: usize = 40;
/// Octets of a failure's text.
const KIND_OCTETS_MAX: usize = 120;

/// Why an operation failed, in few words that are the same for the same reason: `421 4.7.0`, `no answer in time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Long texts are cut, line ends taken out.
    pub fn new(text: impl fmt::Display) -> Self {
        let text = text.to_string();
        let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let mut kept = String::new();
        for letter in plain {
            if kept.len() + letter.len_utf8() > KIND_OCTETS_MAX {
                break;
            }
            kept.push(letter);
        }
        Self(kept)
    }

    /// Its words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Shared by all clients of a run.
pub struct Recorder {
    begun: Mutex<Instant>,
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
}

struct Kind {
    /// Since the last look.
    recent: Histogram<u64>,
    recent_failed: u64,
    total: Histogram<u64>,
    failed: u64,
    octets: u64,
    failures: BTreeMap<String, u64>,
    points: Vec<Point>,
}

impl Kind {
    fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            recent: Histogram::new(3)?,
            recent_failed: 0,
            total: Histogram::new(3)?,
            failed: 0,
            octets: 0,
            failures: BTreeMap::new(),
            points: Vec::new(),
        })
    }
}

impl Recorder {
    /// The run begins at `begun`.
    pub const fn new(begun: Instant) -> Self {
        Self { begun: Mutex::new(begun), kinds: Mutex::new(BTreeMap::new()) }
    }

    /// The run begins now, and not when it was said that it would.
    pub(crate) fn begin(&self) -> Instant {
        let now = Instant::now();
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = now;
        now
    }

    fn with(&self, operation: &'static str, change: impl FnOnce(&mut Kind)) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = kinds.get_mut(operation) {
            change(kind);
        } else if let Ok(mut kind) = Kind::new() {
            change(&mut kind);
            kinds.insert(operation, kind);
        }
    }

    /// An operation that took from `since` until now, and moved so many octets.
    pub fn done(&self, operation: &'static str, since: Instant, octets: u64) {
        self.took(operation, since.elapsed(), octets);
    }

    /// An operation that took so long.
    pub fn took(&self, operation: &'static str, took: Duration, octets: u64) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.with(operation, |kind| {
            // The histogram's range grows by itself; no number is out of it.
            if kind.recent.record(microseconds).is_ok() {
                kind.octets += octets;
            }
        });
    }

    /// An operation that failed.
    pub fn failed(&self, operation: &'static str, failure: &Failure) {
        self.with(operation, |kind| {
            kind.recent_failed += 1;
            kind.failed += 1;
            if let Some(count) = kind.failures.get_mut(failure.as_str()) {
                *count += 1;
            } else {
                let name = if kind.failures.len() < KINDS_MAX { failure.as_str() } else { "other" };
                *kind.failures.entry(name.to_owned()).or_default() += 1;
            }
        });
    }

    /// Either of both.
    pub fn ended(&self, operation: &'static str, since: Instant, outcome: Result<u64, &Failure>) {
        match outcome {
            Ok(octets) => self.done(operation, since, octets),
            Err(failure) => self.failed(operation, failure),
        }
    }

    /// Closes an interval: what each operation did in it. An operation without any is left out of the answer, and has a point all the same.
    pub fn look(&self, interval: Duration) -> Vec<(&'static str, Point)> {
        let at = self.begun.lock().unwrap_or_else(PoisonError::into_inner).elapsed().as_secs_f64();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut points = Vec::new();
        for (name, kind) in kinds.iter_mut() {
            let point = Point {
                at,
                rate: per_second(kind.recent.len(), interval),
                failed: per_second(kind.recent_failed, interval),
                latency: Sample::of(&kind.recent),
            };
            if kind.total.add(&kind.recent).is_ok() {
                kind.recent.reset();
            }
            kind.recent_failed = 0;
            kind.points.push(point.clone());
            if point.rate > 0.0 || point.failed > 0.0 {
                points.push((*name, point));
            }
        }
        points
    }

    /// All of it, after the last [`Self::look`].
    pub fn operations(&self, took: Duration) -> Vec<Operation> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let operations = kinds.iter().map(|(name, kind)| Operation {
            name: (*name).to_owned(),
            done: kind.total.len(),
            failed: kind.failed,
            rate: per_second(kind.total.len(), took),
            octets: kind.octets,
            latency: Sample::of(&kind.total),
            failures: kind.failures.clone(),
            points: kind.points.clone(),
        });
        operations.collect()
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_by_operation_and_interval() {
        let recorder = Recorder::new(Instant::now());
        for milliseconds in [1, 2, 3, 100] {
            recorder.took("smtp.message", Duration::from_millis(milliseconds), 5000);
        }
        recorder.failed("smtp.message", &Failure::new("452 4.3.1\r\nfull"));
        let seen = recorder.look(Duration::from_secs(2));
        let [(name, point)] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((*name, point.rate, point.failed, point.latency.p50), ("smtp.message", 2.0, 0.5, 2000));
        assert_eq!(recorder.look(Duration::from_secs(1)), []);
        recorder.took("smtp.message", Duration::from_millis(7), 0);
        recorder.look(Duration::from_secs(1));
        let all = recorder.operations(Duration::from_secs(5));
        let [operation] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((operation.done, operation.failed, operation.rate, operation.octets), (5, 1, 1.0, 20_000));
        assert_eq!(operation.failures, BTreeMap::from([("452 4.3.1  full".to_owned(), 1)]));
        assert_eq!(operation.points.len(), 3);
        assert!(operation.latency.max >= 100_000);
    }

    #[test]
    fn a_server_that_invents_failures_fills_no_memory() {
        let recorder = Recorder::new(Instant::now());
        for number in 0..1000 {
            recorder.failed("imap.login", &Failure::new(format!("{number} {}", "é".repeat(500))));
        }
        recorder.look(Duration::from_secs(1));
        let all = recorder.operations(Duration::from_secs(1));
        assert_eq!((all[0].failures.len(), all[0].failures["other"]), (KINDS_MAX + 1, 1000 - 40));
        assert!(all[0].failures.keys().all(|kind| kind.len() <= KIND_OCTETS_MAX));
    }
}
