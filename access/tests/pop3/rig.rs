//! A node that serves POP3, and a client that speaks to it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access::{Config, Deps, Pop3Config};
use async_trait::async_trait;
use directory::{Authentication, Directory, LoginMethods, LoginStamp, Resolution, ScramAnswer, Unavailable};
use envelope::{AccountId, Address, Domain, MessageId, Quota, Secret, Timestamp};
use pop3_proto::client::{Status, Unstuffer, status};
use runtime::{BlockingPool, ClientTls, Drain, ServerTls, Stream};
use sasl::ScramSecret;
use sasl::server::{BearerHint, BearerToken, ScramProof};
use store::{Delivery, Flags, Mailbox, MailboxName, RealFs, Store};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use units::Span;

/// Longest wait of any test for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What is kept of alice's password for SCRAM.
fn scram_secret() -> ScramSecret {
    ScramSecret::new(&Secret::new("open sesame".to_owned()), &[7; 16], 4096)
}

/// Knows alice and bob; `down@…` can't be looked up, `slow@…` has failed too often.
struct People;

#[async_trait]
impl Directory for People {
    async fn resolve(&self, _: &Address) -> Result<Resolution, Unavailable> {
        Ok(Resolution::Unknown)
    }

    async fn postmaster(&self) -> Result<Option<Address>, Unavailable> {
        Ok(None)
    }

    async fn is_local(&self, _: &Domain) -> Result<bool, Unavailable> {
        Ok(true)
    }

    async fn authenticate(
        &self,
        login: &str,
        password: &Secret<String>,
        _: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        match login.split('@').next().unwrap_or_default() {
            "down" => Err(Unavailable("a test".to_owned())),
            "slow" => Ok(Authentication::Throttled),
            "alice" | "bob" if password.expose() == "open sesame" => {
                Ok(Authentication::Accepted(login.parse().unwrap()))
            }
            _ => Ok(Authentication::Refused),
        }
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

    async fn may_send_as(&self, _: &AccountId, _: &Address) -> Result<bool, Unavailable> {
        Ok(false)
    }
}

/// A node over a folder.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) drain: Drain,
    plain: SocketAddr,
    tls: SocketAddr,
    trusted: ClientTls,
    run: tokio::task::JoinHandle<()>,
}

/// The mail of a test; nodes come and go over it.
pub(crate) struct Mail(TempDir);

impl Mail {
    pub(crate) fn new() -> Self {
        let mail = Self(tempfile::tempdir().unwrap());
        Store::init_volume(mail.root()).unwrap();
        mail
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) async fn node(&self) -> Node {
        self.node_with(|_| {}).await
    }

    pub(crate) async fn node_with(&self, change: impl FnOnce(&mut Pop3Config)) -> Node {
        runtime::install_crypto_provider();
        let (server_tls, made) = ServerTls::self_signed(&["localhost"]).unwrap();
        let registry = prometheus::Registry::new();
        let store_config = store::Config { root: self.root().to_owned(), ..store::Config::default() };
        let store = Store::open(&store_config, Arc::new(RealFs), &registry).unwrap();
        let mut pop3 = Pop3Config {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            listen_tls: Some("127.0.0.1:0".parse().unwrap()),
            failed_login_delay: Span::millis(0),
            ..Pop3Config::default()
        };
        change(&mut pop3);
        let deps = Deps {
            directory: Arc::new(People),
            store: store.clone(),
            blocking: BlockingPool::new(4, PATIENCE),
            tls: Some(server_tls),
            registry,
            submission: None,
        };
        let role = access::bind(Config { pop3, ..Config::default() }, deps).await.unwrap();
        let address = |wanted: &str| {
            role.addresses()
                .into_iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, address)| address)
                .unwrap()
        };
        let (plain, tls) = (address("pop3"), address("pop3s"));
        let drain = Drain::new();
        let run = tokio::spawn(role.run(drain.clone()));
        let trusted = ClientTls::trusting(&made.certificate_pem).unwrap();
        Node { store, drain, plain, tls, trusted, run }
    }
}

