//! What operators see of the queue.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

use crate::{LaneStats, schedule::now};

/// The queue's metrics of this process.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) published: IntCounter,
    pub(crate) refused: IntCounterVec,
    pub(crate) settled: IntCounterVec,
    pub(crate) damaged: IntCounter,
    pub(crate) unreadable: IntCounter,
    pub(crate) condemned: IntCounter,
    pub(crate) batch_messages: Histogram,
    pub(crate) sync_seconds: Histogram,
    pub(crate) used_bytes: IntGauge,
    pub(crate) limit_bytes: IntGauge,
    pub(crate) waiting_publishers: IntGauge,
    pub(crate) waiting_publishers_limit: IntGauge,
    pub(crate) cached_bytes: IntGauge,
    pub(crate) cached_limit_bytes: IntGauge,
    messages: IntGaugeVec,
    oldest: IntGaugeVec,
}

impl Metrics {
    /// Makes them and registers them; one that is already there (two queues in one process) counts unseen.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            published: IntCounter::new("sluice_queue_published_total", "Messages made durable.")?,
            refused: IntCounterVec::new(
                Opts::new("sluice_queue_refused_total", "Messages not taken, by reason: full, store."),
                &["reason"],
            )?,
            settled: IntCounterVec::new(
                Opts::new("sluice_queue_settled_total", "Decisions made durable: ack, retry, dead."),
                &["outcome"],
            )?,
            damaged: IntCounter::new(
                "sluice_queue_damaged_total",
                "Gaps in the log that could not be read: damage, or what a crash left half-written.",
            )?,
            unreadable: IntCounter::new(
                "sluice_queue_unreadable_total",
                "Messages that could not be read when a worker wanted them.",
            )?,
            condemned: IntCounter::new(
                "sluice_queue_condemned_total",
                "Segments given up since a write or sync failed.",
            )?,
            batch_messages: Histogram::with_opts(
                HistogramOpts::new("sluice_queue_batch_messages", "Messages made durable by one sync.")
                    .buckets(exponential_buckets(1.0, 2.0, 11)?),
            )?,
            sync_seconds: Histogram::with_opts(
                HistogramOpts::new("sluice_queue_sync_seconds", "Time of one write and sync.")
                    .buckets(exponential_buckets(0.000_1, 2.0, 16)?),
            )?,
            used_bytes: IntGauge::new("sluice_queue_used_bytes", "Size of the queue's directory.")?,
            limit_bytes: IntGauge::new("sluice_queue_limit_bytes", "Size at which messages are refused.")?,
            waiting_publishers: IntGauge::new(
                "sluice_queue_waiting_publishers",
                "Publishers that wait for a sync.",
            )?,
            waiting_publishers_limit: IntGauge::new(
                "sluice_queue_waiting_publishers_limit",
                "Publishers that may wait for a sync.",
            )?,
            cached_bytes: IntGauge::new("sluice_queue_cached_bytes", "Messages kept in memory.")?,
            cached_limit_bytes: IntGauge::new(
                "sluice_queue_cached_limit_bytes",
                "Messages that may be kept in memory.",
            )?,
            messages: IntGaugeVec::new(
                Opts::new("sluice_queue_messages", "Queued messages by lane and state."),
                &["lane", "state"],
            )?,
            oldest: IntGaugeVec::new(
                Opts::new("sluice_queue_oldest_seconds", "Age of the oldest message of a lane."),
                &["lane"],
            )?,
        };
        metrics.register(registry)?;
        Ok(metrics)
    }

    /// Shows the counts of the lanes.
    pub(crate) fn show(&self, stats: &[LaneStats]) {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for stats in stats {
            let lane = stats.lane.to_string();
            for (state, count) in [
                ("ready", stats.ready),
                ("leased", stats.leased),
                ("deferred", stats.deferred),
                ("held", stats.held),
            ] {
                self.messages.with_label_values(&[&lane, state]).set(signed(count));
            }
            let age = stats.oldest.map_or(0, |oldest| now().since(oldest).as_secs());
            self.oldest.with_label_values(&[&lane]).set(signed(age));
        }
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let all: [Box<dyn Collector>; 16] = [
            Box::new(self.published.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.settled.clone()),
            Box::new(self.damaged.clone()),
            Box::new(self.unreadable.clone()),
            Box::new(self.condemned.clone()),
            Box::new(self.batch_messages.clone()),
            Box::new(self.sync_seconds.clone()),
            Box::new(self.used_bytes.clone()),
            Box::new(self.limit_bytes.clone()),
            Box::new(self.waiting_publishers.clone()),
            Box::new(self.waiting_publishers_limit.clone()),
            Box::new(self.cached_bytes.clone()),
            Box::new(self.cached_limit_bytes.clone()),
            Box::new(self.messages.clone()),
            Box::new(self.oldest.clone()),
        ];
        for collector in all {
            match registry.register(collector) {
                Err(prometheus::Error::AlreadyReg) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// What operators see of the broker.
#[derive(Debug, Clone)]
pub(crate) struct BrokerMetrics {
    pub(crate) connected: IntGaugeVec,
    pub(crate) blocked: IntGaugeVec,
    pub(crate) unconfirmed: IntCounter,
    pub(crate) rebuilt: IntCounter,
    pub(crate) unreadable: IntCounter,
    pub(crate) confirm_seconds: Histogram,
}

impl BrokerMetrics {
    /// Makes them and registers them; one that is already there counts unseen.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            connected: IntGaugeVec::new(
                Opts::new(
                    "sluice_queue_broker_connected",
                    "Whether there is a connection to the broker, by purpose.",
                ),
                &["purpose"],
            )?,
            blocked: IntGaugeVec::new(
                Opts::new(
                    "sluice_queue_broker_blocked",
                    "Whether the broker takes no messages for now, by purpose.",
                ),
                &["purpose"],
            )?,
            unconfirmed: IntCounter::new(
                "sluice_queue_broker_unconfirmed_total",
                "Messages that were sent to the broker and not confirmed, each time.",
            )?,
            rebuilt: IntCounter::new(
                "sluice_queue_broker_consumers_rebuilt_total",
                "Consumers that got nothing though messages waited, and were built anew.",
            )?,
            unreadable: IntCounter::new(
                "sluice_queue_broker_unreadable_total",
                "Messages from the broker that are none of ours or damaged.",
            )?,
            confirm_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "sluice_queue_broker_confirm_seconds",
                    "Time until the broker confirmed a message.",
                )
                .buckets(exponential_buckets(0.000_5, 2.0, 16)?),
            )?,
        };
        let all: [Box<dyn Collector>; 6] = [
            Box::new(metrics.connected.clone()),
            Box::new(metrics.blocked.clone()),
            Box::new(metrics.unconfirmed.clone()),
            Box::new(metrics.rebuilt.clone()),
            Box::new(metrics.unreadable.clone()),
            Box::new(metrics.confirm_seconds.clone()),
        ];
        for collector in all {
            match registry.register(collector) {
                Err(prometheus::Error::AlreadyReg) => {}
                other => other?,
            }
        }
        Ok(metrics)
    }
}

