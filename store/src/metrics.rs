//! What the store counts.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Registered once by `Store::open`.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// `outcome`: new, duplicate, unlocked, failed.
    pub(crate) deliveries: IntCounterVec,
    pub(crate) delivery_seconds: Histogram,
    pub(crate) lock_timeouts: IntCounter,
    /// `reason`: missing, damaged, torn, failed_write, asked.
    pub(crate) rebuilds: IntCounterVec,
    /// `kind`: adopted, flags, vanished, ignored.
    pub(crate) foreign_changes: IntCounterVec,
    /// `result`: hit, parsed.
    pub(crate) summaries: IntCounterVec,
    /// Octets that links saved.
    pub(crate) shared_body_bytes: IntCounter,
    /// Octets, by `volume`.
    pub(crate) volume_free: IntGaugeVec,
    pub(crate) open_mailboxes: IntGauge,
    pub(crate) open_mailboxes_max: IntGauge,
}

impl Metrics {
    /// A name that is taken already (two stores in one registry) leaves that metric unregistered.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let vector = |name: &str, help: &str, label: &str| {
            let metric = IntCounterVec::new(Opts::new(name, help), &[label])?;
            let _ = registry.register(Box::new(metric.clone()));
            Ok::<_, prometheus::Error>(metric)
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help)?;
            let _ = registry.register(Box::new(metric.clone()));
            Ok::<_, prometheus::Error>(metric)
        };
        let lock_timeouts = IntCounter::new(
            "sluice_store_lock_timeouts_total",
            "Operations that could not have a mailbox's lock within its deadline",
        )?;
        let _ = registry.register(Box::new(lock_timeouts.clone()));
        let shared_body_bytes = IntCounter::new(
            "sluice_store_shared_body_bytes_total",
            "Octets of messages for several recipients that were linked instead of written",
        )?;
        let _ = registry.register(Box::new(shared_body_bytes.clone()));
        let delivery_seconds = Histogram::with_opts(
            HistogramOpts::new("sluice_store_delivery_seconds", "Time of one delivery until it is durable")
                .buckets(prometheus::exponential_buckets(0.0005, 2.0, 16)?),
        )?;
        let _ = registry.register(Box::new(delivery_seconds.clone()));
        let volume_free = IntGaugeVec::new(
            Opts::new(
                "sluice_store_volume_free_bytes",
                "Free space of each volume when it was last asked for",
            ),
            &["volume"],
        )?;
        let _ = registry.register(Box::new(volume_free.clone()));
        Ok(Self {
            volume_free,
            deliveries: vector("sluice_store_deliveries_total", "Deliveries by outcome", "outcome")?,
            delivery_seconds,
            lock_timeouts,
            shared_body_bytes,
            rebuilds: vector(
                "sluice_store_index_rebuilds_total",
                "Indexes rebuilt from file names",
                "reason",
            )?,
            foreign_changes: vector(
                "sluice_store_foreign_changes_total",
                "Changes in Maildirs made by other programs, and names set aside",
                "kind",
            )?,
            summaries: vector("sluice_store_summaries_total", "Summaries asked for, by source", "result")?,
            open_mailboxes: gauge("sluice_store_open_mailboxes", "Mailboxes in memory")?,
            open_mailboxes_max: gauge(
                "sluice_store_open_mailboxes_limit",
                "Mailboxes kept open without use",
            )?,
        })
    }
}
