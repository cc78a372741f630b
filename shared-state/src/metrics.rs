//! What operators see of the shared state.

use prometheus::{IntCounter, IntGauge, Registry};

/// Counts of this process.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) attached: IntGauge,
    pub(crate) sent: IntCounter,
    pub(crate) received: IntCounter,
    pub(crate) dropped: IntCounter,
    pub(crate) gaps: IntCounter,
    pub(crate) failed: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let metrics = Self {
            attached: IntGauge::new(
                "sluice_shared_state_attached",
                "Whether the signals of other nodes come: 0 means that mailboxes are polled.",
            )?,
            sent: counter("sluice_shared_state_signals_sent_total", "Changes told to other nodes.")?,
            received: counter("sluice_shared_state_signals_received_total", "Changes told by other nodes.")?,
            dropped: counter(
                "sluice_shared_state_signals_dropped_total",
                "Changes not told: too many waited.",
            )?,
            gaps: counter(
                "sluice_shared_state_gaps_total",
                "Times that signals of other nodes may have been lost.",
            )?,
            failed: counter(
                "sluice_shared_state_calls_failed_total",
                "Questions that got no answer in time.",
            )?,
        };
        registry.register(Box::new(metrics.attached.clone()))?;
        for counter in [&metrics.sent, &metrics.received, &metrics.dropped, &metrics.gaps, &metrics.failed] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(metrics)
    }
}
