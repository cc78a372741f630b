//! What an operator sees of milters and scanners. A label is the name that the configuration gives.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// What one message came to with one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Refused,
    Deferred,
    Discarded,
    Quarantined,
    TooBig,
    /// It could not be reached.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// It closed the connection.
    Closed,
    /// It said what is not allowed.
    Protocol,
    /// It was not asked: the breaker is open.
    NotAsked,
}

impl Outcome {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Deferred => "deferred",
            Self::Discarded => "discarded",
            Self::Quarantined => "quarantined",
            Self::TooBig => "too_big",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::NotAsked => "not_asked",
        }
    }
}

/// The figures of one kind of peer.
pub(crate) struct Counts {
    outcomes: IntCounterVec,
    seconds: HistogramVec,
    open: IntGaugeVec,
}

/// The figures of one peer.
#[derive(Debug)]
pub(crate) struct Figures {
    name: String,
    outcomes: IntCounterVec,
    seconds: Histogram,
    pub(crate) open: IntGauge,
}

const SECONDS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];

impl Counts {
    /// Registers them. `kind` is `milter` or `scanner`.
    pub(crate) fn new(registry: &Registry, kind: &str) -> Result<Self, prometheus::Error> {
        let name = |noun: &str| format!("sluice_filters_{kind}_{noun}");
        let outcomes =
            Opts::new(name("outcomes_total"), format!("What each {kind} said, and how it failed."));
        let seconds =
            HistogramOpts::new(name("seconds"), format!("How long each {kind} took for a message."));
        let open = Opts::new(name("breaker_open"), format!("Whether a {kind} is not asked after failures."));
        let counts = Self {
            outcomes: IntCounterVec::new(outcomes, &[kind, "outcome"])?,
            seconds: HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &[kind])?,
            open: IntGaugeVec::new(open, &[kind])?,
        };
        registry.register(Box::new(counts.outcomes.clone()))?;
        registry.register(Box::new(counts.seconds.clone()))?;
        registry.register(Box::new(counts.open.clone()))?;
        Ok(counts)
    }

    /// Those of one peer.
    pub(crate) fn of(&self, name: &str) -> Figures {
        Figures {
            name: name.to_owned(),
            outcomes: self.outcomes.clone(),
            seconds: self.seconds.with_label_values(&[name]),
            open: self.open.with_label_values(&[name]),
        }
    }
}

impl Figures {
    pub(crate) fn count(&self, outcome: Outcome) {
        self.outcomes.with_label_values(&[self.name.as_str(), outcome.name()]).inc();
    }

    pub(crate) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    #[cfg(test)]
    pub(crate) fn counted(&self, outcome: Outcome) -> u64 {
        self.outcomes.with_label_values(&[self.name.as_str(), outcome.name()]).get()
    }
}
