//! A breaker: who has failed several times in a row is not asked for a while.
//!
//! ```text
//!  Closed ──`failures_before_open` failures in a row──▶ Open ──after `open_for`, whoever comes──▶ Probing
//!    ▲                                                   ▲                                          │
//!    └──────────── the probe succeeds ───────────────────┼──────────────────────────────────────────┤
//!                                                        └──────────── the probe fails ─────────────┘
//! ```
//! A probe that says nothing for `open_for` is joined by another; one that is given up makes room for the next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use units::Span;

/// When a peer that fails is let alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Failures in a row after which it is not asked any more; what then happens to mail says `on_failure`. 0: it is always asked.
    pub failures_before_open: u32,
    /// For how long; then one session tries again.
    pub open_for: Span,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures_before_open: 5, open_for: Span::secs(30) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing { since: Instant },
}

/// Shared by all sessions with one peer.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_before_open: u32,
    open_for: Duration,
    state: Mutex<State>,
    /// 1 while it is not closed.
    gauge: IntGauge,
}

/// The right to ask the peer, and the duty to say how it went.
#[derive(Debug)]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    /// When this one tries for all the others.
    probe: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig, gauge: IntGauge) -> Arc<Self> {
        let state = Mutex::new(State::Closed { failures: 0 });
        let (failures_before_open, open_for) = (config.failures_before_open, config.open_for.as_duration());
        Arc::new(Self { failures_before_open, open_for, state, gauge })
    }

    /// Whether the peer may be asked now.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Permit> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let probe = match *state {
            State::Closed { .. } => None,
            State::Open { until } if now < until => return None,
            State::Probing { since } if now < since + self.open_for => return None,
            State::Open { .. } | State::Probing { .. } => {
                *state = State::Probing { since: now };
                Some(now)
            }
        };
        Some(Permit { breaker: Arc::clone(self), probe })
    }

    fn set(&self, state: &mut State, to: State) {
        *state = to;
        self.gauge.set(i64::from(!matches!(to, State::Closed { .. })));
    }
}

impl Permit {
    /// The peer did what it is for.
    pub(crate) fn succeeded(&mut self) {
        let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.probe.take().is_some() || matches!(*state, State::Closed { .. }) {
            self.breaker.set(&mut state, State::Closed { failures: 0 });
        }
    }

    /// The peer failed.
    pub(crate) fn failed(&mut self) {
        let breaker = &self.breaker;
        let mut state = breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        let open = State::Open { until: Instant::now() + breaker.open_for };
        let probe = self.probe.take().is_some();
        match *state {
            _ if probe => breaker.set(&mut state, open),
            State::Closed { failures } if breaker.failures_before_open > 0 => {
                let failures = failures.saturating_add(1);
                let to =
                    if failures >= breaker.failures_before_open { open } else { State::Closed { failures } };
                breaker.set(&mut state, to);
            }
            _ => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(begun) = self.probe else { return };
        let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == (State::Probing { since: begun }) {
            self.breaker.set(&mut state, State::Open { until: Instant::now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(failures_before_open: u32) -> Arc<Breaker> {
        let config = BreakerConfig { failures_before_open, open_for: Span::secs(30) };
        Breaker::new(config, IntGauge::new("a", "b").unwrap())
    }

    fn fail(breaker: &Arc<Breaker>) {
        breaker.admit().unwrap().failed();
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row() {
        let breaker = breaker(3);
        (0..2).for_each(|_| fail(&breaker));
        breaker.admit().unwrap().succeeded();
        (0..2).for_each(|_| fail(&breaker));
        assert!(breaker.admit().is_some());
        fail(&breaker);
        assert!(breaker.admit().is_none());
        assert_eq!(breaker.gauge.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_for_all() {
        let breaker = breaker(1);
        fail(&breaker);
        tokio::time::advance(Duration::from_millis(29_999)).await;
        assert!(breaker.admit().is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
        let mut probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_none(), "one is enough");
        probe.failed();
        assert!(breaker.admit().is_none());
        tokio::time::advance(Duration::from_secs(30)).await;
        let mut probe = breaker.admit().unwrap();
        probe.succeeded();
        assert!(breaker.admit().is_some());
        assert_eq!(breaker.gauge.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_given_up_makes_room_and_a_silent_one_is_joined() {
        let breaker = breaker(1);
        fail(&breaker);
        tokio::time::advance(Duration::from_secs(30)).await;
        drop(breaker.admit().unwrap());
        let silent = breaker.admit().unwrap();
        assert!(breaker.admit().is_none());
        tokio::time::advance(Duration::from_secs(30)).await;
        let joined = breaker.admit().unwrap();
        drop(silent);
        assert!(breaker.admit().is_none(), "the newer one is under way");
        drop(joined);
        assert!(breaker.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn late_words_of_older_sessions_do_not_count_while_it_is_open() {
        let breaker = breaker(1);
        let (mut old, mut older) = (breaker.admit().unwrap(), breaker.admit().unwrap());
        fail(&breaker);
        old.succeeded();
        older.failed();
        assert!(breaker.admit().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn none_at_zero() {
        let breaker = breaker(0);
        (0..100).for_each(|_| fail(&breaker));
        assert!(breaker.admit().is_some());
    }
}
