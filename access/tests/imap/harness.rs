//! A node with accounts and a client to talk to it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use access::{Config, Deps, ImapConfig};
use async_trait::async_trait;
use directory::{Authentication, Directory, LoginMethods, LoginStamp, Resolution, ScramAnswer, Unavailable};
use envelope::{AccountId, Address, Domain, MessageId, Quota, Secret, Timestamp};
use runtime::{BlockingPool, ClientTls, Drain, ServerTls, Stream};
use sasl::ScramSecret;
use sasl::server::{BearerHint, BearerToken, ScramProof};
use store::{Delivery, Flags, MailboxName, Store, Uid};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer takes longer than this.
const DEADLINE: Duration = Duration::from_secs(20);

/// Every account's password.
pub(crate) const PASSWORD: &str = "open sesame";

/// What is kept of alice's password for SCRAM.
fn scram_secret() -> ScramSecret {
    ScramSecret::new(&Secret::new(PASSWORD.to_owned()), &[7; 16], 4096)
}

/// alice@, bob@, carol@ and dave@example.test (dave may hold two messages); `down@` finds the directory away, `throttled@` is throttled.
struct TestDirectory;

#[async_trait]
impl Directory for TestDirectory {
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
        match login {
            "down@example.test" => Err(Unavailable("test".to_owned())),
            "throttled@example.test" => Ok(Authentication::Throttled),
            "alice@example.test" | "bob@example.test" | "carol@example.test" | "dave@example.test"
                if password.expose() == PASSWORD =>
            {
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

    async fn quota(&self, account: &AccountId) -> Result<Quota, Unavailable> {
        let is_dave = account.to_string().starts_with("dave@");
        Ok(Quota { octets: None, messages: is_dave.then_some(2) })
    }

    async fn login_stamp(&self, account: &AccountId) -> Result<Option<LoginStamp>, Unavailable> {
        Ok(Some(LoginStamp::of(&account.to_string())))
    }

    async fn may_send_as(&self, _: &AccountId, _: &Address) -> Result<bool, Unavailable> {
        Ok(true)
    }
}

/// A running node.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: SocketAddr,
    pub(crate) drain: Drain,
    pub(crate) store: Store,
    pub(crate) registry: prometheus::Registry,
    pub(crate) client_tls: ClientTls,
    directory: TempDir,
}

/// Settings that make tests quick.
pub(crate) fn config() -> ImapConfig {
    ImapConfig {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        listen_tls: Some("127.0.0.1:0".parse().unwrap()),
        failed_login_delay: units::Span::millis(1),
        ..ImapConfig::default()
    }
}

/// A node with the usual settings.
pub(crate) async fn node() -> Node {
    node_with(config()).await
}

pub(crate) async fn node_with(imap: ImapConfig) -> Node {
    let directory = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let store = open_store(directory.path(), &registry);
    let (tls, certificate) = ServerTls::self_signed(&["localhost"]).unwrap();
    let deps = Deps {
        directory: Arc::new(TestDirectory),
        store: store.clone(),
        blocking: BlockingPool::new(8, Duration::from_secs(10)),
        tls: Some(tls),
        registry: registry.clone(),
        submission: None,
    };
    let access = access::bind(Config { imap, ..Config::default() }, deps).await.unwrap();
    let of = |wanted: &str| access.addresses().into_iter().find(|(name, _)| *name == wanted).unwrap().1;
    let (address, tls_address) = (of("imap"), of("imaps"));
    let drain = Drain::new();
    tokio::spawn(access.run(drain.clone()));
    Node {
        address,
        tls_address,
        drain,
        store,
        registry,
        client_tls: ClientTls::trusting(&certificate.certificate_pem).unwrap(),
        directory,
    }
}

fn open_store(root: &std::path::Path, registry: &prometheus::Registry) -> Store {
    let config = store::Config { root: root.join("mail"), ..store::Config::default() };
    Store::init_volume(&config.root).unwrap();
    Store::open(&config, Arc::new(store::RealFs), registry).unwrap()
}

impl Node {
    /// A connection behind its greeting.
    pub(crate) async fn connect(&self) -> Client {
        let mut client = Client::new(Stream::Plain(TcpStream::connect(self.address).await.unwrap()));
        assert!(client.line().await.starts_with("* OK [CAPABILITY IMAP4rev1 "));
        client
    }

    /// Somebody logged in.
    pub(crate) async fn log_in(&self, user: &str) -> Client {
        let mut client = self.connect().await;
        client.ok(&format!("LOGIN {user}@example.test \"{PASSWORD}\"")).await;
        client
    }

    /// Alice with a mailbox selected.
    pub(crate) async fn alice(&self, mailbox: &str) -> Client {
        let mut client = self.log_in("alice").await;
        client.ok(&format!("SELECT {mailbox}")).await;
        client
    }

