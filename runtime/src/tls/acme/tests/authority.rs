//! A small ACME server (RFC 8555) that really checks what it is told: signatures, nonces, addresses, challenges and requests.

pub(super) mod validation;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SanType,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::Service as _;

use self::validation::{connects, fetches};
use crate::ServerTls;

/// What the authority does wrong, or refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Fair,
    /// Believes nobody.
    Disbelieving,
    /// Gives certificates for another name.
    Confused,
    /// Offers dns-01 only.
    DnsOnly,
    /// Has lost its accounts.
    Forgetful,
}

pub(super) struct Authority {
    pub(super) base: String,
    pub(super) root_pem: String,
    pub(super) state: Arc<Mutex<Inner>>,
    serving: tokio::task::JoinHandle<()>,
}

pub(super) struct Inner {
    base: String,
    pub(super) mood: Mood,
    /// Where challenges are answered; the real ones are on ports 80 and 443.
    pub(super) answers: watch::Sender<Option<SocketAddr>>,
    /// How many days a certificate is valid.
    pub(super) days: i64,
    nonces: HashSet<String>,
    counter: u64,
    bad_nonces_left: u32,
    pub(super) bad_nonces_given: u32,
    /// Account address → public key.
    pub(super) accounts: HashMap<String, Value>,
    pub(super) contacts: Vec<Value>,
    pub(super) orders: Vec<Order>,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

pub(super) struct Order {
    names: Vec<String>,
    /// pending, valid, invalid: one a name.
    proofs: Vec<&'static str>,
    status: &'static str,
    certificate: String,
}

impl Authority {
    pub(super) async fn start() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root_pem = parameters.self_signed(&key).unwrap().pem();
        let issuer = Arc::new(Issuer::new(parameters, key));
        let own_key = KeyPair::generate().unwrap();
        let own =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&own_key, &issuer).unwrap();
        let tls = ServerTls::from_pem(
            own.pem().as_bytes(),
            own_key.serialize_pem().as_bytes(),
            std::time::Duration::from_secs(10),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Inner {
            base: base.clone(),
            mood: Mood::Fair,
            answers: watch::Sender::default(),
            days: 90,
            nonces: HashSet::new(),
            counter: 0,
            bad_nonces_left: 1,
            bad_nonces_given: 0,
            accounts: HashMap::new(),
            contacts: Vec::new(),
            orders: Vec::new(),
            issuer,
        }));
        let serving = tokio::spawn(serve(listener, tls, router(Arc::clone(&state))));
        Self { base, root_pem, state, serving }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap()
    }

    /// Nobody is there any more.
    pub(super) fn stop(&self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, tls: ServerTls, app: Router) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (tls, app) = (tls.clone(), app.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.upgrade(tcp).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let mut app = app.clone();
                async move { app.call(request.map(Body::new)).await as Result<_, Infallible> }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Shared = State<Arc<Mutex<Inner>>>;

fn router(state: Arc<Mutex<Inner>>) -> Router {
    Router::new()
        .route("/directory", get(directory))
        .route("/nonce", get(nonce).head(nonce))
        .route("/account", post(new_account))
        .route("/account/{id}", post(account))
        .route("/order", post(new_order))
        .route("/order/{id}", post(order))
        .route("/proof/{order}/{index}", post(proof))
        .route("/challenge/{order}/{index}", post(challenge))
        .route("/finalize/{id}", post(finalize))
        .route("/certificate/{id}", post(certificate))
        .with_state(state)
}

async fn directory(State(state): Shared) -> Response {
    let base = state.lock().unwrap().base.clone();
    let at = |path: &str| format!("{base}/{path}");
    let directory = json!({
        "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order"),
        "revokeCert": at("revoke"), "keyChange": at("key"), "meta": {},
    });
    directory.to_string().into_response()
}

async fn nonce(State(state): Shared) -> Response {
    let nonce = state.lock().unwrap().fresh_nonce();
    (StatusCode::OK, [("replay-nonce", nonce)]).into_response()
}

/// A request that was checked.
struct Signed {
    account: String,
    key: Value,
    payload: Value,
}

impl Inner {
    fn fresh_nonce(&mut self) -> String {
        self.counter += 1;
        let nonce = BASE64.encode(Sha256::digest(self.counter.to_be_bytes()));
        self.nonces.insert(nonce.clone());
        nonce
    }