impl Node {
    pub(crate) fn inbox(&self) -> Arc<Mailbox> {
        let alice: AccountId = "alice@example.test".parse().unwrap();
        self.store.account(&alice).unwrap().mailbox(&MailboxName::inbox()).unwrap()
    }

    /// Puts a message into alice's INBOX as a worker does.
    pub(crate) fn deliver(&self, number: u16, content: &[u8]) {
        let [high, low] = number.to_be_bytes();
        let delivery = Delivery {
            message_id: MessageId::new(1_700_000_000_000, [0, 0, 0, 0, 0, 0, 0, 0, high, low]),
            content,
            received_at: Timestamp::from_unix_milliseconds(1_700_000_000_000),
            flags: Flags::default(),
        };
        assert!(!self.inbox().deliver(&delivery).unwrap().duplicate);
    }

    /// How many messages alice has.
    pub(crate) fn count(&self) -> usize {
        self.inbox().refresh().unwrap().len()
    }

    pub(crate) async fn connect(&self) -> Client {
        let tcp = TcpStream::connect(self.plain).await.unwrap();
        Client::new(Stream::Plain(tcp))
    }

    pub(crate) async fn connect_tls(&self) -> Client {
        let tcp = TcpStream::connect(self.tls).await.unwrap();
        Client::new(self.trusted.connect(tcp, "localhost").await.unwrap())
    }

    /// A client that has read the greeting and is logged in as alice.
    pub(crate) async fn alice(&self) -> Client {
        let mut client = self.connect().await;
        assert!(client.line().await.starts_with("+OK"));
        client.log_in().await;
        client
    }

    /// Does the handshake behind `+OK` for STLS.
    pub(crate) async fn handshake(&self, client: Client) -> Client {
        assert!(client.buffer.is_empty(), "nothing comes before the handshake");
        let Stream::Plain(tcp) = client.stream else { panic!("TLS twice") };
        Client::new(self.trusted.connect(tcp, "localhost").await.unwrap())
    }

    /// Ends in good order.
    pub(crate) async fn stop(self) {
        self.drain.begin();
        tokio::time::timeout(PATIENCE, self.run).await.unwrap().unwrap();
        assert_eq!(self.drain.finish(PATIENCE).await, 0);
        self.store.close();
    }
}

pub(crate) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Client {
    fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let mut chunk = [0; 8192];
        let read =
            tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await.expect("an answer in time");
        let length = read.unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..length]);
        length > 0
    }

    /// The next line without CRLF; `<closed>` at the end.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").expect("every line ends with CRLF");
                return String::from_utf8_lossy(line).into_owned();
            }
            if !self.more().await {
                assert!(self.buffer.is_empty(), "half a line at the end");
                return "<closed>".to_owned();
            }
        }
    }

    /// Sends a command and gives the first line of the answer.
    pub(crate) async fn command(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).await;
        self.line().await
    }

    /// Sends a command with a long answer, decoded.
    pub(crate) async fn long(&mut self, command: &str) -> Vec<u8> {
        self.send(format!("{command}\r\n").as_bytes()).await;
        let taken = loop {
            if let Some((status, taken)) = status(&self.buffer).unwrap() {
                assert!(matches!(status, Status::Ok(_)), "{command}: {status:?}");
                break taken;
            }
            assert!(self.more().await);
        };
        self.buffer.drain(..taken);
        let (mut unstuffer, mut content) = (Unstuffer::new(), Vec::new());
        loop {
            let taken = unstuffer.take(&self.buffer, &mut content);
            self.buffer.drain(..taken);
            if unstuffer.is_complete() {
                return content;
            }
            assert!(self.more().await, "the answer ends before its end");
        }
    }

    pub(crate) async fn log_in(&mut self) {
        assert_eq!(self.command("USER alice@example.test").await, "+OK now the password");
        let answer = self.command("PASS open sesame").await;
        assert!(answer.starts_with("+OK"), "{answer}");
    }
}
