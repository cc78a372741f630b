//! The webmail.

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::Drain;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::listen::{addresses, listen};
use crate::{BindError, Deps};

/// How the webmail is served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where HTTP is accepted, such as `127.0.0.1:8080`; nowhere when absent.
    pub listen: Option<SocketAddr>,
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The listeners, bound.
pub(crate) struct Web {
    listen: Option<TcpListener>,
    _deps: Arc<Deps>,
}

impl Web {
    /// Binds what is configured.
    pub(crate) async fn bind(config: Config, deps: Arc<Deps>) -> Result<Self, BindError> {
        Ok(Self { listen: listen("web", config.listen).await?, _deps: deps })
    }

    /// The bound listeners.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        addresses([("web", &self.listen)])
    }

    /// Serves until the drain is asked for; sessions are tasks of the drain.
    pub(crate) async fn run(self, drain: Drain) {
        drain.requested().await;
    }
}
