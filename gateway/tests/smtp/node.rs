//! A gateway on ports of its own, with a directory and a queue in memory, and a peer that talks to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::filters::Filters;
use async_trait::async_trait;
use directory::{Authentication, Directory, LoginMethods, LoginStamp, Resolution, ScramAnswer, Unavailable};
use envelope::{AccountId, Address, Domain, Quota, Secret};
use gateway::{Config, Deps};
use queue::memory::MemoryQueue;
use queue::{Lane, ListFilter, Queue};
use runtime::{ClientTls, Drain, ServerTls, Stream};
use sasl::ScramSecret;
use sasl::server::{BearerHint, BearerToken, ScramProof};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What is kept of alice's password for SCRAM.
fn scram_secret() -> ScramSecret {
    ScramSecret::new(&Secret::new("wonderland".to_owned()), &[7; 16], 4096)
}

/// alice and bob at example.test (passwords `wonderland`, `builder`), the aliases team and al.
#[derive(Default)]
pub(crate) struct TestDirectory {
    pub(crate) down: AtomicBool,
}

impl TestDirectory {
    fn check(&self) -> Result<(), Unavailable> {
        if self.down.load(Ordering::SeqCst) { Err(Unavailable("it is down".to_owned())) } else { Ok(()) }
    }
}

pub(crate) fn resolution(address: &Address) -> Resolution {
    let address = address.canonical();
    if address.domain().as_str() != "example.test" {
        return Resolution::NotLocal;
    }
    let base = address.split_tag('+').map_or_else(|| address.clone(), |(base, _)| base);
    match base.local_part().as_str() {
        "alice" | "bob" | "postmaster" | "üser" => Resolution::Mailbox {
            account: AccountId::new(&base),
            tag: address.split_tag('+').map(|(_, t)| t),
        },
        "team" | "al" => Resolution::Alias(vec!["alice@example.test".parse().unwrap()]),
        many if many.strip_prefix("user").is_some_and(|n| n.parse::<u32>().is_ok()) => {
            Resolution::Mailbox { account: AccountId::new(&base), tag: None }
        }
        _ => Resolution::Unknown,
    }
}

#[async_trait]
impl Directory for TestDirectory {
    async fn resolve(&self, address: &Address) -> Result<Resolution, Unavailable> {
        self.check()?;
        Ok(resolution(address))
    }

    async fn postmaster(&self) -> Result<Option<Address>, Unavailable> {
        self.check()?;
        Ok(Some("bob@example.test".parse().unwrap()))
    }

    async fn is_local(&self, domain: &Domain) -> Result<bool, Unavailable> {
        self.check()?;
        Ok(domain.as_str() == "example.test")
    }

    async fn authenticate(
        &self,
        login: &str,
        password: &Secret<String>,
        _peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        self.check()?;
        Ok(match (login, password.expose().as_str()) {
            ("alice@example.test", "wonderland") | ("bob@example.test", "builder") => {
                Authentication::Accepted(login.parse().unwrap())
            }
            ("throttled@example.test", _) => Authentication::Throttled,
            _ => Authentication::Refused,
        })
    }

    fn login_methods(&self) -> LoginMethods {
        LoginMethods { scram: true, bearer: Some(BearerHint::default()) }
    }

    async fn scram_secret(&self, login: &str, _: IpAddr) -> Result<ScramAnswer, Unavailable> {
        Ok(match login {
            "throttled@example.test" => ScramAnswer::Throttled,
            "alice@example.test" => ScramAnswer::Secret(scram_secret()),
            other => ScramAnswer::Secret(ScramSecret::of_nobody(&[7; 32], other, 4096)),
        })
    }

    async fn authenticate_scram(&self, proof: &ScramProof, _: IpAddr) -> Result<Authentication, Unavailable> {
        let is_alice = proof.login() == "alice@example.test" && proof.is_right(&scram_secret());
        Ok(if is_alice {
            Authentication::Accepted(proof.login().parse().unwrap())
        } else {
            Authentication::Refused
        })
    }

    async fn authenticate_bearer(
        &self,
        token: &BearerToken,
        _: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        match token.token.expose().as_str() {
            "alice.token" => Ok(Authentication::Accepted("alice@example.test".parse().unwrap())),
            "no.keys" => Err(Unavailable("no keys".to_owned())),
            long if long.len() > 4000 => Ok(Authentication::Accepted("alice@example.test".parse().unwrap())),
            _ => Ok(Authentication::Refused),
        }
    }

