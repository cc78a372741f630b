//! A few pages over plain HTTP, with bounds: health and metrics, and what proves to an ACME server that a name is ours.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Service as _;
use tracing::debug;

/// Octets of a request's header.
const HEADER_SIZE_MAX: usize = 16 << 10;
/// How long a request that is under way may delay the end.
const FINISH_MAX: Duration = Duration::from_secs(2);
/// How long to wait when the system gives no connection, for lack of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much strangers may ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageLimits {
    /// Requests at once; more are closed unanswered.
    pub(crate) connections_max: usize,
    /// How long a request and its answer may take.
    pub(crate) request_max: Duration,
}

/// Answers with `app` until `end`. Each connection carries one request.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    limits: PageLimits,
    end: impl Future<Output = ()>,
) {
    each(listener, limits, end, move |tcp| answer(tcp, app.clone())).await;
}

/// Hands each connection to `answer` until `end`.
pub(crate) async fn each<F, Fut>(
    listener: TcpListener,
    limits: PageLimits,
    end: impl Future<Output = ()>,
    answer: F,
) where
    F: Fn(TcpStream) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut end = pin!(end);
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut answering = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        while answering.try_join_next().is_some() {}
        let Ok((tcp, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Without a place the connection is closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let answered = answer(tcp);
        answering.spawn(async move {
            let _place = place;
            let _ = tokio::time::timeout(limits.request_max, answered).await;
        });
    }
    let _ = tokio::time::timeout(FINISH_MAX, answering.join_all()).await;
}

async fn answer(tcp: TcpStream, app: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut app = app.clone();
        async move { app.call(request.map(Body::new)).await as Result<_, Infallible> }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_header_size(HEADER_SIZE_MAX)
        .serve_connection(TokioIo::new(tcp), service);
    if let Err(error) = connection.await {
        debug!(%error, "an HTTP connection ended early");
    }
}
