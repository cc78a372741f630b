//! What delivery counts.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What became of a recipient, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Bounced,
    Deferred,
    Delivered,
    Discarded,
    HandedOver,
    Merged,
    Relayed,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Deferred => "deferred",
            Self::Delivered => "delivered",
            Self::Discarded => "discarded",
            Self::HandedOver => "handed-over",
            Self::Merged => "merged",
            Self::Relayed => "relayed",
        }
    }
}

pub(crate) struct Metrics {
    recipients: IntCounterVec,
    latency: Histogram,
    pub(crate) batch_messages: Histogram,
    pub(crate) content_memory: IntGauge,
    pub(crate) content_memory_limit: IntGauge,
    pub(crate) dead: IntCounter,
    pub(crate) duplicates: IntCounter,
    pub(crate) expansions: IntCounter,
    pub(crate) idle: IntGauge,
    pub(crate) in_flight: IntGauge,
    pub(crate) in_flight_limit: IntGauge,
    pub(crate) left_alone: IntGauge,
    pub(crate) panics: IntCounter,
    pub(crate) queue_errors: IntCounter,
    pub(crate) reports: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let recipients = recipients(registry)?;
        let latency = Histogram::with_opts(
            HistogramOpts::new("sluice_delivery_latency_seconds", "From accepted to delivered, a recipient.")
                .buckets(vec![
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
                ]),
        )?;
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        registry.register(Box::new(latency.clone()))?;
        let batch_messages = Histogram::with_opts(
            HistogramOpts::new("sluice_delivery_batch_messages", "Messages written and synced together.")
                .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
        )?;
        registry.register(Box::new(batch_messages.clone()))?;
        Ok(Self {
            recipients,
            latency,
            batch_messages,
            dead: counter("sluice_delivery_dead_total", "Messages put aside for an operator.")?,
            duplicates: counter(
                "sluice_delivery_duplicates_total",
                "Deliveries again, after a crash or a lost ack, that the store recognised.",
            )?,
            expansions: counter("sluice_delivery_expansions_total", "Aliases expanded.")?,
            idle: gauge(
                "sluice_delivery_connections_idle",
                "Connections to other mail systems that wait for a message.",
            )?,
            content_memory: gauge(
                "sluice_delivery_content_memory_bytes",
                "Memory of messages that are worked on, those under 16 KiB not counted.",
            )?,
            content_memory_limit: gauge(
                "sluice_delivery_content_memory_limit_bytes",
                "Memory that messages that are worked on may take.",
            )?,
            in_flight: gauge("sluice_delivery_in_flight", "Messages being worked on.")?,
            in_flight_limit: gauge(
                "sluice_delivery_in_flight_limit",
                "Messages that may be worked on at once.",
            )?,
            left_alone: gauge(
                "sluice_delivery_destinations_left_alone",
                "Destinations whose mail waits, since no server could be reached.",
            )?,
            panics: counter("sluice_delivery_panics_total", "Tries of a message that ended in a panic.")?,
            queue_errors: counter(
                "sluice_delivery_queue_errors_total",
                "Leases and settlements that failed.",
            )?,
            reports: counter(
                "sluice_delivery_reports_total",
                "Reports of failure, delay and success sent to senders.",
            )?,
        })
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.recipients.with_label_values(&[outcome.label()]).inc();
    }

    pub(crate) fn delivered(&self, latency: Duration) {
        self.count(Outcome::Delivered);
        self.latency.observe(latency.as_secs_f64());
    }
}

/// By outcome, every one of them there from the start.
fn recipients(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let recipients = IntCounterVec::new(
        Opts::new("sluice_delivery_recipients_total", "Recipients by what became of them."),
        &["outcome"],
    )?;
    registry.register(Box::new(recipients.clone()))?;
    let outcomes = [
        Outcome::Bounced,
        Outcome::Deferred,
        Outcome::Delivered,
        Outcome::Discarded,
        Outcome::HandedOver,
        Outcome::Merged,
        Outcome::Relayed,
    ];
    for outcome in outcomes {
        recipients.with_label_values(&[outcome.label()]);
    }
    Ok(recipients)
}
