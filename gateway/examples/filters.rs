//! Measures what each check costs: the same mail into the same gateway, over loopback, with checks on and off in turns.
//!
//! ```text
//! cargo run --release -p gateway --example filters -- DIRECTORY [RUNS] [MESSAGES] [STAGE] [PROGRAM]
//! ```
//! With STAGE only that one runs, for a profiler; `all` are all. With PROGRAM, the path of `sluice`, a whole node is measured (`sluice up`): its own directory, and
//! delivery into 20 mailboxes beside it. Its rate is taken twice: until everything is accepted, while a queue may grow, and until everything is in a mailbox, which is
//! what it can go on accepting. Without PROGRAM the second figure is what one processor does, client included: time that others took from this machine is not in it.
//! The queue is the embedded one on DIRECTORY's disk, every message is synced before its 250. DNS answers come from a server on loopback through the
//! resolver's cache, as they do for senders that write often. Messages are of 5 KB, with an RSA-2048 signature where DKIM is measured.

#![allow(clippy::print_stdout, reason = "it reports to whoever started it")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a measurement that fails has nothing to say"
)]

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directory::{Authentication, Directory, LoginStamp, Resolution, Unavailable};
use envelope::{AccountId, Address, Domain, Quota, Secret};
use filters::{AuthenticationConfig, Deps, Dns, DnsConfig, Filters, PolicyConfig, Reputation, Resolver};
use mail_auth::common::crypto::{RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use prometheus::Registry;
use queue::embedded::EmbeddedQueue;
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _};
use runtime::Drain;
use shared_state::Guarded;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UdpSocket};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: usize = 32;
const BODY: usize = 5 << 10;
const RECIPIENTS: usize = 20;

