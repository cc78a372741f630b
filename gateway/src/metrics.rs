//! What an operator can count.

use std::collections::HashMap;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector};

use crate::listen::Kind;
use crate::session::{Command, End, Login, Refused};

/// The counters, each looked up by its enum.
pub(crate) struct Metrics {
    connections: HashMap<Kind, IntGauge>,
    limits: HashMap<Kind, IntGauge>,
    sessions: IntCounterVec,
    commands: HashMap<Command, IntCounter>,
    replies: [IntCounter; 4],
    messages: HashMap<Kind, IntCounter>,
    octets: HashMap<Kind, IntCounter>,
    refused: HashMap<Refused, IntCounter>,
    logins: HashMap<Login, IntCounter>,
    pub(crate) message_memory: IntGauge,
    pub(crate) binary_memory: IntGauge,
}

impl Metrics {
    /// Registers them all.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let kinds = Kind::ALL.map(|kind| (kind, kind.name()));
        let messages = counters(registry, "messages_accepted_total", "Messages that got a 250.", "listener")?;
        let octets =
            counters(registry, "octets_accepted_total", "Octets of messages that got a 250.", "listener")?;
        let connections = gauges(registry, "connections", "Connections open now.")?;
        let limits = gauges(registry, "connections_limit", "Connections that may be open.")?;
        let sessions = IntCounterVec::new(
            Opts::new("sluice_gateway_sessions_total", "Sessions that ended, by listener and cause."),
            &["listener", "end"],
        )?;
        registered(registry, sessions.clone())?;
        let commands = counters(registry, "commands_total", "Commands received.", "command")?;
        let replies = counters(registry, "replies_total", "Replies sent, by class.", "class")?;
        let refused =
            counters(registry, "refused_total", "Recipients and messages refused, by reason.", "reason")?;
        let logins = counters(registry, "logins_total", "Logins, by outcome.", "outcome")?;
        let message_memory = IntGauge::new(
            "sluice_gateway_message_memory_bytes",
            "Memory taken by messages on their way in.",
        )?;
        registered(registry, message_memory.clone())?;
        let binary_memory = IntGauge::new(
            "sluice_gateway_binary_memory_bytes",
            "Memory that binary messages take until they are text.",
        )?;
        registered(registry, binary_memory.clone())?;
        let of = |vec: &IntCounterVec, label: &str| vec.with_label_values(&[label]);
        Ok(Self {
            connections: kinds.map(|(kind, name)| (kind, connections.with_label_values(&[name]))).into(),
            limits: kinds.map(|(kind, name)| (kind, limits.with_label_values(&[name]))).into(),
            sessions,
            commands: Command::ALL.map(|command| (command, of(&commands, command.name()))).into(),
            replies: ["2xx", "3xx", "4xx", "5xx"].map(|class| of(&replies, class)),
            messages: kinds.map(|(kind, name)| (kind, of(&messages, name))).into(),
            octets: kinds.map(|(kind, name)| (kind, of(&octets, name))).into(),
            refused: Refused::ALL.map(|reason| (reason, of(&refused, reason.name()))).into(),
            logins: Login::ALL.map(|outcome| (outcome, of(&logins, outcome.name()))).into(),
            message_memory,
            binary_memory,
        })
    }

    pub(crate) fn connections_limit(&self, kind: Kind, limit: usize) {
        if let Some(gauge) = self.limits.get(&kind) {
            gauge.set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
    }

    /// Counts a connection for as long as the guard lives.
    pub(crate) fn connected(&self, kind: Kind) -> Option<Connected> {
        let gauge = self.connections.get(&kind)?.clone();
        gauge.inc();
        Some(Connected(gauge))
    }

    pub(crate) fn session_ended(&self, kind: Kind, end: End) {
        self.sessions.with_label_values(&[kind.name(), end.name()]).inc();
    }

    pub(crate) fn command(&self, command: Command) {
        if let Some(counter) = self.commands.get(&command) {
            counter.inc();
        }
    }

    pub(crate) fn reply(&self, code: u16) {
        if let Some(counter) = self.replies.get(usize::from(code / 100).saturating_sub(2)) {
            counter.inc();
        }
    }

    pub(crate) fn accepted(&self, kind: Kind, size: u64) {
        if let (Some(messages), Some(octets)) = (self.messages.get(&kind), self.octets.get(&kind)) {
            messages.inc();
            octets.inc_by(size);
        }
    }

    pub(crate) fn refused(&self, reason: Refused) {
        if let Some(counter) = self.refused.get(&reason) {
            counter.inc();
        }
    }

    pub(crate) fn login(&self, outcome: Login) {
        if let Some(counter) = self.logins.get(&outcome) {
            counter.inc();
        }
    }
}

/// A connection that is counted as open.
pub(crate) struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn registered<C: Collector + 'static>(registry: &Registry, collector: C) -> Result<(), prometheus::Error> {
    registry.register(Box::new(collector))
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntCounterVec, prometheus::Error> {
    let vec = IntCounterVec::new(Opts::new(format!("sluice_gateway_{name}"), help), &[label])?;
    registered(registry, vec.clone())?;
    Ok(vec)
}

fn gauges(registry: &Registry, name: &str, help: &str) -> Result<IntGaugeVec, prometheus::Error> {
    let vec = IntGaugeVec::new(Opts::new(format!("sluice_gateway_{name}"), help), &["listener"])?;
    registered(registry, vec.clone())?;
    Ok(vec)
}
