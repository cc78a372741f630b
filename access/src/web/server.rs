//! HTTP/1.1 over the runtime's listener: bounded connections, deadlines, drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::{Accepted, ConnectionLimits, Drain, ServerTls, Stream, serve};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;
use tracing::debug;
use units::Span;

/// Facts about the connection, put beside every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) tls: bool,
}

/// How connections are served.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) router: Router,
    pub(super) limits: ConnectionLimits,
    pub(super) header_timeout: Span,
    pub(super) tls: Option<ServerTls>,
}

/// The longest header block of a request.
const HEADER_SIZE_MAX: usize = 32 * 1024;
/// How many header fields a request may have.
const HEADERS_MAX: usize = 64;
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves until the drain begins.
pub(super) async fn run(listener: TcpListener, serving: Serving, drain: Drain) {
    let draining = drain.clone();
    serve(listener, serving.limits, drain, move |accepted| {
        let (serving, drain) = (serving.clone(), draining.clone());
        async move {
            match accepted {
                Accepted::Refused(tcp, _) => refuse(tcp).await,
                Accepted::Connection(tcp, peer, admission) => {
                    converse(tcp, peer, serving, drain).await;
                    drop(admission);
                }
            }
        }
    })
    .await;
}

async fn refuse(mut tcp: TcpStream) {
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), tcp.write_all(REFUSAL)).await;
}

async fn converse(tcp: TcpStream, peer: SocketAddr, serving: Serving, drain: Drain) {
    let stream = match &serving.tls {
        None => Stream::Plain(tcp),
        Some(tls) => match tls.upgrade(tcp).await {
            Ok(stream) => stream,
            Err(error) => {
                debug!(%error, "tls handshake failed");
                return;
            }
        },
    };
    let facts = Connection { peer, tls: stream.is_tls() };
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = serving.router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(facts);
            // A router is always ready and answers every request.
            router.call(request).await as Result<_, Infallible>
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(serving.header_timeout.as_duration())
        .max_header_size(HEADER_SIZE_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended early");
    }
}
