//! What the sessions of a node share.

use std::sync::Arc;

use directory::LoginOffer;
use pop3_proto::Limits;
use runtime::{ServerTls, Stream};

use super::config::Config;
use super::lock::Locks;
use super::metrics::Metrics;
use crate::{BindError, Deps, login};

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

impl Server {
    pub(super) fn new(config: Config, deps: Arc<Deps>) -> Result<Self, BindError> {
        let tls = deps.tls.as_ref().map(|tls| tls.for_listener(&["pop3"])).transpose()?;
        let metrics = Metrics::new(&deps.registry, config.connections_max)?;
        Ok(Self { config, deps, locks: Locks::default(), metrics, tls })
    }

    /// How a client can log in over `stream`.
    pub(super) fn login_offer(&self, stream: &Stream) -> LoginOffer {
        login::login_offer(&self.deps, &self.config.mechanisms, self.tls.as_ref(), Some(stream))
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
