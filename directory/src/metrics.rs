//! Figures about questions and logins.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::Config;

/// Where an answer came from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    Cache,
    File,
    Stale,
    Unavailable,
}

impl Source {
    const fn label(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::File => "file",
            Self::Stale => "stale",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginResult {
    Accepted,
    AcceptedFromCache,
    Refused,
    ThrottledAccount,
    ThrottledNetwork,
    Unavailable,
}

impl LoginResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::AcceptedFromCache => "accepted_from_cache",
            Self::Refused => "refused",
            Self::ThrottledAccount => "throttled_account",
            Self::ThrottledNetwork => "throttled_network",
            Self::Unavailable => "unavailable",
        }
    }
}

pub(crate) struct Metrics {
    answers: IntCounterVec,
    logins: IntCounterVec,
    pub(crate) query_seconds: Histogram,
    pub(crate) verify_seconds: Histogram,
    pub(crate) changes: IntCounter,
    pub(crate) available: IntGauge,
    pub(crate) verifiers_used: IntGauge,
    entries_used: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, config: &Config) -> Result<Self, prometheus::Error> {
        let name = |name: &str| format!("sluice_directory_{name}");
        let histogram = |suffix: &str, help: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(name(suffix), help).buckets(buckets.to_vec()))
        };
        let query_buckets = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];
        let verify_buckets = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];
        let metrics = Self {
            answers: IntCounterVec::new(
                Opts::new(name("answers_total"), "Answers given, by source."),
                &["source"],
            )?,
            logins: IntCounterVec::new(
                Opts::new(name("logins_total"), "Logins checked, by result."),
                &["result"],
            )?,
            query_seconds: histogram("query_seconds", "Time of a question to the file.", &query_buckets)?,
            verify_seconds: histogram(
                "verify_seconds",
                "Time of a password verification, without the wait.",
                &verify_buckets,
            )?,
            changes: IntCounter::new(name("changes_total"), "Changes to the file that were noticed.")?,
            available: IntGauge::new(name("available_bool"), "1 while the file can be read.")?,
            verifiers_used: IntGauge::new(name("verifiers_used"), "Passwords being verified now.")?,
            entries_used: IntGaugeVec::new(
                Opts::new(name("entries_used"), "Entries kept, by table."),
                &["table"],
            )?,
        };
        let verifiers_limit = IntGauge::new(name("verifiers_limit"), "Passwords verified at once, at most.")?;
        let limits = IntGaugeVec::new(
            Opts::new(name("entries_limit"), "Entries kept at most, by table."),
            &["table"],
        )?;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        verifiers_limit.set(number(config.verify_workers));
        for (table, limit) in [
            ("addresses", config.cache.entries_max),
            ("logins", config.cache.entries_max),
            ("verified", config.cache.entries_max),
            ("throttled_accounts", config.throttle.entries_max),
            ("throttled_networks", config.throttle.entries_max),
        ] {
            limits.with_label_values(&[table]).set(number(limit));
            metrics.entries_used.with_label_values(&[table]).set(0);
        }
        metrics.available.set(1);
        registry.register(Box::new(metrics.answers.clone()))?;
        registry.register(Box::new(metrics.logins.clone()))?;
        registry.register(Box::new(metrics.query_seconds.clone()))?;
        registry.register(Box::new(metrics.verify_seconds.clone()))?;
        registry.register(Box::new(metrics.changes.clone()))?;
        registry.register(Box::new(metrics.available.clone()))?;
        registry.register(Box::new(metrics.verifiers_used.clone()))?;
        registry.register(Box::new(metrics.entries_used.clone()))?;
        registry.register(Box::new(verifiers_limit))?;
        registry.register(Box::new(limits))?;
        Ok(metrics)
    }

    pub(crate) fn answered(&self, source: Source) {
        self.answers.with_label_values(&[source.label()]).inc();
    }

    pub(crate) fn login(&self, result: LoginResult) {
        self.logins.with_label_values(&[result.label()]).inc();
    }

    pub(crate) fn entries(&self, table: &str, count: usize) {
        self.entries_used.with_label_values(&[table]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