    /// RFC 8555 §6.2 to §6.5.
    fn check(&mut self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Signed, Box<Response>> {
        assert_eq!(headers["content-type"], "application/jose+json");
        let body: Value = serde_json::from_slice(body).unwrap();
        let part = |name: &str| body[name].as_str().unwrap().to_owned();
        let decoded = |name: &str| BASE64.decode(part(name)).unwrap();
        let protected: Value = serde_json::from_slice(&decoded("protected")).unwrap();
        assert_eq!(protected["alg"], "ES256");
        assert_eq!(protected["url"], format!("{}{path}", self.base));
        if !self.nonces.remove(protected["nonce"].as_str().unwrap()) {
            return Err(Box::new(self.problem(400, "badNonce", "never seen")));
        }
        if self.bad_nonces_left > 0 {
            self.bad_nonces_left -= 1;
            self.bad_nonces_given += 1;
            return Err(Box::new(self.problem(400, "badNonce", "try another")));
        }
        let (account, key) = match protected.get("kid") {
            Some(account) => {
                let account = account.as_str().unwrap().to_owned();
                match self.accounts.get(&account).cloned() {
                    Some(key) if self.mood != Mood::Forgetful => (account, key),
                    _ => return Err(Box::new(self.problem(400, "accountDoesNotExist", "who?"))),
                }
            }
            None => (String::new(), protected["jwk"].clone()),
        };
        let coordinate = |name: &str| BASE64.decode(key[name].as_str().unwrap()).unwrap();
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let signed = format!("{}.{}", part("protected"), part("payload"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decoded("signature"))
            .expect("the signature fits the key");
        let payload = decoded("payload");
        let payload =
            if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload).unwrap() };
        Ok(Signed { account, key, payload })
    }

    fn problem(&mut self, status: u16, kind: &str, detail: &str) -> Response {
        let body = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail });
        (StatusCode::from_u16(status).unwrap(), [("replay-nonce", self.fresh_nonce())], body.to_string())
            .into_response()
    }

    fn answer(&mut self, status: u16, location: &str, body: &Value) -> Response {
        let headers =
            [("replay-nonce", self.fresh_nonce()), ("location", format!("{}{location}", self.base))];
        (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
    }

    fn show_order(&self, id: usize) -> Value {
        let (order, base) = (&self.orders[id], &self.base);
        let names: Vec<Value> =
            order.names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
        let proofs: Vec<String> =
            (0..order.names.len()).map(|index| format!("{base}/proof/{id}/{index}")).collect();
        let mut shown = json!({
            "status": order.status, "identifiers": names, "authorizations": proofs,
            "finalize": format!("{base}/finalize/{id}"),
        });
        if order.status == "valid" {
            shown["certificate"] = json!(format!("{base}/certificate/{id}"));
        }
        shown
    }

    fn show_challenges(&self, order: usize, index: usize) -> Value {
        let status = self.orders[order].proofs[index];
        let kinds: &[&str] =
            if self.mood == Mood::DnsOnly { &["dns-01"] } else { &["http-01", "tls-alpn-01", "dns-01"] };
        let challenges = kinds.iter().map(|kind| {
            let mut challenge = json!({
                "type": kind, "status": status, "token": token(order, index),
                "url": format!("{}/challenge/{order}/{index}?{kind}", self.base),
            });
            if status == "invalid" {
                challenge["error"] = json!({
                    "type": "urn:ietf:params:acme:error:unauthorized", "detail": "nothing\r\nthere",
                });
            }
            challenge
        });
        json!(challenges.collect::<Vec<_>>())
    }
}

fn token(order: usize, index: usize) -> String {
    BASE64.encode(Sha256::digest(format!("{order} {index}")))
}

/// RFC 7638.
fn key_authorization(token: &str, key: &Value) -> String {
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, key["x"], key["y"]);
    format!("{token}.{}", BASE64.encode(Sha256::digest(canonical)))
}

async fn new_account(State(state): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let mut state = state.lock().unwrap();
    let signed = match state.check("/account", &headers, &body) {
        Ok(signed) => signed,
        Err(response) => return *response,
    };
    assert_eq!(signed.payload["termsOfServiceAgreed"], true);
    let path = format!("/account/{}", state.accounts.len());
    let address = format!("{}{path}", state.base);
    state.accounts.insert(address, signed.key);
    state.contacts.push(signed.payload["contact"].clone());
    // It remembers again.
    if state.mood == Mood::Forgetful {
        state.mood = Mood::Fair;
    }
    state.answer(201, &path, &json!({ "status": "valid" }))
}

async fn account(State(state): Shared, Path(id): Path<usize>, headers: HeaderMap, body: Bytes) -> Response {
    let mut state = state.lock().unwrap();
    let path = format!("/account/{id}");
    match state.check(&path, &headers, &body) {
        Ok(signed) => {
            assert!(signed.account.ends_with(&path));
            state.contacts.push(signed.payload["contact"].clone());
            state.answer(200, &path, &json!({ "status": "valid" }))
        }
        Err(response) => *response,
    }
}

