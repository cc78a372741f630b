//! What the operator sees of IMAP.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::config::Config;

/// Counters and gauges `sluice_access_imap_*`.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Connections open now.
    pub(crate) connections: IntGauge,
    /// Connections turned away at a limit, by which.
    pub(crate) refused: IntCounterVec,
    /// Logins by result.
    pub(crate) logins: IntCounterVec,
    /// Commands by their answer: `ok`, `no`, `bad`.
    pub(crate) commands: IntCounterVec,
    /// Sessions by how they ended.
    pub(crate) ended: IntCounterVec,
    /// Sessions that wait in IDLE now.
    pub(crate) idling: IntGauge,
    /// Octets sent.
    pub(crate) sent: IntCounter,
    /// Octets of memory taken by messages that are being appended.
    pub(crate) append_memory: IntGauge,
}

impl Metrics {
    /// Registers all of them, and says what the limits are.
    pub(crate) fn register(registry: &Registry, config: &Config) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let limits = [
            (
                "sluice_access_imap_connections_limit",
                "IMAP connections that may be open.",
                config.connections_max,
            ),
            (
                "sluice_access_imap_append_memory_limit_bytes",
                "Memory that messages being appended may take.",
                config.append_memory_max.as_usize(),
            ),
        ];
        for (name, help, limit) in limits {
            gauge(name, help)?.set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
        let sent = IntCounter::new("sluice_access_imap_sent_bytes_total", "Octets sent to IMAP clients.")?;
        registry.register(Box::new(sent.clone()))?;
        Ok(Self {
            connections: gauge("sluice_access_imap_connections", "IMAP connections that are open.")?,
            refused: counters(
                "sluice_access_imap_connections_refused_total",
                "IMAP connections turned away at a limit.",
                "limit",
            )?,
            logins: counters("sluice_access_imap_logins_total", "IMAP logins by result.", "result")?,
            commands: counters("sluice_access_imap_commands_total", "IMAP commands by answer.", "answer")?,
            ended: counters("sluice_access_imap_sessions_ended_total", "IMAP sessions by their end.", "end")?,
            idling: gauge("sluice_access_imap_idling", "IMAP sessions that wait in IDLE.")?,
            sent,
            append_memory: gauge(
                "sluice_access_imap_append_memory_bytes",
                "Memory taken by messages that are being appended.",
            )?,
        })
    }
}

/// Counts one while it lives.
pub(crate) struct Counted(IntGauge);

impl Counted {
    /// One more.
    pub(crate) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bounded_shows_its_bound() {
        let registry = Registry::new();
        let config = Config { connections_max: 7, ..Config::default() };
        Metrics::register(&registry, &config).unwrap();
        let families = registry.gather();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            family.get_metric()[0].get_gauge().get_value()
        };
        assert!((value("sluice_access_imap_connections_limit") - 7.0).abs() < 0.1);
        let memory = value("sluice_access_imap_append_memory_limit_bytes");
        assert!((memory - 536_870_912.0).abs() < 0.1, "{memory}");
    }
}