/// What is measured: a name, whether the message is signed, whether authentication is on, how many rules there are.
const STAGES: [(&str, bool, bool, usize); 6] = [
    ("no checks", true, false, 0),
    ("SPF and DMARC, no signature", false, true, 0),
    ("SPF, DKIM and DMARC", true, true, 0),
    ("20 rules", true, false, 20),
    ("SPF, DKIM, DMARC and 20 rules", true, true, 20),
    ("SPF, DKIM, DMARC and 100 rules", true, true, 100),
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(arguments.first().map_or("filters-bench", String::as_str));
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    // Every client sends as many as the others.
    let (runs, messages) = (number(1, 5), number(2, 10_000).next_multiple_of(CLIENTS));
    assert!(!directory.exists(), "{} exists: name a directory that does not", directory.display());
    std::fs::create_dir_all(&directory).unwrap();
    let (signed, records) = signed();
    let dns = serve_dns(records).await;
    println!(
        "{CLIENTS} clients, {messages} messages of {BODY} octets a stage, {runs} runs in turns; messages a second"
    );
    let only = arguments.get(3).map_or("all", String::as_str);
    let stages: Vec<_> = STAGES.into_iter().filter(|(name, ..)| only == "all" || *name == only).collect();
    let program = arguments.get(4).map(Path::new);
    let whats: [&str; 2] = ["accepted", if program.is_some() { "and delivered" } else { "of a CPU" }];
    let mut figures: HashMap<(&str, usize), Vec<f64>> = HashMap::new();
    let mut shares: HashMap<(&str, usize), Vec<f64>> = HashMap::new();
    for run in 0..runs {
        let mut base: Option<[f64; 2]> = None;
        for (name, sign, authenticated, rules) in stages.iter().copied() {
            let place = directory.join(format!("{run}-{}", name.replace([' ', ','], "-")));
            std::fs::create_dir_all(&place).unwrap();
            let message = if sign { &signed } else { &plain() };
            let rates = match program {
                None => stage(&place, message, dns, (authenticated, rules), messages).await,
                Some(program) => node(program, &place, message, dns, (authenticated, rules), messages).await,
            };
            // Files stay to the end: a deletion of many slows down what creates files after it.
            let base = *base.get_or_insert(rates);
            for (what, rate) in rates.iter().enumerate() {
                figures.entry((name, what)).or_default().push(*rate);
                shares.entry((name, what)).or_default().push(100.0 * rate / base[what]);
            }
        }
    }
    for (name, ..) in stages {
        for (at, what) in whats.iter().enumerate() {
            let rate = spread(&mut figures.remove(&(name, at)).unwrap());
            let share = spread(&mut shares.remove(&(name, at)).unwrap());
            println!("{name:<34} {what:<13} {rate:>28}   of no checks: {share} %");
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

fn spread(figures: &mut [f64]) -> String {
    figures.sort_by(f64::total_cmp);
    let (first, middle, last) = (figures[0], figures[figures.len() / 2], figures[figures.len() - 1]);
    format!("{middle:.0} ({first:.0} to {last:.0})")
}

fn plain() -> String {
    let line = "Some words that a person might have written to another.\r\n";
    let body = line.repeat(BODY / line.len());
    format!(
        "From: Ann <ann@sender.test>\r\nTo: Bob <bob@ours.test>\r\nSubject: Some words\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <1@sender.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}See https://sender.test/more\r\n"
    )
}

/// A signed message, and what the DNS says of its domain.
fn signed() -> (String, HashMap<String, String>) {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let key =
        RsaKey::<Sha256>::from_key_der(rustls_pki_types::PrivateKeyDer::Pkcs8(pair.serialize_der().into()))
            .unwrap();
    let message = plain();
    let signature = DkimSigner::from_key(key)
        .domain("sender.test")
        .selector("s")
        .headers(["From", "To", "Subject", "Date", "Message-ID"])
        .header_canonicalization(mail_auth::dkim::Canonicalization::Relaxed)
        .body_canonicalization(mail_auth::dkim::Canonicalization::Relaxed)
        .sign(message.as_bytes())
        .unwrap();
    let public = STANDARD.encode(pair.subject_public_key_info());
    let records = HashMap::from([
        ("sender.test".to_owned(), "v=spf1 include:mail.test ip4:127.0.0.0/8 -all".to_owned()),
        ("mail.test".to_owned(), "v=spf1 ip4:192.0.2.0/24 ?all".to_owned()),
        ("s._domainkey.sender.test".to_owned(), format!("v=DKIM1; k=rsa; p={public}")),
        ("_dmarc.sender.test".to_owned(), "v=DMARC1; p=reject".to_owned()),
    ]);
    (format!("{}{message}", signature.to_header()), records)
}

/// Twenty rules of the kinds that are in use, over and over.
fn rules(count: usize) -> String {
    let kinds = [
        "in_list(message.from_name, 'chiefs') && !connection.authenticated && auth.dmarc != 'pass'",
        "lookalike(message.from_domain, 'ours')",
        "parts.exists(p, p.macros || p.extension in ['exe', 'js', 'scr', 'vbs'])",
        "urls.exists(u, u.misleading) && message.has_html",
        "message.subject.lower().matches('(invoice|payment|urgent)') && message.reply_to_domain != '' && message.reply_to_domain != message.from_domain",
        "message.bulk && !message.list_unsubscribe",
        "auth.spf == 'fail' && auth.dkim != 'pass'",
        "envelope.recipient_count > 50 && !message.bulk",
        "message.text.matches('(?i)wire transfer') && score > 3.0",
        "header('X-Mailer').contains('bad') || message.received_count > 20",
    ];
    let mut text = "[list.chiefs]\nvalues = ['Carla Chief', 'Ben Boss']\n[list.ours]\nvalues = ['ours.test', 'example-bank.test']\n".to_owned();
    for number in 0..count {
        let when = kinds[number % kinds.len()];
        text.push_str(&format!(
            "[[rule]]\nname = 'rule-{number}'\nowner = 'o'\nwhen = \"{when}\"\nthen = [{{ action = 'score', points = 1.0 }}]\n"
        ));
    }
    text
}

/// Writes them; gives their folder.
fn policy(place: &Path, rule_count: usize) -> PathBuf {
    let policy = place.join("policy");
    std::fs::create_dir(&policy).unwrap();
    std::fs::write(policy.join("rules.toml"), rules(rule_count)).unwrap();
    policy
}

async fn stage(
    place: &Path,
    message: &str,
    dns: SocketAddr,
    (authenticated, rule_count): (bool, usize),
    messages: usize,
) -> [f64; 2] {
    let registry = Registry::new();
    let policy = policy(place, rule_count);
    let queue_config = queue::Config { dir: place.join("queue"), ..queue::Config::default() };
    let queue = Arc::new(EmbeddedQueue::open(&queue_config, "gateway", &registry).unwrap());
    let filters = (authenticated || rule_count > 0).then(|| {
        let config = filters::Config {
            dns: DnsConfig { resolvers: vec![dns], ..DnsConfig::default() },
            authentication: AuthenticationConfig {
                enabled: authenticated,
                exempt: Vec::new(),
                ..AuthenticationConfig::default()
            },
            policy: PolicyConfig::default(),
            ..filters::Config::default()
        };
        let dns: Arc<dyn Dns> = Arc::new(Resolver::new(&config.dns).unwrap());
        let reputation =
            Reputation::new(&config.reputation, Arc::clone(&dns), Guarded::alone(), None, &registry).unwrap();
        let deps = Deps {
            registry: registry.clone(),
            policy,
            kept: place.join("kept"),
            dns,
            reputation: Arc::new(reputation),
        };
        Filters::open(config, "mx.ours.test", deps).unwrap()
    });
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = gateway::Config {
        hostname: "mx.ours.test".to_owned(),
        postmaster: "postmaster@ours.test".to_owned(),
        mx: vec![any],
        submission: Vec::new(),
        submissions: Vec::new(),
        ..gateway::Config::default()
    };
    config.limits.connections_per_address_max = 1000;
    let deps = gateway::Deps { directory: Arc::new(Everybody), queue, filters, tls: None, registry };
    let gateway = gateway::bind(config, deps).await.unwrap();
    let address = gateway.addresses()[0].1;
    let drain = Drain::new();
    let running = tokio::spawn(gateway.run(drain.clone()));
    send(address, message, CLIENTS).await;
    let (began, spent) = (Instant::now(), processor_seconds());
    send(address, message, messages).await;
    let rate = messages as f64 / began.elapsed().as_secs_f64();
    let of_one = messages as f64 / (processor_seconds() - spent);
    drain.begin();
    running.await.unwrap();
    drain.finish(std::time::Duration::from_secs(10)).await;
    [rate, of_one]
}

/// Seconds that processors worked for this process (proc(5): fields 14 and 15 of `stat`, in hundredths).
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = text.rsplit(')').next().unwrap();
    let ticks = |at: usize| behind_name.split_whitespace().nth(at).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// The same through a whole node.
async fn node(
    program: &Path,
    place: &Path,
    message: &str,
    dns: SocketAddr,
    (authenticated, rule_count): (bool, usize),
    messages: usize,
) -> [f64; 2] {
    let policy = policy(place, rule_count);
    let config = place.join("sluice.toml");
    let settings = format!(
        "[gateway.limits]\nconnections_per_address_max = 1000\n[filters.dns]\nresolvers = ['{dns}']\n\
         [filters.authentication]\nenabled = {authenticated}\nexempt = []\n[filters.policy]\nfolder = '{}'\n",
        policy.display()
    );
    std::fs::write(&config, settings).unwrap();
    let data = place.join("data");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg("--data").arg(&data).arg("--config").arg(&config);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut running = command(&["up", "--port-base", "0"]).spawn().unwrap();
    let began = Instant::now();
    let (address, health): (SocketAddr, SocketAddr) = loop {
        assert!(running.try_wait().unwrap().is_none(), "the node ended");
        assert!(began.elapsed().as_secs() < 60, "the node does not start");
        if let Ok(text) = std::fs::read_to_string(data.join("run/up.json")) {
            let told: serde_json::Value = serde_json::from_str(&text).unwrap();
            let address = |name: &str| told["addresses"][name].as_str().unwrap().parse().unwrap();
            break (address("mx"), address("health"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(command(&["domain", "add", "ours.test"]).status().unwrap().success(), "no domain");
    for number in 0..RECIPIENTS {
        let mut adding = command(&["account", "add", &format!("bob{number}@ours.test")]).spawn().unwrap();
        adding.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
        assert!(adding.wait().unwrap().success(), "an account could not be added");
    }
    send(address, message, CLIENTS).await;
    let began = Instant::now();
    send(address, message, messages).await;
    let rate = || messages as f64 / began.elapsed().as_secs_f64();
    let accepted = rate();
    while delivered(health).await < (messages + CLIENTS) as f64 {
        assert!(began.elapsed().as_secs() < 600, "the queue does not run empty");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let through = rate();
    running.kill().unwrap();
    running.wait().unwrap();
    [accepted, through]
}

/// Messages that are in a mailbox since the node's start.
async fn delivered(health: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(health).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let delivered = "sluice_delivery_recipients_total{outcome=\"delivered\"}";
    let found = text.lines().find_map(|line| line.strip_prefix(delivered)).expect("deliveries are counted");
    found.trim().parse().unwrap()
}

async fn send(address: SocketAddr, message: &str, messages: usize) {
    let text: Arc<str> = format!("{message}.\r\n").into();
    let clients = (0..CLIENTS).map(|client| {
        let text = Arc::clone(&text);
        tokio::spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (reading, mut writing) = stream.into_split();
            let mut lines = BufReader::new(reading).lines();
            expect(&mut lines, "220").await;
            writing.write_all(b"EHLO client.sender.test\r\n").await.unwrap();
            expect(&mut lines, "250").await;
            for _ in 0..messages / CLIENTS {
                let recipient = client % RECIPIENTS;
                let front =
                    format!("MAIL FROM:<ann@sender.test>\r\nRCPT TO:<bob{recipient}@ours.test>\r\nDATA\r\n");
                writing.write_all(front.as_bytes()).await.unwrap();
                expect(&mut lines, "250").await;
                expect(&mut lines, "250").await;
                expect(&mut lines, "354").await;
                writing.write_all(text.as_bytes()).await.unwrap();
                expect(&mut lines, "250").await;
            }
            writing.write_all(b"QUIT\r\n").await.unwrap();
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

async fn expect(lines: &mut tokio::io::Lines<BufReader<tokio::net::tcp::OwnedReadHalf>>, code: &str) {
    loop {
        let line = lines.next_line().await.unwrap().expect("an answer");
        assert!(line.starts_with(code), "{line}");
        if line.as_bytes().get(3) != Some(&b'-') {
            return;
        }
    }
}

/// Texts on loopback (RFC 1035 §4.1), an hour each; nothing else exists.
async fn serve_dns(records: HashMap<String, String>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 1500];
        loop {
            let (count, peer) = socket.recv_from(&mut packet).await.unwrap();
            let _ = socket.send_to(&answer(&packet[..count], &records), peer).await;
        }
    });
    address
}

fn answer(packet: &[u8], records: &HashMap<String, String>) -> Vec<u8> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] > 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    let found = records.get(&labels.join(".")).filter(|_| kind == 16);
    let mut reply = packet[..2].to_vec();
    let (code, answers) = if found.is_some() { (0x80, 1) } else { (0x83, 0) };
    reply.extend([0x81, code, 0, 1, 0, answers, 0, 1 - answers, 0, 0]);
    reply.extend(&packet[12..at + 5]);
    if let Some(text) = found {
        let mut data = Vec::new();
        for piece in text.as_bytes().chunks(255) {
            data.push(u8::try_from(piece.len()).unwrap());
            data.extend(piece);
        }
        reply.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 14, 16]);
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend(data);
    } else {
        // For how long nothing is there (RFC 2308 §3): an SOA record of `test`, of whose numbers the last counts.
        let numbers = [1_u32, 3600, 3600, 3600, 3600].map(u32::to_be_bytes).concat();
        reply.extend(*b"\x04test\0\0\x06\0\x01\0\0\x0e\x10\0\x16\0\0");
        reply.extend(numbers);
    }
    reply
}

/// Everybody at ours.test has a mailbox.
struct Everybody;

#[async_trait]
impl Directory for Everybody {
    async fn resolve(&self, address: &Address) -> Result<Resolution, Unavailable> {
        Ok(Resolution::Mailbox { account: AccountId::new(address), tag: None })
    }
    async fn postmaster(&self) -> Result<Option<Address>, Unavailable> {
        Ok(None)
    }
    async fn is_local(&self, domain: &Domain) -> Result<bool, Unavailable> {
        Ok(domain.as_str() == "ours.test")
    }
    async fn authenticate(
        &self,
        _: &str,
        _: &Secret<String>,
        _: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        Ok(Authentication::Refused)
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
