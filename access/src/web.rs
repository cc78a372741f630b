//! Webmail: pages made here on the server, useful without JavaScript.
//!
//! ```text
//!  browser ─HTTP→ guard: origin, deadline, headers → session, token → a page
//!                                                      │ deps.blocking      │ Submit
//!                                                      ↓                    ↓
//!                                                    store            gateway's submission
//! ```
//!
//! Everything a page shows is found by (mailbox, UIDVALIDITY, UID) in the session's own account; there is no id that
//! names another account's mail. Message HTML is sanitised, then served alone under a policy that allows no script and
//! no outside request, then shown in a frame without an origin. Forms carry the session's token.
//!
//! What it is not: no mail logic of the gateway (mail leaves as any client's does), no state but the table of sessions.
//!
//! Failure behaviour: a store that is down gives 503 and "nothing is lost"; a message that can't be sent stays as a
//! draft; a session that is gone leads to the sign-in page.

mod address;
mod config;
mod content;
mod download;
mod error;
mod form;
mod guard;
mod html;
mod link;
mod metrics;
mod outgoing;
mod server;
mod session;
mod smtp;
mod style;
mod submit;
mod text;
mod uploads;
mod view;
mod when;

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::{ConnectionLimits, Drain, ServerTls};
use tokio::net::TcpListener;

pub use config::Config;

use metrics::Metrics;
use server::{Connection, Serving};
use session::{SessionLimits, Sessions};
use submit::{NoSubmit, Submit};
use uploads::Uploads;

use crate::listen::{addresses, listen};
use crate::{BindError, Deps};

/// The webmail, bound to its addresses.
pub(crate) struct Web {
    plain: Option<TcpListener>,
    encrypted: Option<TcpListener>,
    inner: Inner,
}

/// What every page may use.
struct Inner {
    config: Config,
    deps: Arc<Deps>,
    submit: Arc<dyn Submit>,
    sessions: Sessions,
    metrics: Metrics,
    uploads: Uploads,
    drain: Drain,
}

type Shared = Arc<Inner>;

impl Inner {
    /// Whether the browser's side of the connection is encrypted.
    fn is_secure(&self, connection: Option<&Connection>) -> bool {
        self.config.behind_tls_proxy || connection.is_some_and(|connection| connection.tls)
    }
}

impl Web {
    /// Binds what is configured.
    pub(crate) async fn bind(config: Config, deps: Arc<Deps>) -> Result<Self, BindError> {
        let submit: Arc<dyn Submit> = match &deps.submission {
            Some(submission) => {
                Arc::new(smtp::Smtp::new(submission.clone(), config.submission_timeout.into()))
            }
            None => Arc::new(NoSubmit),
        };
        Self::bind_with(config, deps, submit).await
    }

    /// The same with another way out for mail.
    async fn bind_with(config: Config, deps: Arc<Deps>, submit: Arc<dyn Submit>) -> Result<Self, BindError> {
        let plain = listen("web", config.listen).await?;
        if config.listen_tls.is_some() && deps.tls.is_none() {
            return Err(BindError::NoCertificate { listener: "webs" });
        }
        let encrypted = listen("webs", config.listen_tls).await?;
        let metrics = Metrics::new(&deps.registry)?;
        let limits = SessionLimits {
            total: config.sessions_max,
            per_account: config.sessions_per_account_max,
            idle: config.session_idle_timeout.into(),
            age: config.session_timeout.into(),
            live_updates: config.live_updates_max,
        };
        let sessions = Sessions::new(limits, metrics.sessions.clone());
        let uploads = Uploads::new(&config, metrics.upload_memory.clone());
        let inner = Inner { config, deps, submit, sessions, metrics, uploads, drain: Drain::new() };
        Ok(Self { plain, encrypted, inner })
    }

    /// The bound listeners.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        addresses([("web", &self.plain), ("webs", &self.encrypted)])
    }

    /// Serves until the drain is asked for; requests under way are finished as the drain's tasks.
    pub(crate) async fn run(self, drain: Drain) {
        let inner = Inner { drain: drain.clone(), ..self.inner };
        let limits = ConnectionLimits {
            total: inner.config.connections_max,
            per_address: inner.config.connections_per_address_max,
            proxies: inner.config.trusted_proxies.clone(),
            proxy_protocol_from: Vec::new(),
            reserve: None,
        };
        let (header_timeout, write_timeout) = (inner.config.header_timeout, inner.config.write_timeout);
        let tls = inner.deps.tls.clone();
        let router = view::router(Arc::new(inner));
        let start = |listener: Option<TcpListener>, tls: Option<ServerTls>| {
            let serving = Serving {
                router: router.clone(),
                limits: limits.clone(),
                header_timeout,
                write_timeout,
                tls,
            };
            let drain = drain.clone();
            async move {
                if let Some(listener) = listener {
                    server::run(listener, serving, drain).await;
                }
            }
        };
        tokio::join!(start(self.plain, None), start(self.encrypted, tls));
    }
}

#[cfg(test)]
mod tests;
