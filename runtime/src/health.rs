//! Whether the process lives, whether it can serve, and its metrics, over HTTP.
//!
//! ```text
//! GET /livez     200 "ok"                        the process answers
//! GET /readyz    200 "ready"                     every component is ready and nobody asked for the end
//!                503 one line a component that is not, with its reason
//! GET /metrics   200 the registry, Prometheus text format
//! ```

mod http;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

pub use http::serve;

/// Metrics and health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// The address and port that `/metrics`, `/livez` and `/readyz` listen on; not for the open Internet.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Requests at once; more are closed unanswered.
    pub connections_max: u16,
    /// How long a request and its answer may take.
    pub request_max: Span,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 19090)),
            connections_max: 64,
            request_max: Span::secs(10),
        }
    }
}

impl HealthConfig {
    /// What is wrong: key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.connections_max == 0 {
            faults.push(("connections_max".to_owned(), "must be at least 1".to_owned()));
        }
        if self.request_max < Span::millis(100) {
            faults.push(("request_max".to_owned(), "must be at least 100ms".to_owned()));
        }
        faults
    }
}

/// What must be ready before this process serves. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    latches: Arc<Mutex<BTreeMap<String, Option<String>>>>,
}

/// One part of the process; not ready until it says so.
pub struct Component {
    name: String,
    health: Health,
}

impl Health {
    /// Nothing to wait for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part. The same name twice is one part.
    pub fn component(&self, name: &str) -> Component {
        self.latches().entry(name.to_owned()).or_insert_with(|| Some("starting".to_owned()));
        Component { name: name.to_owned(), health: self.clone() }
    }

    /// The parts that are not ready, with their reasons.
    pub fn missing(&self) -> Vec<(String, String)> {
        let latches = self.latches();
        latches.iter().filter_map(|(name, reason)| Some((name.clone(), reason.clone()?))).collect()
    }

    fn latches(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.latches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Component {
    /// Serves.
    pub fn ready(&self) {
        self.health.latches().insert(self.name.clone(), None);
    }

    /// Can't serve now.
    pub fn not_ready(&self, reason: &str) {
        self.health.latches().insert(self.name.clone(), Some(reason.to_owned()));
    }
}
