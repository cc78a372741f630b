//! HTTP/1.1 over the runtime's listener: bounded connections, deadlines, drain.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::{Accepted, ConnectionLimits, Drain, ServerTls, Stream, WriteDeadline, serve};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;
use tracing::debug;
use units::Span;

/// Facts about the connection, put beside every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    /// The browser's address, as far as it is known.
    pub(super) peer: IpAddr,
    pub(super) tls: bool,
}

/// How connections are served.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) router: Router,
    pub(super) limits: ConnectionLimits,
    pub(super) header_timeout: Span,
    pub(super) write_timeout: Span,
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
    serve(listener, serving.limits.clone(), drain, move |accepted| {
        let (serving, drain) = (serving.clone(), draining.clone());
        async move {
            match accepted {
                Accepted::Refused(tcp, ..) => refuse(tcp).await,
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
        Some(tls) => match tls.upgrade_first(tcp, &drain).await {
            Ok(stream) => stream,
            Err(error) => {
                debug!(%error, "tls handshake failed");
                return;
            }
        },
    };
    let tls = stream.is_tls();
    let proxies = serving.limits.proxies;
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = serving.router.clone();
        let facts = Connection { peer: client(peer.ip(), request.headers(), &proxies), tls };
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
        .serve_connection(TokioIo::new(WriteDeadline::new(stream, serving.write_timeout.into())), service);
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

/// Who asks: the peer, or behind trusted proxies the last address in `X-Forwarded-For` that is not one of them. What stands
/// before it, anybody may have written.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let mut client = peer.to_canonical();
    let fields = headers.get_all("x-forwarded-for").iter().rev().filter_map(|field| field.to_str().ok());
    for word in fields.flat_map(|field| field.rsplit(',')) {
        if !proxies.contains(&client) {
            break;
        }
        let word = word.trim();
        let address = word.parse().or_else(|_| word.parse::<SocketAddr>().map(|address| address.ip()));
        let Ok(address) = address else { break };
        client = address.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let check = |peer: &str, fields: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("x-forwarded-for", field.parse().unwrap());
            }
            let proxies: Vec<IpAddr> = ["127.0.0.1", "10.0.0.1"].map(|text| text.parse().unwrap()).into();
            let found = client(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {fields:?}");
        };
        check("127.0.0.1", &[], "127.0.0.1");
        check("::ffff:127.0.0.1", &["192.0.2.7"], "192.0.2.7");
        check("127.0.0.1", &["192.0.2.7:4711"], "192.0.2.7");
        check("127.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
        // What the browser wrote itself stands before what the proxy added.
        check("127.0.0.1", &["198.51.100.9, 192.0.2.7"], "192.0.2.7");
        check("127.0.0.1", &["198.51.100.9", "192.0.2.7"], "192.0.2.7");
        check("127.0.0.1", &["198.51.100.9, 192.0.2.7, 10.0.0.1"], "192.0.2.7");
        check("127.0.0.1", &["192.0.2.7, unknown"], "127.0.0.1");
        check("203.0.113.5", &["192.0.2.7"], "203.0.113.5");
    }
}
