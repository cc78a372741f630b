//! Binding and accepting.

use std::net::SocketAddr;
use std::sync::Arc;

use envelope::Entrance;
use runtime::{Accepted, Drain, Overload, ServerTls};
use smtp_proto::server::Service;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use crate::session::{self, Door, Shared};
use crate::{BindError, Config, reply};

/// The doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Port 25.
    Mx,
    /// Port 587.
    Submission,
    /// Port 465.
    Submissions,
    /// LMTP, from mail systems of our own.
    Lmtp,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Mx, Self::Submission, Self::Submissions, Self::Lmtp];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Lmtp => "lmtp",
        }
    }

    /// Whether people log in here.
    pub(crate) const fn is_submission(self) -> bool {
        matches!(self, Self::Submission | Self::Submissions)
    }

    /// What the protocol's machine calls it.
    pub(crate) const fn service(self) -> Service {
        match self {
            Self::Mx => Service::Mx,
            Self::Submission | Self::Submissions => Service::Submission,
            Self::Lmtp => Service::Lmtp,
        }
    }

    /// What the queue calls it.
    pub(crate) const fn entrance(self) -> Entrance {
        match self {
            Self::Mx => Entrance::Mx,
            Self::Submission | Self::Submissions => Entrance::Submission,
            Self::Lmtp => Entrance::Lmtp,
        }
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
        (Kind::Lmtp, &config.lmtp),
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
                Accepted::Refused(tcp, peer, overload) => refuse(&shared, kind, tcp, peer, overload).await,
            }
        }
    })
    .await;
}

/// One line to a client over its limit; nothing where it expects a handshake.
async fn refuse(shared: &Shared, kind: Kind, mut tcp: TcpStream, peer: SocketAddr, overload: Overload) {
    let (end, reply) = match overload {
        Overload::Network => (session::End::PerAddressLimit, reply::too_many_connections()),
        Overload::Total => (session::End::TotalLimit, reply::busy()),
    };
    shared.metrics.session_ended(kind, end);
    debug!(%peer, end = end.name(), "connection refused");
    if kind.is_implicit_tls() {
        return;
    }
    let mut line = Vec::new();
    reply.write(&mut line);
    let write = async {
        let _ = tcp.write_all(&line).await;
        let _ = tcp.shutdown().await;
    };
    let _ = tokio::time::timeout(shared.config.timeouts.reply.as_duration(), write).await;
}