    /// Puts something unreadable in the place of the index of Alice's mailboxes of that directory name.
    pub(crate) fn spoil_index(&self, mailbox: &str) {
        let mut found = Vec::new();
        let mut folders = vec![self.directory.path().join("mail")];
        while let Some(folder) = folders.pop() {
            for item in std::fs::read_dir(&folder).unwrap() {
                let path = item.unwrap().path();
                if path.ends_with(format!("{mailbox}/sluice.index")) {
                    found.push(path);
                } else if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        assert_eq!(found.len(), 1, "{found:?}");
        std::fs::remove_file(&found[0]).unwrap();
        std::fs::create_dir(&found[0]).unwrap();
    }

    /// Delivers a message as a worker does.
    pub(crate) async fn deliver(&self, user: &str, mailbox: &str, content: &[u8]) -> Uid {
        Self::deliver_by(&self.store, user, mailbox, content).await
    }

    /// The same files as another process has them.
    pub(crate) fn other_process(&self) -> Store {
        open_store(self.directory.path(), &prometheus::Registry::new())
    }

    pub(crate) async fn deliver_by(store: &Store, user: &str, mailbox: &str, content: &[u8]) -> Uid {
        let account: AccountId = format!("{user}@example.test").parse().unwrap();
        let (store, name, content) = (store.clone(), MailboxName::parse(mailbox).unwrap(), content.to_vec());
        let work = move || {
            let mailbox = store.account(&account).unwrap().mailbox(&name).unwrap();
            let now = Timestamp::from(std::time::SystemTime::now());
            let mut random = [0; 10];
            getrandom::fill(&mut random).unwrap();
            let delivery = Delivery {
                message_id: MessageId::new(now.unix_milliseconds(), random),
                content: &content,
                received_at: now,
                flags: Flags::default(),
            };
            mailbox.deliver(&delivery).unwrap().uid.unwrap()
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    /// Delivers small messages numbered from 1.
    pub(crate) async fn deliver_many(&self, user: &str, mailbox: &str, count: usize) {
        for number in 1..=count {
            self.deliver(user, mailbox, message(&format!("message {number}")).as_bytes()).await;
        }
    }
}

/// A small message.
pub(crate) fn message(subject: &str) -> String {
    format!(
        "From: Bob <bob@example.test>\r\nTo: alice@example.test\r\nSubject: {subject}\r\n\
         Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <1@example.test>\r\n\r\nHello, this is {subject}.\r\n"
    )
}

/// The client's end.
pub(crate) struct Client {
    stream: Stream,
    unread: VecDeque<u8>,
    tag: usize,
}

impl Client {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, unread: VecDeque::new(), tag: 0 }
    }

    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        timeout(DEADLINE, self.stream.write_all(octets.as_ref())).await.expect("sent in time").unwrap();
        timeout(DEADLINE, self.stream.flush()).await.expect("sent in time").unwrap();
    }

    /// As [`Self::send`], to a server that may have closed.
    pub(crate) async fn try_send(&mut self, octets: impl AsRef<[u8]>) -> bool {
        timeout(DEADLINE, self.stream.write_all(octets.as_ref())).await.is_ok_and(|sent| sent.is_ok())
    }

    /// The next line without its end; `<closed>` at the end of the connection.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.unread.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=at).collect();
                return String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            }
            if self.unread.is_empty() {
                self.unread = VecDeque::new();
            }
            let mut buffer = vec![0; 16 * 1024];
            match timeout(DEADLINE, self.stream.read(&mut buffer)).await.expect("an answer in time") {
                Ok(0) | Err(_) => return "<closed>".to_owned(),
                Ok(count) => self.unread.extend(&buffer[..count]),
            }
        }
    }

    /// Sends a command; the lines of the answer, the tagged one last without its tag.
    pub(crate) async fn command(&mut self, command: &str) -> Vec<String> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.send(format!("{tag} {command}\r\n")).await;
        self.answer(&tag).await
    }

    /// Lines up to the tagged one, which loses its tag.
    pub(crate) async fn answer(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if let Some(last) = line.strip_prefix(&format!("{tag} ")) {
                lines.push(last.to_owned());
                return lines;
            }
            let closed = line == "<closed>";
            lines.push(line);
            if closed {
                return lines;
            }
        }
    }

    /// Sends a command that must succeed; the untagged lines.
    pub(crate) async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut lines = self.command(command).await;
        let last = lines.pop().unwrap();
        assert!(last.starts_with("OK"), "{command}: {lines:?} {last}");
        lines
    }

    /// Sends a command; only how it ends: `OK`, `NO [CODE]`, `BAD`.
    pub(crate) async fn end_of(&mut self, command: &str) -> String {
        let last = self.command(command).await.pop().unwrap();
        let words: Vec<&str> = last.split(' ').collect();
        match words.as_slice() {
            [condition, code, ..] if code.starts_with('[') => {
                format!("{condition} {}]", code.trim_end_matches(']'))
            }
            [condition, ..] => (*condition).to_owned(),
            [] => String::new(),
        }
    }

    /// Sends a message.
    pub(crate) async fn append(&mut self, mailbox: &str, message: &str) {
        let (size, end) = (message.len(), "\r\n");
        self.ok(&format!("APPEND {mailbox} {{{size}+}}{end}{message}")).await;
    }

    /// Waits for the end of the connection; what came before.
    pub(crate) async fn until_closed(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                line if line == "<closed>" => return lines,
                line => lines.push(line),
            }
        }
    }

    /// Does the handshake after STARTTLS.
    pub(crate) async fn start_tls(self, tls: &ClientTls) -> Self {
        let Stream::Plain(tcp) = self.stream else { panic!("TLS already") };
        assert!(self.unread.is_empty(), "nothing may come before the handshake");
        Self { stream: tls.connect(tcp, "localhost").await.unwrap(), ..self }
    }
}
