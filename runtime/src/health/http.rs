//! The three pages.

use std::fmt::Write as _;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;

use super::{Health, HealthConfig};
use crate::Drain;
use crate::pages::PageLimits;

#[derive(Clone)]
struct Shared {
    drain: Drain,
    health: Health,
    registry: Registry,
}

/// Answers until every task of the drain has ended, so that `/readyz` and `/metrics` tell of the drain too.
/// Run it as a task of its own, outside the drain's tasks. Each connection carries one request.
pub async fn serve(
    listener: TcpListener,
    config: HealthConfig,
    registry: Registry,
    health: Health,
    drain: Drain,
) {
    let ended = drained(drain.clone());
    let limits = PageLimits {
        connections_max: config.connections_max.into(),
        request_max: config.request_max.as_duration(),
    };
    crate::pages::serve(listener, router(Shared { drain, health, registry }), limits, ended).await;
}

async fn drained(drain: Drain) {
    drain.requested().await;
    drain.finish(Duration::MAX).await;
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .route("/readyz", get(ready))
        .with_state(shared)
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    if shared.drain.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    let missing = shared.health.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines = missing.iter().fold(String::new(), |mut lines, (name, reason)| {
        let _ = writeln!(lines, "{name}: {reason}");
        lines
    });
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&shared.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use units::Span;

    use super::*;

    async fn page(address: SocketAddr, path: &str) -> (u16, String) {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    #[tokio::test]
    async fn tells_what_is_missing_and_of_the_drain() {
        let (registry, health, drain) = (Registry::new(), Health::new(), Drain::new());
        let counter = prometheus::IntCounter::new("sluice_test_total", "A test.").unwrap();
        registry.register(Box::new(counter)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server =
            tokio::spawn(serve(listener, HealthConfig::default(), registry, health.clone(), drain.clone()));

        let (gateway, queue) = (health.component("gateway"), health.component("queue"));
        assert_eq!(page(address, "/livez").await.0, 200);
        assert_eq!(page(address, "/readyz").await, (503, "gateway: starting\nqueue: starting\n".to_owned()));
        gateway.ready();
        queue.not_ready("the disk is full");
        assert_eq!(page(address, "/readyz").await, (503, "queue: the disk is full\n".to_owned()));
        queue.ready();
        assert_eq!(page(address, "/readyz").await, (200, "ready\n".to_owned()));
        let (status, text) = page(address, "/metrics").await;
        assert!(status == 200 && text.contains("sluice_test_total 0"), "{text}");
        assert_eq!(page(address, "/other").await.0, 404);

        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        drain.spawn(async { wait.await.unwrap() });
        drain.begin();
        assert_eq!(page(address, "/readyz").await, (503, "draining\n".to_owned()));
        done.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_keeps_nobody_out_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config =
            HealthConfig { connections_max: 1, request_max: Span::millis(200), ..HealthConfig::default() };
        let (health, drain) = (Health::new(), Drain::new());
        tokio::spawn(serve(listener, config, Registry::new(), health, drain));
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(second.read(&mut [0; 9]).await.unwrap_or(0), 0, "no place, closed");
        assert_eq!(silent.read(&mut [0; 9]).await.unwrap_or(0), 0, "too late, closed");
        assert_eq!(page(address, "/livez").await, (200, "ok\n".to_owned()));
    }
}
