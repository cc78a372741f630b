//! What operators see of the webmail.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The webmail's figures.
pub(super) struct Metrics {
    requests: IntCounterVec,
    seconds: Histogram,
    logins: IntCounterVec,
    submissions: IntCounterVec,
    pub(super) sessions: IntGauge,
    pub(super) live_updates: IntGauge,
    /// In octets.
    pub(super) upload_memory: IntGauge,
    pub(super) forged: IntCounter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
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
        let seconds = Histogram::with_opts(
            HistogramOpts::new("sluice_access_web_request_seconds", "How long pages took.")
                .buckets(vec![0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]),
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let forged =
            IntCounter::new("sluice_access_web_forged_total", "Forms refused: wrong token or origin.")?;
        registry.register(Box::new(forged.clone()))?;
        Ok(Self {
            requests: counters("sluice_access_web_requests_total", "Requests by class of answer.", "class")?,
            logins: counters("sluice_access_web_logins_total", "Sign-ins by outcome.", "outcome")?,
            submissions: counters(
                "sluice_access_web_submissions_total",
                "Messages sent by outcome.",
                "outcome",
            )?,
            seconds,
            sessions: gauge("sluice_access_web_sessions_count", "Signed-in sessions.")?,
            live_updates: gauge("sluice_access_web_live_updates_count", "Windows with live updates.")?,
            upload_memory: gauge(
                "sluice_access_web_upload_memory_bytes",
                "Memory taken by messages on their way in from browsers.",
            )?,
            forged,
        })
    }

    pub(super) fn request(&self, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            ..400 => "ok",
            400..500 => "client_error",
            _ => "server_error",
        };
        self.requests.with_label_values(&[class]).inc();
        self.seconds.observe(took.as_secs_f64());
        if status == StatusCode::FORBIDDEN {
            self.forged.inc();
        }
    }

    pub(super) fn login(&self, outcome: &'static str) {
        self.logins.with_label_values(&[outcome]).inc();
    }

    pub(super) fn submission(&self, outcome: &'static str) {
        self.submissions.with_label_values(&[outcome]).inc();
    }
}
