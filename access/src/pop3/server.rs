//! What the sessions of a node share.

use std::sync::Arc;

use pop3_proto::Limits;
use runtime::{BlockingError, ServerTls};
use store::StoreError;

use super::config::Config;
use super::lock::Locks;
use super::metrics::Metrics;
use crate::{BindError, Deps};

/// Longest login name: an address of RFC 5321's longest parts.
const LOGIN_OCTETS_MAX: usize = 320;

/// Configuration, dependencies and counters, one for each node.
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) deps: Arc<Deps>,
    pub(super) locks: Locks,
    pub(super) metrics: Metrics,
    pub(super) tls: Option<ServerTls>,
}

/// Why work on the store was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    /// It was not begun.
    #[error("the work on the store was not done")]
    Blocking(#[from] BlockingError),
    /// It failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Server {
    pub(super) fn new(config: Config, deps: Arc<Deps>) -> Result<Self, BindError> {
        let tls = deps.tls.as_ref().map(|tls| tls.for_listener(&["pop3"])).transpose()?;
        let metrics = Metrics::new(&deps.registry, config.connections_max)?;
        Ok(Self { config, deps, locks: Locks::default(), metrics, tls })
    }

    /// Runs `work` on the store's threads.
    pub(super) async fn work<T, F>(&self, work: F) -> Result<T, WorkError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, StoreError> + Send + 'static,
    {
        Ok(self.deps.blocking.run(work).await??)
    }

    pub(super) fn line_limits(&self) -> Limits {
        Limits { line_octets_max: self.config.line_max.as_usize() }
    }

    pub(super) fn sasl_limits(&self) -> sasl::Limits {
        sasl::Limits {
            response_octets_max: self.config.line_max.as_usize(),
            login_octets_max: LOGIN_OCTETS_MAX,
            password_octets_max: sasl::password::PASSWORD_OCTETS_MAX,
        }
    }
}
