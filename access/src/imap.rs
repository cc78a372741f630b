//! IMAP4rev1 (RFC 3501).

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::Drain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::listen::{addresses, listen};
use crate::{BindError, Deps};

/// How IMAP is served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where plain connections with STARTTLS are accepted, such as `0.0.0.0:143`; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// Where connections that begin with TLS are accepted, such as `0.0.0.0:993`; nowhere when absent.
    pub listen_tls: Option<SocketAddr>,
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The listeners, bound.
pub(crate) struct Imap {
    listen: Option<TcpListener>,
    listen_tls: Option<TcpListener>,
    _deps: Arc<Deps>,
}

impl Imap {
    /// Binds what is configured.
    pub(crate) async fn bind(config: Config, deps: Arc<Deps>) -> Result<Self, BindError> {
        Ok(Self {
            listen: listen("imap", config.listen).await?,
            listen_tls: listen("imaps", config.listen_tls).await?,
            _deps: deps,
        })
    }

    /// The bound listeners.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        addresses([("imap", &self.listen), ("imaps", &self.listen_tls)])
    }

    /// Serves until the drain is asked for; sessions are tasks of the drain.
    pub(crate) async fn run(self, drain: Drain) {
        drain.requested().await;
    }
}
