use std::os::unix::fs::PermissionsExt as _;

use prometheus::{Encoder as _, TextEncoder};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use units::Span;

use self::authority::{Authority, Mood};
use super::*;
use crate::signals::Hangup;
use crate::tls::{Certificates, TlsConfig};
use crate::{ClientTls, SelfSigned};

mod authority;

const NAMES: [&str; 2] = ["mail.example.test", "mx.example.test"];
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that gets its certificate from an authority.
struct Node {
    folder: TempDir,
    certificates: Certificates,
    registry: Registry,
    drain: Drain,
    running: Option<JoinHandle<()>>,
}

fn config(authority: &Authority, folder: &Path, challenge: Challenge) -> TlsConfig {
    let authorities_file = folder.join("authorities.pem");
    std::fs::write(&authorities_file, &authority.root_pem).unwrap();
    let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let acme = AcmeConfig {
        domains: NAMES.map(str::to_owned).to_vec(),
        directory_url: format!("{}/directory", authority.base),
        terms_agreed: true,
        contacts: vec!["postmaster@example.test".to_owned()],
        challenge,
        http_listen: any,
        tls_listen: any,
        authorities_file,
        retry_min: Span::secs(3600),
        ..AcmeConfig::default()
    };
    TlsConfig { acme, reload_interval: Span::secs(1), ..TlsConfig::default() }
}