    async fn quota(&self, _: &AccountId) -> Result<Quota, Unavailable> {
        Ok(Quota::default())
    }

    async fn login_stamp(&self, account: &AccountId) -> Result<Option<LoginStamp>, Unavailable> {
        Ok(Some(LoginStamp::of(&account.to_string())))
    }

    async fn may_send_as(&self, account: &AccountId, sender: &Address) -> Result<bool, Unavailable> {
        self.check()?;
        let own = account.address() == &sender.canonical();
        let alias = account.to_string() == "alice@example.test" && sender.to_string() == "al@example.test";
        Ok(own || alias)
    }
}

/// The gateway under test.
pub(crate) struct Node {
    pub(crate) addresses: Vec<(&'static str, SocketAddr)>,
    pub(crate) directory: Arc<TestDirectory>,
    pub(crate) drain: Drain,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) registry: prometheus::Registry,
    pub(crate) trust: ClientTls,
}

/// Starts a gateway whose queue takes everything.
pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Node {
    start_over(Arc::new(MemoryQueue::new()), change).await
}

/// Starts a gateway over `queue`.
pub(crate) async fn start_over(queue: Arc<dyn Queue>, change: impl FnOnce(&mut Config)) -> Node {
    start_with(queue, None, change).await
}

/// Starts a gateway over `queue` that asks `filters`.
pub(crate) async fn start_with(
    queue: Arc<dyn Queue>,
    filters: Option<Arc<Filters>>,
    change: impl FnOnce(&mut Config),
) -> Node {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = Config {
        hostname: "mx.example.test".to_owned(),
        postmaster: "postmaster@example.test".to_owned(),
        mx: vec![any],
        submission: vec![any],
        submissions: vec![any],
        lmtp: vec![any],
        ..Config::default()
    };
    change(&mut config);
    let (tls, made) = ServerTls::self_signed(&["mx.example.test"]).unwrap();
    let directory = Arc::new(TestDirectory::default());
    let registry = prometheus::Registry::new();
    let deps = Deps {
        directory: Arc::clone(&directory) as Arc<dyn Directory>,
        queue: Arc::clone(&queue),
        filters,
        tls: Some(tls),
        registry: registry.clone(),
    };
    let gateway = gateway::bind(config, deps).await.unwrap();
    let addresses = gateway.addresses();
    let drain = Drain::new();
    tokio::spawn(gateway.run(drain.clone()));
    let trust = ClientTls::trusting(&made.certificate_pem).unwrap();
    Node { addresses, directory, drain, queue, registry, trust }
}

impl Node {
    pub(crate) fn address(&self, door: &str) -> SocketAddr {
        self.addresses.iter().find(|(name, _)| *name == door).unwrap().1
    }

    /// Connects; on `submissions` with the handshake done. The greeting is not read yet.
    pub(crate) async fn connect(&self, door: &str) -> Peer {
        self.connect_through(door, b"").await
    }

    /// Connects through a load balancer, which says this first.
    pub(crate) async fn connect_through(&self, door: &str, header: &[u8]) -> Peer {
        let mut tcp = TcpStream::connect(self.address(door)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.write_all(header).await.unwrap();
        let stream = if door == "submissions" {
            self.trust.connect(tcp, "mx.example.test").await.unwrap()
        } else {
            Stream::Plain(tcp)
        };
        Peer { stream: Some(stream), buffer: Vec::new() }
    }

    /// Connects, reads the greeting, says EHLO.
    pub(crate) async fn greeted(&self, door: &str) -> Peer {
        let mut peer = self.connect(door).await;
        peer.expect("220 ").await;
        let hello = if door == "lmtp" { "LHLO client.test" } else { "EHLO client.test" };
        peer.ask(hello, "250").await;
        peer
    }

    /// The same, logged in as alice.
    pub(crate) async fn logged_in(&self) -> Peer {
        let mut peer = self.greeted("submissions").await;
        // NUL alice@example.test NUL wonderland
        peer.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k", "235 2.7.0").await;
        peer
    }

    /// Messages in the queue.
    pub(crate) async fn queued(&self) -> usize {
        self.queue.list(&ListFilter::default(), 1000).await.unwrap().len()
    }

    /// The lane of the only message.
    pub(crate) async fn lane(&self) -> Lane {
        self.queue.list(&ListFilter::default(), 1).await.unwrap().first().unwrap().lane
    }

    /// Takes the only message out of the queue, as text.
    pub(crate) async fn message(&self) -> (envelope::Envelope, String) {
        let (envelope, octets) = self.octets().await;
        (envelope, String::from_utf8(octets).unwrap())
    }

    /// Takes the only message out of the queue.
    pub(crate) async fn octets(&self) -> (envelope::Envelope, Vec<u8>) {
        let lease = tokio::time::timeout(PATIENCE, self.queue.lease(Lane::Local)).await.unwrap().unwrap();
        let found = (lease.envelope.clone(), lease.body.to_vec());
        lease.ack().await.unwrap();
        found
    }

    /// The value of a metric, summed over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == format!("sluice_gateway_{name}"));
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        metrics.iter().map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
    }

