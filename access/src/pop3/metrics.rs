//! What an operator can count.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Which door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    Pop3,
    Pop3s,
}

impl Listener {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pop3 => "pop3",
            Self::Pop3s => "pop3s",
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    BadCommands,
    Closed,
    Drained,
    FailedLogins,
    Handshake,
    IdleTimeout,
    LoginTimeout,
    PerAddressLimit,
    Quit,
    Store,
    Write,
}

impl End {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BadCommands => "bad_commands",
            Self::Closed => "closed",
            Self::Drained => "drained",
            Self::FailedLogins => "failed_logins",
            Self::Handshake => "handshake",
            Self::IdleTimeout => "idle_timeout",
            Self::LoginTimeout => "login_timeout",
            Self::PerAddressLimit => "per_address_limit",
            Self::Quit => "quit",
            Self::Store => "store",
            Self::Write => "write",
        }
    }
}

/// How a login ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Login {
    Accepted,
    InUse,
    Malformed,
    Refused,
    Throttled,
    Unavailable,
}

impl Login {
    const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::InUse => "in_use",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
        }
    }
}

pub(super) struct Metrics {
    connections_used: IntGaugeVec,
    sessions: IntCounterVec,
    logins: IntCounterVec,
    pub(super) commands: IntCounter,
    pub(super) refusals: IntCounter,
    pub(super) retrieved: IntCounter,
    pub(super) deleted: IntCounter,
    pub(super) octets_sent: IntCounter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry, connections_max: usize) -> Result<Self, prometheus::Error> {
        let name = |suffix: &str| format!("sluice_access_pop3_{suffix}");
        let counter = |suffix: &str, help: &str| IntCounter::new(name(suffix), help);
        let metrics = Self {
            connections_used: IntGaugeVec::new(
                Opts::new(name("connections_used"), "Connections open now."),
                &["listener"],
            )?,
            sessions: IntCounterVec::new(
                Opts::new(name("sessions_total"), "Sessions that ended, by listener and cause."),
                &["listener", "end"],
            )?,
            logins: IntCounterVec::new(Opts::new(name("logins_total"), "Logins, by result."), &["result"])?,
            commands: counter("commands_total", "Lines received.")?,
            refusals: counter("refusals_total", "Commands answered with -ERR.")?,
            retrieved: counter("messages_retrieved_total", "Messages sent for RETR and TOP.")?,
            deleted: counter("messages_deleted_total", "Messages removed by QUIT.")?,
            octets_sent: counter("octets_sent_total", "Octets sent.")?,
        };
        let limit = IntGaugeVec::new(
            Opts::new(name("connections_limit"), "Connections that may be open."),
            &["listener"],
        )?;
        for listener in [Listener::Pop3, Listener::Pop3s] {
            limit
                .with_label_values(&[listener.name()])
                .set(i64::try_from(connections_max).unwrap_or(i64::MAX));
            metrics.connections_used.with_label_values(&[listener.name()]).set(0);
        }
        registry.register(Box::new(limit))?;
        registry.register(Box::new(metrics.connections_used.clone()))?;
        registry.register(Box::new(metrics.sessions.clone()))?;
        registry.register(Box::new(metrics.logins.clone()))?;
        for counter in
            [&metrics.commands, &metrics.refusals, &metrics.retrieved, &metrics.deleted, &metrics.octets_sent]
        {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(metrics)
    }

    pub(super) fn began(&self, listener: Listener) {
        self.connections_used.with_label_values(&[listener.name()]).inc();
    }

    pub(super) fn closed(&self, listener: Listener) {
        self.connections_used.with_label_values(&[listener.name()]).dec();
    }

    pub(super) fn ended(&self, listener: Listener, end: End) {
        self.sessions.with_label_values(&[listener.name(), end.name()]).inc();
    }

    pub(super) fn login(&self, result: Login) {
        self.logins.with_label_values(&[result.name()]).inc();
    }
}