/// What operators see of a gateway's own log.
#[derive(Debug, Clone)]
pub(crate) struct SpillMetrics {
    pub(crate) messages: IntGauge,
    pub(crate) oldest: IntGauge,
    pub(crate) limit_bytes: IntGauge,
    pub(crate) spilled: IntCounter,
    pub(crate) replayed: IntCounter,
}

impl SpillMetrics {
    /// Makes them and registers them.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            messages: IntGauge::new(
                "sluice_queue_spill_messages",
                "Messages in this node's own log, accepted while the broker was away.",
            )?,
            oldest: IntGauge::new(
                "sluice_queue_spill_oldest_seconds",
                "Age of the oldest message of this node's log.",
            )?,
            limit_bytes: IntGauge::new(
                "sluice_queue_spill_limit_bytes",
                "Size at which the log refuses messages.",
            )?,
            spilled: IntCounter::new(
                "sluice_queue_spill_spilled_total",
                "Messages accepted into this node's log.",
            )?,
            replayed: IntCounter::new(
                "sluice_queue_spill_replayed_total",
                "Messages of this node's log that the broker has confirmed.",
            )?,
        };
        registry.register(Box::new(metrics.messages.clone()))?;
        registry.register(Box::new(metrics.oldest.clone()))?;
        registry.register(Box::new(metrics.limit_bytes.clone()))?;
        registry.register(Box::new(metrics.spilled.clone()))?;
        registry.register(Box::new(metrics.replayed.clone()))?;
        Ok(metrics)
    }
}
