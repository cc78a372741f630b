//! POP3 (RFC 1939).

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::Drain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::listen::{addresses, listen};
use crate::{BindError, Deps};

/// How POP3 is served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where plain connections with STLS are accepted, such as `0.0.0.0:110`; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// Where connections that begin with TLS are accepted, such as `0.0.0.0:995`; nowhere when absent.
    pub listen_tls: Option<SocketAddr>,
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The listeners, bound.
pub(crate) struct Pop3 {
    listen: Option<TcpListener>,
    listen_tls: Option<TcpListener>,
    _deps: Arc<Deps>,
}

impl Pop3 {
    /// Binds what is configured.
    pub(crate) async fn bind(config: Config, deps: Arc<Deps>) -> Result<Self, BindError> {
        Ok(Self {
            listen: listen("pop3", config.listen).await?,
            listen_tls: listen("pop3s", config.listen_tls).await?,
            _deps: deps,
        })
    }

    /// The bound listeners.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        addresses([("pop3", &self.listen), ("pop3s", &self.listen_tls)])
    }

    /// Serves until the drain is asked for; sessions are tasks of the drain.
    pub(crate) async fn run(self, drain: Drain) {
        drain.requested().await;
    }
}
