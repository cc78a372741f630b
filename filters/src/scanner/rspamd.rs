//! rspamd's own protocol: the message goes with POST to `/checkv2`, facts about it in fields, the answer is JSON.

mod answer;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::config::ScannerConfig;
use super::{Finding, ScanFacts, ScanFailure};
use crate::peer::Stream;

pub use answer::fuzz_rspamd_answer;

/// Octets of the answer's head.
const HEAD_MAX: usize = 16 * 1024;

/// Connections that wait for the next message.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// The last one is the one used last.
    connections: Mutex<Vec<(Instant, Connection)>>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What moves octets; it ends with the connection.
    mover: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.mover.abort();
    }
}

impl Idle {
    fn take(&self, age_max: Duration) -> Option<Connection> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|(since, connection)| since.elapsed() < age_max && connection.sender.is_ready());
        connections.pop().map(|(_, connection)| connection)
    }

    fn put(&self, connection: Connection, most: usize) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() < most && !connection.sender.is_closed() {
            connections.push((Instant::now(), connection));
        }
    }
}

pub(super) async fn scan(
    config: &ScannerConfig,
    idle: &Idle,
    facts: &ScanFacts,
    message: &Bytes,
) -> Result<Finding, ScanFailure> {
    let request = request(facts, message)?;
    // rspamd may close a connection just as it is used again: then a new one is tried, once.
    if let Some(mut kept) = idle.take(config.idle_connection_age_max.as_duration()) {
        match kept.sender.send_request(request.clone()).await {
            Ok(response) => return read(config, idle, kept, response, message).await,
            Err(error) => tracing::debug!(scanner = config.name, %error, "a kept connection was of no use"),
        }
    }
    let mut fresh = connect(config).await?;
    let response = fresh.sender.send_request(request).await.map_err(|error| failed(&error))?;
    read(config, idle, fresh, response, message).await
}

async fn connect(config: &ScannerConfig) -> Result<Connection, ScanFailure> {
    let opened = async {
        let stream = Stream::connect(&config.address).await.map_err(|error| error.to_string())?;
        let handshake = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream)).await;
        handshake.map_err(|error| error.to_string())
    };
    let opened = timeout(config.connect_max.as_duration(), opened).await;
    let opened = opened.unwrap_or_else(|_| Err("no connection within connect_max".to_owned()));
    let (sender, connection) = opened.map_err(ScanFailure::Unreachable)?;
    let mover = tokio::spawn(async move {
        // Whoever waits for an answer hears of an error.
        let _ = connection.await;
    });
    Ok(Connection { sender, mover })
}

/// The request; `Rcpt` once for each recipient. What can't stand in a field is left out.
fn request(facts: &ScanFacts, message: &Bytes) -> Result<Request<Full<Bytes>>, ScanFailure> {
    let mut request = Request::post("/checkv2").body(Full::new(message.clone()));
    let request = request.as_mut().map_err(|error| ScanFailure::Protocol(error.to_string()))?;
    let mut fields: Vec<(&'static str, String)> = vec![
        ("host", "rspamd".to_owned()),
        ("queue-id", facts.id.clone()),
        ("mta-name", facts.our_name.clone()),
        ("from", format!("<{}>", facts.reverse_path)),
        // Asks for what a milter would do: the block with changes.
        ("milter", "Yes".to_owned()),
    ];
    fields.extend(facts.recipients.iter().map(|recipient| ("rcpt", format!("<{recipient}>"))));
    fields.extend(facts.peer.map(|peer| ("ip", peer.to_canonical().to_string())));
    fields.extend(facts.hostname.clone().map(|name| ("hostname", name)));
    fields.extend(facts.helo.clone().map(|name| ("helo", name)));
    fields.extend(facts.login.clone().map(|login| ("user", login)));
    fields.extend(facts.tls.clone().map(|version| ("tls-version", version)));
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    Ok(request.clone())
}

async fn read(
    config: &ScannerConfig,
    idle: &Idle,
    connection: Connection,
    response: Response<Incoming>,
    message: &Bytes,
) -> Result<Finding, ScanFailure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), config.answer_max.as_usize()).collect().await;
    let body = body.map_err(|error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
        Some(_) => ScanFailure::Protocol("an answer over answer_max".to_owned()),
        None => ScanFailure::Closed(error.to_string()),
    })?;
    if status != hyper::StatusCode::OK {
        return Err(ScanFailure::Protocol(format!("HTTP status {status}")));
    }
    let finding = answer::judge(&body.to_bytes(), message, config.modifications_max)?;
    idle.put(connection, config.idle_connections_max);
    Ok(finding)
}

fn failed(error: &hyper::Error) -> ScanFailure {
    if error.is_parse() {
        ScanFailure::Protocol(error.to_string())
    } else {
        ScanFailure::Closed(error.to_string())
    }
}