async fn new_order(State(state): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let mut state = state.lock().unwrap();
    let signed = match state.check("/order", &headers, &body) {
        Ok(signed) => signed,
        Err(response) => return *response,
    };
    let names: Vec<String> = (signed.payload["identifiers"].as_array().unwrap().iter())
        .map(|one| one["value"].as_str().unwrap().to_owned())
        .collect();
    let id = state.orders.len();
    let proofs = vec!["pending"; names.len()];
    state.orders.push(Order { names, proofs, status: "pending", certificate: String::new() });
    let shown = state.show_order(id);
    state.answer(201, &format!("/order/{id}"), &shown)
}

async fn order(State(state): Shared, Path(id): Path<usize>, headers: HeaderMap, body: Bytes) -> Response {
    let mut state = state.lock().unwrap();
    let path = format!("/order/{id}");
    if let Err(response) = state.check(&path, &headers, &body) {
        return *response;
    }
    let order = &mut state.orders[id];
    if order.status == "pending" {
        if order.proofs.iter().all(|proof| *proof == "valid") {
            order.status = "ready";
        } else if order.proofs.contains(&"invalid") {
            order.status = "invalid";
        }
    }
    let shown = state.show_order(id);
    // What was asked for is done by the next look.
    if state.orders[id].status == "processing" {
        state.orders[id].status = "valid";
    }
    state.answer(200, &path, &shown)
}

async fn proof(
    State(state): Shared,
    Path((id, index)): Path<(usize, usize)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = state.lock().unwrap();
    let path = format!("/proof/{id}/{index}");
    if let Err(response) = state.check(&path, &headers, &body) {
        return *response;
    }
    let shown = json!({
        "identifier": { "type": "dns", "value": state.orders[id].names[index] },
        "status": state.orders[id].proofs[index], "challenges": state.show_challenges(id, index),
    });
    state.answer(200, &path, &shown)
}

async fn challenge(
    State(state): Shared,
    Path((id, index)): Path<(usize, usize)>,
    request: Request<Body>,
) -> Response {
    let kind = request.uri().query().unwrap().to_owned();
    let headers = request.headers().clone();
    let body = axum::body::to_bytes(request.into_body(), 65536).await.unwrap();
    let path = format!("/challenge/{id}/{index}?{kind}");
    let (expected, name, mut address, disbelieving) = {
        let mut state = state.lock().unwrap();
        let signed = match state.check(&path, &headers, &body) {
            Ok(signed) => signed,
            Err(response) => return *response,
        };
        assert_eq!(signed.payload, json!({}));
        let expected = key_authorization(&token(id, index), &signed.key);
        (
            expected,
            state.orders[id].names[index].clone(),
            state.answers.subscribe(),
            state.mood == Mood::Disbelieving,
        )
    };
    let token = token(id, index);
    let address = address.wait_for(Option::is_some).await.unwrap().unwrap();
    let proved = match kind.as_str() {
        "http-01" => fetches(address, &name, &token, &expected).await,
        "tls-alpn-01" => connects(address, &name, &expected).await,
        _ => false,
    };
    let mut state = state.lock().unwrap();
    state.orders[id].proofs[index] = if proved && !disbelieving { "valid" } else { "invalid" };
    let shown = json!({
        "type": kind, "token": token, "status": "processing", "url": format!("{}{path}", state.base),
    });
    state.answer(200, &path, &shown)
}

async fn finalize(State(state): Shared, Path(id): Path<usize>, headers: HeaderMap, body: Bytes) -> Response {
    let mut state = state.lock().unwrap();
    let signed = match state.check(&format!("/finalize/{id}"), &headers, &body) {
        Ok(signed) => signed,
        Err(response) => return *response,
    };
    if state.orders[id].status != "ready" {
        return state.problem(403, "orderNotReady", "not yet");
    }
    let request = BASE64.decode(signed.payload["csr"].as_str().unwrap()).unwrap();
    let mut request = CertificateSigningRequestParams::from_der(&request.into()).unwrap();
    let asked: Vec<String> = (request.params.subject_alt_names.iter())
        .map(|name| match name {
            SanType::DnsName(name) => name.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked, state.orders[id].names);
    if state.mood == Mood::Confused {
        request.params.subject_alt_names = vec![SanType::DnsName("other.test".try_into().unwrap())];
    }
    let now = time::OffsetDateTime::now_utc();
    request.params.not_before = now - time::Duration::hours(1);
    request.params.not_after = now + time::Duration::days(state.days);
    let issuer = Arc::clone(&state.issuer);
    state.orders[id].certificate = request.signed_by(&*issuer).unwrap().pem();
    state.orders[id].status = "processing";
    let shown = state.show_order(id);
    state.answer(200, &format!("/order/{id}"), &shown)
}

async fn certificate(
    State(state): Shared,
    Path(id): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = state.lock().unwrap();
    if let Err(response) = state.check(&format!("/certificate/{id}"), &headers, &body) {
        return *response;
    }
    let nonce = state.fresh_nonce();
    ([("replay-nonce", nonce)], state.orders[id].certificate.clone()).into_response()
}
