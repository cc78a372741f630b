//! IMAP4rev1 (RFC 3501) and the extensions that today's clients use.
//!
//! ```text
//!             ┌ LOGIN, AUTHENTICATE ┐          ┌ SELECT, EXAMINE ┐
//! NotAuthenticated ──────────→ Authenticated ────────→ Selected ─┐
//!             │                     │  ↑ CLOSE, UNSELECT │       │ SELECT
//!             │                     │  └─────────────────┤ ←─────┘
//!             └──────── LOGOUT, BYE ┴────────────────────┴→ Logout
//! ```
//!
//! One task per connection. A command runs to its end before the next is read, so that a client which does not read
//! its answers holds up itself and nobody else. A selected session holds the mailbox's shared view that it has told
//! its client about ([`selected::Selected`]), and tells the difference to the latest one where RFC 3501 §5.5 allows it.
//!
//! One command per file in `cmd/`; errors become wire text in `reply.rs` only.

mod answer;
mod cmd;
mod config;
mod connection;
mod flags;
mod metrics;
mod reply;
mod search;
mod section;
mod selected;
mod server;
mod session;
mod structure;

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::{ConnectionLimits, Drain};
use tokio::net::TcpListener;

pub use config::Config;
use server::Server;

use crate::listen::{addresses, listen};
use crate::{BindError, Deps};

/// The listeners, bound.
pub(crate) struct Imap {
    listen: Option<TcpListener>,
    listen_tls: Option<TcpListener>,
    server: Arc<Server>,
}

impl Imap {
    /// Binds what is configured.
    pub(crate) async fn bind(config: Config, deps: Arc<Deps>) -> Result<Self, BindError> {
        if config.listen_tls.is_some() && deps.tls.is_none() {
            return Err(BindError::NoCertificate { listener: "imaps" });
        }
        let tls = deps.tls.as_ref().map(|tls| tls.for_listener(&["imap"])).transpose()?;
        Ok(Self {
            listen: listen("imap", config.listen).await?,
            listen_tls: listen("imaps", config.listen_tls).await?,
            server: Arc::new(Server::new(config, deps, tls)?),
        })
    }

    /// The bound listeners.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        addresses([("imap", &self.listen), ("imaps", &self.listen_tls)])
    }

    /// Serves until the drain is asked for; sessions are tasks of the drain.
    pub(crate) async fn run(self, drain: Drain) {
        let plain = serve(self.listen, Arc::clone(&self.server), false, drain.clone());
        tokio::join!(plain, serve(self.listen_tls, self.server, true, drain));
    }
}

async fn serve(listener: Option<TcpListener>, server: Arc<Server>, tls_first: bool, drain: Drain) {
    let Some(listener) = listener else { return };
    let limits = ConnectionLimits {
        total: server.config.connections_max,
        per_address: server.config.connections_per_address_max,
        proxies: Vec::new(),
        proxy_protocol_from: server.config.proxy_protocol_from.clone(),
        reserve: None,
    };
    let session_drain = drain.clone();
    runtime::serve(listener, limits, drain, move |accepted| {
        session::serve(Arc::clone(&server), accepted, tls_first, session_drain.clone())
    })
    .await;
}
