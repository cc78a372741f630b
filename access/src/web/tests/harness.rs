//! A webmail on a port of its own, over a real store in a temporary directory, and a small browser.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use directory::{Authentication, Directory, LoginStamp, Resolution, Unavailable};
use envelope::{AccountId, Address, Domain, MessageId, Quota, Secret, Timestamp};
use runtime::{BlockingPool, Drain};
use store::{Account, Delivery, Flags, MailboxName, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::submit::{Submission, Submit, SubmitError};
use super::super::{Config, Web};
use crate::Deps;

pub(super) const ALICE: &str = "alice@x.test";
pub(super) const BOB: &str = "bob@x.test";
pub(super) const PASSWORD: &str = "correct horse";

/// What became of an account's login.
pub(super) enum Login {
    Changed,
    Gone,
    /// The directory can't say.
    Unknown,
}

/// What became of whose login.
type Logins = Arc<Mutex<BTreeMap<AccountId, Login>>>;

struct People {
    logins: Logins,
}

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
        match login {
            "throttled@x.test" => Ok(Authentication::Throttled),
            "down@x.test" => Err(Unavailable("asleep".to_owned())),
            ALICE | BOB if password.expose() == PASSWORD => {
                Ok(Authentication::Accepted(login.parse().unwrap()))
            }
            _ => Ok(Authentication::Refused),
        }
    }

    async fn quota(&self, _: &AccountId) -> Result<Quota, Unavailable> {
        Ok(Quota::default())
    }

    async fn login_stamp(&self, account: &AccountId) -> Result<Option<LoginStamp>, Unavailable> {
        match self.logins.lock().unwrap().get(account) {
            None => Ok(Some(LoginStamp::of("the first password"))),
            Some(Login::Changed) => Ok(Some(LoginStamp::of("another password"))),
            Some(Login::Gone) => Ok(None),
            Some(Login::Unknown) => Err(Unavailable("asleep".to_owned())),
        }
    }

    async fn may_send_as(&self, _: &AccountId, _: &Address) -> Result<bool, Unavailable> {
        Ok(true)
    }
}

/// Takes every message, but for a recipient called `refused`.
#[derive(Default)]
pub(super) struct Sink(pub(super) Mutex<Vec<Submission>>);

#[async_trait]
impl Submit for Sink {
    async fn submit(&self, submission: Submission) -> Result<String, SubmitError> {
        if let Some(refused) = submission.recipients.iter().find(|a| a.local_part().as_str() == "refused") {
            return Err(SubmitError::Recipient {
                recipient: refused.to_string(),
                reason: "no such mailbox".to_owned(),
            });
        }
        self.0.lock().unwrap().push(submission);
        Ok("2.0.0 queued".to_owned())
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) store: Store,
    pub(super) sink: Arc<Sink>,
    logins: Logins,
    pub(super) drain: Drain,
    pub(super) running: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub(super) async fn start_with(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("mail");
        Store::init_volume(&root).unwrap();
        let registry = prometheus::Registry::new();
        let settings = store::Config { root, ..store::Config::default() };
        let store = Store::open(&settings, Arc::new(store::RealFs), &registry).unwrap();
        let logins = Logins::default();
        let deps = Deps {
            directory: Arc::new(People { logins: Arc::clone(&logins) }),
            store: store.clone(),
            blocking: BlockingPool::new(4, Duration::from_secs(20)),
            tls: None,
            registry,
            submission: None,
        };
        let sink = Arc::new(Sink::default());
        let config = Config { listen: Some("127.0.0.1:0".parse().unwrap()), ..config };
        let way_out: Arc<dyn Submit> = Arc::clone(&sink) as Arc<dyn Submit>;
        let web = Web::bind_with(config, Arc::new(deps), way_out).await.unwrap();
        let address = web.addresses()[0].1;
        let drain = Drain::new();
        let running = tokio::spawn(web.run(drain.clone()));
        Self { address, store, sink, logins, drain, running, _directory: directory }
    }

    /// Changes what the directory says of somebody's login.
    pub(super) fn turn_login(&self, who: &str, login: Login) {
        self.logins.lock().unwrap().insert(who.parse().unwrap(), login);
    }

    pub(super) fn account(&self, who: &str) -> Account {
        self.store.account(&who.parse().unwrap()).unwrap()
    }