impl Node {
    /// Opens and runs.
    async fn start(authority: &Authority, challenge: Challenge) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Self::open(authority, folder, |config| config.acme.challenge = challenge);
        node.run();
        node.is_reached_by(authority).await;
        node
    }

    fn open(authority: &Authority, folder: TempDir, change: impl FnOnce(&mut TlsConfig)) -> Self {
        let mut config = config(authority, folder.path(), Challenge::Http01);
        change(&mut config);
        assert_eq!(config.faults(), []);
        let registry = Registry::new();
        let certificates =
            Certificates::open(&config, &folder.path().join("tls"), &["localhost"], &registry).unwrap();
        Self { folder, certificates, registry, drain: Drain::new(), running: None }
    }

    fn run(&mut self) {
        let run = self.certificates.clone().run(Hangup::new().unwrap(), self.drain.clone());
        self.running = Some(tokio::spawn(run));
    }

    fn acme(&self) -> &Acme {
        self.certificates.acme().unwrap()
    }

    async fn listening(&self) -> SocketAddr {
        let mut listening = self.acme().listening.subscribe();
        let found = tokio::time::timeout(PATIENCE, listening.wait_for(Option::is_some));
        found.await.unwrap().unwrap().unwrap()
    }

    async fn is_reached_by(&self, authority: &Authority) {
        let address = self.listening().await;
        authority.state().answers.send_replace(Some(address));
    }

    /// Waits until so many orders had this outcome.
    async fn ordered(&self, outcome: &str, count: u64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let counter = self.acme().orders.with_label_values(&[outcome]);
        while counter.get() < count {
            assert!(tokio::time::Instant::now() < deadline, "{}", self.metrics());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn ends(mut self) -> TempDir {
        self.drain.begin();
        tokio::time::timeout(PATIENCE, self.running.take().unwrap()).await.unwrap().unwrap();
        self.folder
    }

    fn metrics(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("tls/acme").join(name)
    }

    /// Whether a client that trusts `pem` only is content with what is shown for `name`.
    async fn shows(&self, name: &str, pem: &str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = self.certificates.server().unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let trusting = ClientTls::trusting(pem).unwrap();
        tokio::join!(server.upgrade(tcp), trusting.connect(client, name)).1.is_ok()
    }

    async fn shows_in_time(&self, name: &str, pem: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.shows(name, pem).await {
            assert!(tokio::time::Instant::now() < deadline, "{}", self.metrics());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn self_signed(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("tls/certificate.pem")).unwrap()
    }
}

async fn comes_and_is_shown(challenge: Challenge) {
    let authority = Authority::start().await;
    let node = Node::start(&authority, challenge).await;
    node.ordered("issued", 1).await;
    for name in NAMES {
        node.shows_in_time(name, &authority.root_pem).await;
    }
    assert!(!node.shows("other.example.test", &authority.root_pem).await);
    // The name of the process itself is not in it: peers inside still meet the self-signed one.
    assert!(node.shows("localhost", &node.self_signed()).await);
    for file in ["certificate.pem", "account.json"] {
        assert_eq!(std::fs::metadata(node.file(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    {
        let state = authority.state();
        assert_eq!((state.bad_nonces_given, state.accounts.len(), state.orders.len()), (1, 1, 1));
        assert_eq!(state.contacts, [serde_json::json!(["mailto:postmaster@example.test"])]);
    }
    assert!(node.metrics().contains(r#"sluice_runtime_tls_acme_orders_total{outcome="issued"} 1"#));
    node.ends().await;
}

#[tokio::test]
async fn a_certificate_comes_over_http_01() {
    comes_and_is_shown(Challenge::Http01).await;
}

#[tokio::test]
async fn a_certificate_comes_over_tls_alpn_01() {
    comes_and_is_shown(Challenge::TlsAlpn01).await;
}

#[tokio::test]
async fn the_account_and_the_certificate_are_kept() {
    let authority = Authority::start().await;
    let node = Node::start(&authority, Challenge::Http01).await;
    node.ordered("issued", 1).await;
    let first = std::fs::read_to_string(node.file("certificate.pem")).unwrap();
    let folder = node.ends().await;
    // What is there is shown from the start, and nothing is asked for.
    let mut node = Node::open(&authority, folder, |_| {});
    assert!(node.shows(NAMES[0], &authority.root_pem).await);
    node.run();
    node.is_reached_by(&authority).await;
    assert_eq!((node.acme().due().await.is_zero(), authority.state().orders.len()), (false, 1));
    let folder = node.ends().await;
    // One more name: a new certificate, from the same account, which also gets its new contact.
    let mut node = Node::open(&authority, folder, |config| {
        config.acme.domains.push("imap.example.test".to_owned());
        config.acme.contacts.clear();
    });
    assert!(node.acme().due().await.is_zero());
    node.run();
    node.is_reached_by(&authority).await;
    node.ordered("issued", 1).await;
    node.shows_in_time("imap.example.test", &authority.root_pem).await;
    assert_ne!(std::fs::read_to_string(node.file("certificate.pem")).unwrap(), first);
    {
        let state = authority.state();
        assert_eq!(state.accounts.len(), 1);
        assert_eq!(state.contacts.last(), Some(&serde_json::json!([])));
    }
    node.ends().await;
}

#[tokio::test]
async fn a_refusal_leaves_what_was_there_and_is_tried_again_when_told() {
    for mood in [Mood::Disbelieving, Mood::Confused, Mood::DnsOnly] {
        let authority = Authority::start().await;
        authority.state().mood = mood;
        let node = Node::start(&authority, Challenge::Http01).await;
        node.ordered("failed", 1).await;
        assert!(!node.file("certificate.pem").exists());
        assert!(node.shows("localhost", &node.self_signed()).await);
        authority.state().mood = Mood::Fair;
        // Not by itself: the next try is an hour away.
        node.acme().wake();
        node.ordered("issued", 1).await;
        node.shows_in_time(NAMES[0], &authority.root_pem).await;
        node.ends().await;
    }
}

#[tokio::test]
async fn an_authority_that_is_gone_or_lies_changes_nothing() {
    let authority = Authority::start().await;
    authority.stop();
    let node = Node::start(&authority, Challenge::Http01).await;
    node.ordered("failed", 1).await;
    assert!(node.shows("localhost", &node.self_signed()).await);
    node.ends().await;
    // One that can't prove who it is.
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::open(&authority, folder, |config| {
        let other = SelfSigned::new(&["127.0.0.1"]).unwrap().certificate_pem;
        std::fs::write(&config.acme.authorities_file, other).unwrap();
    });
    node.run();
    node.ordered("failed", 1).await;
    assert!(authority.state().accounts.is_empty());
    node.ends().await;
}

#[tokio::test]
async fn an_account_that_the_authority_forgot_is_made_anew() {
    let authority = Authority::start().await;
    let node = Node::start(&authority, Challenge::Http01).await;
    node.ordered("issued", 1).await;
    std::fs::remove_file(node.file("certificate.pem")).unwrap();
    authority.state().mood = Mood::Forgetful;
    let ordering = node.acme().ordering();
    let refused = ordering.certificate().await.unwrap_err();
    assert!(matches!(refused, OrderError::Step { step: "order a certificate", .. }), "{refused}");
    assert!(!node.file("account.json").exists());
    let text = ordering.certificate().await.unwrap();
    assert!(text.contains("BEGIN PRIVATE KEY"));
    assert_eq!(authority.state().accounts.len(), 2);
    // The same while the contacts are new. With a certificate, the node orders nothing by itself.
    std::fs::write(node.file("certificate.pem"), text).unwrap();
    let mut node = Node::open(&authority, node.ends().await, |config| config.acme.contacts.clear());
    authority.state().mood = Mood::Forgetful;
    node.run();
    node.is_reached_by(&authority).await;
    let ordering = node.acme().ordering();
    let refused = ordering.certificate().await.unwrap_err();
    assert!(matches!(refused, OrderError::Step { step: "change the contacts", .. }), "{refused}");
    assert!(ordering.certificate().await.is_ok());
    assert_eq!(authority.state().accounts.len(), 3);
    node.ends().await;
}

#[tokio::test]
async fn a_key_is_kept_for_who_wants_it() {
    let authority = Authority::start().await;
    for keep_key in [false, true] {
        let mut node = Node::open(&authority, tempfile::tempdir().unwrap(), |config| {
            config.acme.keep_key = keep_key;
        });
        node.run();
        node.is_reached_by(&authority).await;
        node.ordered("issued", 1).await;
        let key = |text: &str| text.split_once("-----BEGIN PRIVATE KEY").unwrap().1.to_owned();
        let first = key(&std::fs::read_to_string(node.file("certificate.pem")).unwrap());
        let second = key(&node.acme().ordering().certificate().await.unwrap());
        assert_eq!(first == second, keep_key);
        // What is no key is no reason to stop.
        std::fs::write(node.file("certificate.pem"), "-----BEGIN PRIVATE KEY-----\nnothing").unwrap();
        assert_ne!(key(&node.acme().ordering().certificate().await.unwrap()), first);
        node.ends().await;
    }
}

#[tokio::test]
async fn of_several_processes_one_orders_and_all_show() {
    let authority = Authority::start().await;
    let first = Node::start(&authority, Challenge::Http01).await;
    let mut second = Node::open(&authority, tempfile::tempdir().unwrap(), |config| {
        config.acme.folder = first.folder.path().join("tls/acme");
    });
    second.run();
    first.ordered("issued", 1).await;
    second.shows_in_time(NAMES[0], &authority.root_pem).await;
    assert_eq!(*second.acme().listening.borrow(), None, "the first has the lock");
    assert_eq!(authority.state().orders.len(), 1);
    let _folder = first.ends().await;
    second.listening().await;
    second.ends().await;
}

#[tokio::test]
async fn answers_nothing_but_the_open_challenge() {
    let authority = Authority::start().await;
    authority.stop();
    let node = Node::start(&authority, Challenge::Http01).await;
    node.ordered("failed", 1).await;
    let address = node.listening().await;
    node.acme().answers.add_page("token", "token.thumb");
    let page = async |path: &str| {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let found = page("/.well-known/acme-challenge/token").await;
    assert!(found.starts_with("HTTP/1.1 200 ") && found.ends_with("\r\n\r\ntoken.thumb"), "{found}");
    for other in [
        "/",
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/other",
        "/.well-known/acme-challenge/../../x",
        "/.well-known/acme-challenge/a/b",
    ] {
        assert!(page(other).await.starts_with("HTTP/1.1 404 "), "{other}");
    }
    node.acme().answers.clear();
    assert!(page("/.well-known/acme-challenge/token").await.starts_with("HTTP/1.1 404 "));
    node.ends().await;
}

#[tokio::test]
async fn the_certificate_of_a_challenge_is_for_the_authority_alone() {
    let authority = Authority::start().await;
    authority.stop();
    let node = Node::start(&authority, Challenge::TlsAlpn01).await;
    node.ordered("failed", 1).await;
    let address = node.listening().await;
    node.acme().answers.add_certificate("mail.example.test", &[7; 32]).unwrap();
    let check = async |protocols: &[&str], name: &str, expected: bool| {
        let tcp = TcpStream::connect(address).await.unwrap();
        assert_eq!(
            authority::validation::unverified(protocols).connect(tcp, name).await.is_ok(),
            expected,
            "{protocols:?} {name}"
        );
    };
    check(&["acme-tls/1"], "mail.example.test", true).await;
    check(&["acme-tls/1"], "MAIL.example.test", true).await;
    check(&["acme-tls/1"], "mx.example.test", false).await;
    check(&["acme-tls/1"], "127.0.0.1", false).await;
    check(&["acme-tls/1", "http/1.1"], "mail.example.test", false).await;
    check(&["http/1.1"], "mail.example.test", false).await;
    check(&[], "mail.example.test", false).await;
    node.ends().await;
}

fn facts(names: &[&str], days: i64) -> CertificateFacts {
    let start = OffsetDateTime::UNIX_EPOCH;
    CertificateFacts {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        emails: Vec::new(),
        not_before: start,
        not_after: start + time::Duration::days(days),
        fingerprint: "00".repeat(32),
    }
}

#[test]
fn due_at_two_thirds_of_the_life() {
    let names = NAMES.map(str::to_owned);
    let kept = facts(&NAMES, 90);
    let at = |days: i64, seconds: i64| {
        OffsetDateTime::UNIX_EPOCH + time::Duration::days(days) + time::Duration::seconds(seconds)
    };
    let day = Duration::from_secs(86400);
    assert_eq!(due(&kept, &names, at(0, 0)), day * 60);
    assert_eq!(due(&kept, &names, at(60, -1)), Duration::from_secs(1));
    for late in [at(60, 0), at(60, 1), at(90, 0), at(9000, 0)] {
        assert_eq!(due(&kept, &names, late), Duration::ZERO);
    }
    // The last of them comes less than a thirtieth of the life later.
    let last = CertificateFacts { fingerprint: "ff".repeat(32), ..kept.clone() };
    let wait = due(&last, &names, at(60, 0));
    assert!(wait > day * 2 && wait < day * 3, "{wait:?}");
    // A name more than those that are wanted is no reason to ask, a name less is.
    assert_eq!(due(&kept, &names[..1], at(0, 0)), day * 60);
    assert_eq!(due(&kept, &["a.test".to_owned(), names[0].clone()], at(0, 0)), Duration::ZERO);
    // Six days, as some authorities offer.
    assert_eq!(due(&facts(&NAMES, 6), &names, at(0, 0)), day * 4);
}

#[test]
fn failures_wait_longer_and_longer() {
    let config =
        AcmeConfig { retry_min: Span::mins(15), retry_max: Span::hours(12), ..AcmeConfig::default() };
    let acme = Acme::new(&config, Path::new("/nowhere"), &Registry::new()).unwrap();
    let minutes = |failures| acme.backoff(failures, 0).as_secs() / 60;
    assert_eq!([0, 1, 2, 3, 6, 7].map(minutes), [15, 15, 30, 60, 480, 720]);
    assert_eq!([8, 32, 33, u32::MAX].map(minutes), [720; 4]);
    let spread = acme.backoff(7, 255);
    assert!(spread > Duration::from_secs(9 * 3600) && spread < Duration::from_secs(12 * 3600), "{spread:?}");
}
