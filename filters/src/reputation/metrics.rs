//! What operators see of it.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Counts of this process. Labels are names from the configuration, never a peer's.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    /// By list and answer.
    pub(super) answers: IntCounterVec,
    /// By list: 1 is broken.
    pub(super) broken: IntGaugeVec,
    /// By outcome.
    pub(super) connects: IntCounterVec,
    /// By outcome.
    pub(super) greylist: IntCounterVec,
    /// By rule.
    pub(super) over: IntCounterVec,
    /// Of the shared state.
    pub(super) state_failures: IntCounter,
    pub(super) events_dropped: IntCounter,
    pub(super) local_entries: IntGauge,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let name = |noun: &str| format!("sluice_filters_reputation_{noun}");
        let by = |noun: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name(noun), help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |noun: &str, help: &str| {
            let counter = IntCounter::new(name(noun), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let broken = IntGaugeVec::new(
            Opts::new(
                name("list_broken"),
                "Whether a list's test entries are wrong: 1 means that it is not asked.",
            ),
            &["list"],
        )?;
        registry.register(Box::new(broken.clone()))?;
        let local_entries = IntGauge::new(name("local_entries"), "Networks on the local lists.")?;
        registry.register(Box::new(local_entries.clone()))?;
        Ok(Self {
            answers: by("list_answers_total", "Answers of lists about peers.", &["list", "answer"])?,
            broken,
            connects: by("connects_total", "Connections looked at.", &["outcome"])?,
            greylist: by("greylist_total", "What greylisting said.", &["outcome"])?,
            over: by("rate_over_total", "Times that a limit was passed.", &["rule"])?,
            state_failures: counter(
                "state_failures_total",
                "Questions to the shared state without an answer: counted here, or not remembered.",
            )?,
            events_dropped: counter(
                "events_dropped_total",
                "Things that have happened and were not counted: too many waited.",
            )?,
            local_entries,
        })
    }
}