    /// Puts a message into a mailbox and gives `<validity>/<uid>/<mailbox>`.
    pub(super) fn put(&self, who: &str, mailbox: &str, content: &str) -> String {
        static COUNT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
        let account = self.account(who);
        let name = MailboxName::parse(mailbox).unwrap();
        let _ = account.create(&name);
        let target = account.mailbox(&name).unwrap();
        let random = [COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed); 10];
        let content = content.replace('\n', "\r\n");
        let delivery = Delivery {
            message_id: MessageId::new(1, random),
            content: content.as_bytes(),
            received_at: Timestamp::from_unix_milliseconds(1_700_000_000_000),
            flags: Flags::default(),
        };
        let uid = target.deliver(&delivery).unwrap().uid.unwrap();
        format!("{}/{}/{mailbox}", target.view().unwrap().uid_validity.0, uid.0)
    }

    pub(super) fn flags(&self, who: &str, at: &str) -> Flags {
        let mut parts = at.splitn(3, '/').skip(1);
        let uid = store::Uid(parts.next().unwrap().parse().unwrap());
        let mailbox = self.account(who).mailbox(&MailboxName::parse(parts.next().unwrap()).unwrap()).unwrap();
        (*mailbox.refresh().unwrap().by_uid(uid).unwrap().1.flags).clone()
    }

    pub(super) fn count(&self, who: &str, mailbox: &str) -> usize {
        let mailbox = self.account(who).mailbox(&MailboxName::parse(mailbox).unwrap()).unwrap();
        mailbox.refresh().unwrap().len()
    }

    /// The newest message of a mailbox.
    pub(super) fn newest(&self, who: &str, mailbox: &str) -> String {
        let mailbox = self.account(who).mailbox(&MailboxName::parse(mailbox).unwrap()).unwrap();
        let uid = mailbox.refresh().unwrap().iter().next_back().unwrap().uid;
        String::from_utf8(mailbox.content(uid).unwrap().to_vec()).unwrap()
    }

    pub(super) fn browser(&self) -> Browser {
        Browser { address: self.address, cookies: BTreeMap::new() }
    }

    pub(super) async fn signed_in(&self, who: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.sign_in(who, PASSWORD).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/folder/INBOX"));
        browser
    }
}

/// Keeps cookies, follows nothing.
#[derive(Clone)]
pub(super) struct Browser {
    address: SocketAddr,
    pub(super) cookies: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The value of a hidden field.
    pub(super) fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest = self.body.split_once(&start).unwrap_or_else(|| panic!("no {name} in {}", self.body)).1;
        rest.split_once('"').unwrap().0.to_owned()
    }
}

impl Browser {
    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[], b"").await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from(path, fields, &[]).await
    }

    pub(super) async fn post_from(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        more: &[(&str, &str)],
    ) -> Answer {
        let encode = |text: &str| super::super::link::encode(text, b"");
        let body: Vec<String> = fields.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(more);
        self.request("POST", path, &headers, body.join("&").as_bytes()).await
    }

    /// POSTs a multipart form; files as (name, content).
    pub(super) async fn upload(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        files: &[(&str, &[u8])],
    ) -> Answer {
        let mut body = Vec::new();
        for (name, value) in fields {
            let head = format!("--BB\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(head.as_bytes());
        }
        for (name, content) in files {
            let head = format!(
                "--BB\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/html\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--BB--\r\n");
        self.request("POST", path, &[("content-type", "multipart/form-data; boundary=BB")], &body).await
    }

    pub(super) async fn sign_in(&mut self, who: &str, password: &str) -> Answer {
        let token = self.get("/sign-in").await.field("token");
        self.post("/sign-in", &[("token", &token), ("name", who), ("password", password)]).await
    }

    pub(super) async fn token(&mut self) -> String {
        self.get("/folders").await.field("csrf")
    }

    pub(super) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.open(method, path, headers, body).await;
        let mut octets = Vec::new();
        // A server that refuses before the body is read may reset the connection behind its answer.
        let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut octets)).await.unwrap();
        let text = String::from_utf8_lossy(&octets);
        let (head, body) =
            text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {method} {path}: {text}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
            .collect();
        for (_, cookie) in headers.iter().filter(|(key, _)| key == "set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        self.cookies.retain(|_, value| !value.is_empty());
        Answer { status, headers, body: body.to_owned() }
    }

    /// Sends a request and leaves the answer unread.
    pub(super) async fn open(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> TcpStream {
        let mut stream = self.begin_with(method, path, headers, body.len()).await;
        // The server may refuse before it has read everything.
        let _ = stream.write_all(body).await;
        stream
    }

    /// Sends a POST's header, which announces `length` octets, and nothing behind it.
    pub(super) async fn begin(&self, path: &str, headers: &[(&str, &str)], length: usize) -> TcpStream {
        self.begin_with("POST", path, headers, length).await
    }

    async fn begin_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: mail.test\r\nConnection: close\r\nContent-Length: {}\r\nCookie: {}\r\n",
            length,
            cookies.join("; ")
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}
