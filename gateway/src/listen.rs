//! Binding and accepting.

use std::net::SocketAddr;
use std::sync::Arc;

use runtime::{Accepted, Drain, ServerTls};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use crate::session::{self, Door, Shared};
use crate::{BindError, Config, reply};

/// The three doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Port 25.
    Mx,
    /// Port 587.
    Submission,
    /// Port 465.
    Submissions,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Mx, Self::Submission, Self::Submissions];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
        }
    }

    /// Whether people log in here.
    pub(crate) const fn is_submission(self) -> bool {
        !matches!(self, Self::Mx)
    }

    /// Whether the connection begins with a handshake.
    pub(crate) const fn is_implicit_tls(self) -> bool {
        matches!(self, Self::Submissions)
    }
}

/// A listener that is bound.
pub(crate) struct Bound {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    /// The certificate with session tickets of this listener only, so that none is good at another door.
    tls: Option<ServerTls>,
}

/// The ALPN name: a client that thinks it speaks another protocol is refused in the handshake.
const ALPN: [&str; 1] = ["smtp"];

/// Binds every configured address.
pub(crate) async fn bind(config: &Config, tls: Option<&ServerTls>) -> Result<Vec<Bound>, BindError> {
    let doors = [
        (Kind::Mx, &config.mx),
        (Kind::Submission, &config.submission),
        (Kind::Submissions, &config.submissions),
    ];
    let mut bound = Vec::new();
    for (kind, addresses) in doors {
        if kind.is_implicit_tls() && tls.is_none() && !addresses.is_empty() {
            return Err(BindError::NoCertificate(kind.name()));
        }
        for address in addresses {
            let failed = |source| BindError::Listen { listener: kind.name(), address: *address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let tls = tls.map(|tls| tls.for_listener_asking(&ALPN)).transpose()?;
            bound.push(Bound { kind, address, listener, tls });
        }
    }
    Ok(bound)
}

/// Serves one listener until the drain begins.
pub(crate) async fn serve(bound: Bound, shared: Arc<Shared>, drain: Drain) {
    let (kind, tls) = (bound.kind, bound.tls);
    let limits = shared.config.limits.connections(&shared.config.proxy_protocol_from);
    shared.metrics.connections_limit(kind, limits.total);
    let sessions = drain.clone();
    runtime::serve(bound.listener, limits, drain, move |accepted| {
        let (shared, drain, tls) = (Arc::clone(&shared), sessions.clone(), tls.clone());
        async move {
            match accepted {
                Accepted::Connection(tcp, peer, admission) => {
                    Box::pin(session::run(shared, Door { kind, tls, drain }, tcp, peer)).await;
                    drop(admission);
                }
                Accepted::Refused(tcp, peer) => refuse(&shared, kind, tcp, peer).await,
            }
        }
    })
    .await;
}

/// One line to a client over its limit; nothing where it expects a handshake.
async fn refuse(shared: &Shared, kind: Kind, mut tcp: TcpStream, peer: SocketAddr) {
    shared.metrics.session_ended(kind, session::End::PerAddressLimit);
    debug!(%peer, "connection refused, its address has too many");
    if kind.is_implicit_tls() {
        return;
    }
    let mut line = Vec::new();
    reply::too_many_connections().write(&mut line);
    let write = async {
        let _ = tcp.write_all(&line).await;
        let _ = tcp.shutdown().await;
    };
    let _ = tokio::time::timeout(shared.config.timeouts.reply.as_duration(), write).await;
}
