//! HTTP to the authority: over this room's TLS, one connection a request, nothing unbounded.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::HOST;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{HeaderValue, Request, Response, Uri};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::ClientTls;

/// Octets of an answer; a certificate chain has some thousand.
const ANSWER_MAX: usize = 1 << 20;
/// The port of https.
const HTTPS: u16 = 443;

type Failure = Box<dyn StdError + Send + Sync>;

/// A client for the few requests of an order.
pub(super) struct Http {
    pub(super) tls: ClientTls,
    pub(super) request_max: Duration,
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (tls, request_max) = (self.tls.clone(), self.request_max);
        Box::pin(async move {
            let answer = tokio::time::timeout(request_max, exchange(&tls, request)).await;
            answer.unwrap_or_else(|_| Err("no answer in time".into())).map_err(Error::Other)
        })
    }
}

async fn exchange(tls: &ClientTls, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
    let uri = request.uri();
    // The authority names the addresses of its own pages: nothing but https is followed (RFC 8555 §6.1).
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(format!("`{uri}` is no https address").into());
    }
    let authority = uri.authority().ok_or("an address without a host")?.clone();
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let tcp = TcpStream::connect((host.as_str(), authority.port_u16().unwrap_or(HTTPS))).await?;
    let stream = tls.connect(tcp, &host).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with this function, whatever its outcome.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let answer = sender.send_request(in_origin_form(request, authority.as_str())?).await?;
    let (parts, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), ANSWER_MAX).await?;
    Ok(BytesResponse::from(Response::from_parts(parts, Body::from(body))))
}

/// What a server wants to be asked: the path, and the host in a field (RFC 9112 §3.2.1).
fn in_origin_form(
    request: Request<BodyWrapper<Bytes>>,
    authority: &str,
) -> Result<Request<BodyWrapper<Bytes>>, Failure> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    parts.uri = Uri::from(path);
    parts.headers.insert(HOST, HeaderValue::from_str(authority)?);
    Ok(Request::from_parts(parts, body))
}
