//! POP3 (RFC 1939) over the store.
//!
//! ```text
//! listener → session ─ Framer → pop3_proto::Session → Action
//!                │                                     ├ Login, Sasl…  → directory; then the account's lock; then a picture of INBOX
//!                │                                     ├ Retrieve, List → pieces of the message or the listing, as fast as the client reads
//!                │                                     └ Update         → store.expunge, then the reply
//!                └ ends in any other way: nothing is deleted, the lock is released
//! ```
//!
//! One POP3 session of an account at a time on a node, as RFC 1939 §4 asks; sessions on other nodes and IMAP are not shut
//! out. That is safe: the picture holds UIDs, which are never given again, and an expunge of what is gone is nothing.

mod config;
mod lock;
mod metrics;
mod reply;
mod server;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::{Accepted, ConnectionLimits, Drain};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

pub use config::Config;

use crate::listen::{addresses, listen};
use crate::{BindError, Deps};
use metrics::{End, Listener};
use server::Server;

/// The listeners, bound.
pub(crate) struct Pop3 {
    listen: Option<TcpListener>,
    listen_tls: Option<TcpListener>,
    server: Arc<Server>,
}

impl Pop3 {
    /// Binds what is configured.
    pub(crate) async fn bind(config: Config, deps: Arc<Deps>) -> Result<Self, BindError> {
        if config.listen_tls.is_some() && deps.tls.is_none() {
            return Err(BindError::NoCertificate { listener: "pop3s" });
        }
        Ok(Self {
            listen: listen("pop3", config.listen).await?,
            listen_tls: listen("pop3s", config.listen_tls).await?,
            server: Arc::new(Server::new(config, deps)?),
        })
    }

    /// The bound listeners.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        addresses([("pop3", &self.listen), ("pop3s", &self.listen_tls)])
    }

    /// Serves until the drain is asked for; sessions are tasks of the drain.
    pub(crate) async fn run(self, drain: Drain) {
        let serve = |listener: Option<TcpListener>, kind| {
            let (server, drain) = (Arc::clone(&self.server), drain.clone());
            async move {
                match listener {
                    Some(listener) => accept(listener, kind, server, drain).await,
                    None => drain.requested().await,
                }
            }
        };
        tokio::join!(serve(self.listen, Listener::Pop3), serve(self.listen_tls, Listener::Pop3s));
    }
}

async fn accept(listener: TcpListener, kind: Listener, server: Arc<Server>, drain: Drain) {
    let limits = ConnectionLimits {
        total: server.config.connections_max,
        per_address: server.config.connections_per_address_max,
        proxies: Vec::new(),
        proxy_protocol_from: server.config.proxy_protocol_from.clone(),
        reserve: None,
    };
    let sessions = drain.clone();
    runtime::serve(listener, limits, drain, move |accepted| {
        let (server, drain) = (Arc::clone(&server), sessions.clone());
        async move {
            match accepted {
                Accepted::Connection(tcp, peer, admission) => {
                    Box::pin(session::run(server, drain, kind, tcp, peer)).await;
                    drop(admission);
                }
                Accepted::Refused(mut tcp, ..) => {
                    server.metrics.ended(kind, End::PerAddressLimit);
                    if kind == Listener::Pop3 {
                        let refusal = reply::too_many_connections();
                        let write = tcp.write_all(refusal.as_bytes());
                        let _ = tokio::time::timeout(server.config.write_timeout.as_duration(), write).await;
                    }
                }
            }
        }
    })
    .await;
}