    /// Waits until no connection is served.
    pub(crate) async fn idle(&self) {
        wait_until("no connection is open", || self.metric("connections") == 0.0).await;
    }
}

/// Waits for a condition.
pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited for: {what}");
        tokio::task::yield_now().await;
    }
}

/// The other side.
pub(crate) struct Peer {
    stream: Option<Stream>,
    buffer: Vec<u8>,
}

impl Peer {
    /// Sends octets in one segment.
    pub(crate) async fn send(&mut self, octets: &[u8]) {
        let stream = self.stream.as_mut().unwrap();
        stream.write_all(octets).await.unwrap();
        stream.flush().await.unwrap();
    }

    /// Sends octets one by one, as far as the server listens.
    pub(crate) async fn send_slowly(&mut self, octets: &[u8]) {
        let stream = self.stream.as_mut().unwrap();
        for octet in octets {
            if stream.write_all(&[*octet]).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }

    /// Sends as much as the server takes; gives whether it took all.
    pub(crate) async fn try_send(&mut self, octets: &[u8]) -> bool {
        let stream = self.stream.as_mut().unwrap();
        tokio::time::timeout(PATIENCE, stream.write_all(octets)).await.unwrap().is_ok()
    }

    /// Gives the octets up as a process that is killed does: with a reset.
    pub(crate) fn reset(self) {
        self.stream.as_ref().unwrap().tcp().set_zero_linger().unwrap();
    }

    /// The next line; `None` when the server closed.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8(line).unwrap();
                return Some(line.strip_suffix("\r\n").expect("lines end with CRLF").to_owned());
            }
            let stream = self.stream.as_mut().unwrap();
            let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut self.buffer)).await;
            match read.expect("the server answers in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next reply, its lines joined by `|`; empty when the server closed.
    pub(crate) async fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                break;
            }
        }
        lines.join("|")
    }

    /// The next reply must begin like this.
    pub(crate) async fn expect(&mut self, start: &str) -> String {
        let reply = self.reply().await;
        assert!(reply.starts_with(start), "expected `{start}`, got `{reply}`");
        reply
    }

    /// Sends a line; its answer must begin like this.
    pub(crate) async fn ask(&mut self, line: &str, start: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        let reply = self.reply().await;
        assert!(reply.starts_with(start), "{line}: expected `{start}`, got `{reply}`");
        reply
    }

    /// The server must close now.
    pub(crate) async fn expect_close(&mut self) {
        assert_eq!(self.line().await, None, "the server closes");
    }

    /// A transaction up to the 354.
    pub(crate) async fn up_to_data(&mut self) {
        self.up_to_recipient().await;
        self.ask("DATA", "354 ").await;
    }

    /// A transaction with a recipient, ready for BDAT.
    pub(crate) async fn up_to_recipient(&mut self) {
        self.ask("MAIL FROM:<alice@example.test>", "250 2.1.0").await;
        self.ask("RCPT TO:<bob@example.test>", "250 2.1.5").await;
    }

    /// Encrypts after a 220 to STARTTLS.
    pub(crate) async fn encrypt(&mut self, trust: &ClientTls) {
        assert!(self.buffer.is_empty(), "nothing follows the 220");
        let Some(Stream::Plain(tcp)) = self.stream.take() else { panic!("not plain") };
        self.stream = Some(trust.connect(tcp, "mx.example.test").await.unwrap());
    }

    /// Whether the server has sent anything that was not read.
    pub(crate) fn has_input(&mut self) -> bool {
        let mut octet = [0];
        !self.buffer.is_empty()
            || self.stream.as_ref().unwrap().tcp().try_read(&mut octet).is_ok_and(|count| count > 0)
    }
}
