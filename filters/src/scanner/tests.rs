use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use units::{ByteSize, Span};

use super::*;
use crate::peer::BreakerConfig;

/// A scanner that answers each connection by its number, from 1.
struct Fake {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Fake {
    async fn new<F>(serve: impl Fn(TcpStream, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, counted.fetch_add(1, Ordering::SeqCst) + 1));
            }
        });
        Self { port, connections }
    }

    fn scanner(&self, kind: ScannerKind, change: impl Fn(&mut ScannerConfig)) -> Scanner {
        scanner(self.port, kind, change)
    }
}

fn scanner(port: u16, kind: ScannerKind, change: impl Fn(&mut ScannerConfig)) -> Scanner {
    let mut config = ScannerConfig::new("scan", kind, format!("127.0.0.1:{port}").parse().unwrap());
    config.breaker = BreakerConfig { failures_before_open: 0, open_for: Span::secs(60) };
    change(&mut config);
    Scanners::new(&[config], &Registry::new()).unwrap().scanners.pop().unwrap()
}

fn facts() -> ScanFacts {
    ScanFacts {
        id: "01JID".to_owned(),
        our_name: "mx.b.test".to_owned(),
        peer: Some("192.0.2.7".parse().unwrap()),
        hostname: None,
        helo: Some("mail.a.test".to_owned()),
        reverse_path: ReversePath::Null,
        recipients: vec!["b@c.test".parse().unwrap(), "d@c.test".parse().unwrap()],
        login: Some("ann".to_owned()),
        tls: None,
    }
}

const MESSAGE: &[u8] = b"Subject: x\r\n\r\ntext\r\n";

async fn verdict(scanner: &Scanner) -> (Option<u16>, Vec<String>) {
    let verdict = scanner.judge(scanner.scan(&facts(), &Bytes::from_static(MESSAGE)).await).0;
    let code = match &verdict.action {
        Action::Refuse(refusal) => Some(refusal.code),
        _ => None,
    };
    (code, verdict.reasons)
}

/// Reads until the octets end so, or nothing more comes.
async fn until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.ends_with(end) && stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {}
    read
}

async fn clamd(answer: &'static [u8]) -> Fake {
    Fake::new(move |mut stream, _| async move {
        let read = until(&mut stream, b"\0\0\0\0").await;
        assert_eq!(read, [b"zINSTREAM\0\0\0\0\x14", MESSAGE, &[0; 4]].concat());
        stream.write_all(answer).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn clamd_answers() {
    let refused = |reason: &str| vec![format!("scanner scan: {reason}")];
    for (answer, expected) in [
        (&b"stream: OK\0"[..], (None, vec![])),
        (b"stream: OK", (None, vec![])),
        (
            b"stream: Eicar-Test-Signature FOUND\0",
            (Some(554), refused("refused: Eicar-Test-Signature(1.00)")),
        ),
        (b"INSTREAM size limit exceeded. ERROR\0", (Some(552), refused("too big"))),
        (b"stream: Can't allocate memory ERROR\0", (Some(451), refused("failed"))),
        (b"UNKNOWN COMMAND\0", (Some(451), refused("failed"))),
        (b"", (Some(451), refused("failed"))),
    ] {
        let scanner = clamd(answer).await.scanner(ScannerKind::Clamd, |_| ());
        let asked = tokio::spawn(async move { verdict(&scanner).await });
        assert_eq!(asked.await.unwrap(), expected, "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_made_of_a_finding() {
    for (on_found, action) in [(Found::Quarantine, Action::Quarantine), (Found::Discard, Action::Discard)] {
        let fake = clamd(b"stream: Eicar FOUND\0").await;
        let scanner = fake.scanner(ScannerKind::Clamd, |config| config.on_found = on_found);
        assert_eq!(
            scanner.judge(scanner.scan(&facts(), &Bytes::from_static(MESSAGE)).await).0.action,
            action
        );
    }
}

#[tokio::test]
async fn too_big_is_not_sent() {
    let fake = clamd(b"stream: OK\0").await;
    let sized = |size: usize, on_oversize| {
        fake.scanner(ScannerKind::Clamd, move |config| {
            config.size_max = ByteSize::bytes(size as u64);
            config.on_oversize = on_oversize;
        })
    };
    assert_eq!(verdict(&sized(MESSAGE.len() - 1, Oversize::Refuse)).await.0, Some(552));
    let passed = vec!["scanner scan: too big, passed".to_owned()];
    assert_eq!(verdict(&sized(MESSAGE.len() - 1, Oversize::Accept)).await, (None, passed));
    assert_eq!(fake.connections.load(Ordering::SeqCst), 0);
    assert_eq!(verdict(&sized(MESSAGE.len(), Oversize::Refuse)).await, (None, vec![]));
}

#[tokio::test]
async fn clamd_that_has_read_enough() {
    let fake = Fake::new(|mut stream, _| async move {
        let mut some = [0; 1000];
        stream.read_exact(&mut some).await.unwrap();
        stream.write_all(b"INSTREAM size limit exceeded. ERROR\0").await.unwrap();
        // It goes on reading a little, so that its word is not lost to a reset.
        let mut rest = Vec::new();
        let _ = (&mut stream).take(10 << 20).read_to_end(&mut rest).await;
    })
    .await;
    let message = Bytes::from(vec![b'x'; 8 << 20]);
    let found = fake.scanner(ScannerKind::Clamd, |_| ()).scan(&facts(), &message).await;
    assert_eq!(found.unwrap().advice, Advice::TooBig);
}

async fn rspamd(answer: &'static str) -> Fake {
    Fake::new(move |mut stream, _| async move {
        while !until(&mut stream, MESSAGE).await.is_empty() {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
            stream.write_all([head.as_bytes(), answer.as_bytes()].concat().as_slice()).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn rspamd_s_request() {
    let (sent, mut received) = tokio::sync::mpsc::channel(1);
    let fake = Fake::new(move |mut stream, _| {
        let sent = sent.clone();
        async move {
            let read = until(&mut stream, MESSAGE).await;
            sent.send(String::from_utf8(read).unwrap()).await.unwrap();
        }
    })
    .await;
    let failed = fake.scanner(ScannerKind::Rspamd, |_| ()).scan(&facts(), &Bytes::from_static(MESSAGE)).await;
    assert!(matches!(failed, Err(ScanFailure::Closed(_))), "{failed:?}");
    let request = received.recv().await.unwrap();
    let expected = "POST /checkv2 HTTP/1.1\r\nhost: rspamd\r\nqueue-id: 01JID\r\nmta-name: mx.b.test\r\nfrom: <>\r\nmilter: Yes\r\n\
         rcpt: <b@c.test>\r\nrcpt: <d@c.test>\r\nip: 192.0.2.7\r\nhelo: mail.a.test\r\nuser: ann\r\n\
         content-length: 20\r\n\r\nSubject: x\r\n\r\ntext\r\n";
    assert_eq!(request, expected);
}

#[tokio::test]
async fn rspamd_answers_on_one_connection() {
    let fake = rspamd(r#"{"action":"reject","score":15.5,"symbols":{"GTUBE":{"score":15.5}}}"#).await;
    let scanner = fake.scanner(ScannerKind::Rspamd, |_| ());
    for _ in 0..3 {
        let expected = vec!["scanner scan: refused 15.50: GTUBE(15.50)".to_owned()];
        assert_eq!(verdict(&scanner).await, (Some(554), expected));
    }
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
    let none_kept = fake.scanner(ScannerKind::Rspamd, |config| config.idle_connections_max = 0);
    verdict(&none_kept).await;
    verdict(&none_kept).await;
    assert_eq!(fake.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_kept_connection_that_is_gone() {
    let fake = Fake::new(|mut stream, number| async move {
        let answer = r#"{"action":"no action","score":0}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        until(&mut stream, MESSAGE).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        if number == 1 {
            // The second request is read, and answered by the end of the connection.
            until(&mut stream, MESSAGE).await;
            return;
        }
        until(&mut stream, b"never").await;
    })
    .await;
    let scanner = fake.scanner(ScannerKind::Rspamd, |_| ());
    assert_eq!(verdict(&scanner).await, (None, vec![]));
    assert_eq!(verdict(&scanner).await, (None, vec![]));
    assert_eq!(fake.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn rspamd_that_lies() {
    let huge = "x".repeat(70_000);
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n{huge}");
    let head = format!("HTTP/1.1 200 OK\r\nx: {huge}\r\n\r\n");
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        "HTTP/1.1 500 Oops\r\ncontent-length: 32\r\n\r\n{\"action\":\"no action\",\"score\":0}".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 999999999999999999999\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{".to_owned(),
        "220 mail ESMTP\r\n".to_owned(),
        long,
        head,
    ] {
        let shown = answer.chars().take(60).collect::<String>();
        let fake = Fake::new(move |mut stream, _| {
            let answer = answer.clone();
            async move {
                until(&mut stream, MESSAGE).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        for (on_failure, expected) in [(OnFailure::Tempfail, Some(451)), (OnFailure::Accept, None)] {
            let scanner = fake.scanner(ScannerKind::Rspamd, |config| {
                config.on_failure = on_failure;
                config.answer_max = ByteSize::kib(64);
            });
            assert_eq!(verdict(&scanner).await.0, expected, "{shown}");
        }
    }
}

#[tokio::test]
async fn silent_dead_and_endless() {
    for kind in [ScannerKind::Rspamd, ScannerKind::Clamd] {
        let silent = Fake::new(|mut stream, _| async move { drop(until(&mut stream, b"never").await) }).await;
        let slow = silent.scanner(kind, |config| config.scan_max = Span::millis(200));
        assert!(matches!(slow.scan(&facts(), &Bytes::from_static(MESSAGE)).await, Err(ScanFailure::Timeout)));

        let endless = Fake::new(|mut stream, _| async move {
            let octets = vec![b'x'; 4096];
            while stream.write_all(&octets).await.is_ok() {}
        })
        .await;
        let flooded = endless.scanner(kind, |config| config.scan_max = Span::secs(20));
        let found = flooded.scan(&facts(), &Bytes::from_static(MESSAGE)).await;
        assert!(
            matches!(found, Err(ScanFailure::Protocol(_) | ScanFailure::Closed(_))),
            "{kind:?}: {found:?}"
        );

        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let gone = scanner(port, kind, |_| ());
        let found = gone.scan(&facts(), &Bytes::from_static(MESSAGE)).await;
        assert!(matches!(found, Err(ScanFailure::Unreachable(_))), "{kind:?}: {found:?}");
    }
}

#[tokio::test]
async fn the_breaker() {
    let fake = Fake::new(|_, _| async {}).await;
    let scanner = fake.scanner(ScannerKind::Clamd, |config| {
        config.breaker = BreakerConfig { failures_before_open: 2, open_for: Span::hours(1) };
    });
    for _ in 0..5 {
        assert_eq!(verdict(&scanner).await.0, Some(451));
    }
    assert_eq!(fake.connections.load(Ordering::SeqCst), 2);
    assert_eq!((scanner.figures.open.get(), scanner.figures.counted(Outcome::NotAsked)), (1, 3));
}

#[tokio::test]
async fn several_at_once() {
    // Each answers only when both have been asked.
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let configs: Vec<ScannerConfig> = {
        let mut configs = Vec::new();
        for name in ["one", "two"] {
            let both = Arc::clone(&both);
            let fake = Fake::new(move |mut stream, _| {
                let both = Arc::clone(&both);
                async move {
                    until(&mut stream, b"\0\0\0\0").await;
                    both.wait().await;
                    stream.write_all(b"stream: OK\0").await.unwrap();
                }
            })
            .await;
            let address = format!("inet:localhost:{}", fake.port).parse().unwrap();
            configs.push(ScannerConfig::new(name, ScannerKind::Clamd, address));
        }
        configs
    };
    let scanners = Scanners::new(&configs, &Registry::new()).unwrap();
    let concerned: Vec<&Scanner> = scanners.concerned("mx", false).collect();
    let (facts, message) = (facts(), Bytes::from_static(MESSAGE));
    let asked =
        async { tokio::join!(concerned[0].scan(&facts, &message), concerned[1].scan(&facts, &message)) };
    let (one, two) = timeout(Duration::from_secs(10), asked).await.unwrap();
    assert_eq!((one.unwrap().advice, two.unwrap().advice), (Advice::Accept, Advice::Accept));
}

#[test]
fn faults_and_who_is_concerned() {
    let json = r#"{"name":"av","kind":"clamd","address":"unix:/run/clamav/clamd.ctl","listeners":["mx"],"clients":"strangers"}"#;
    let config: ScannerConfig = serde_json::from_str(json).unwrap();
    assert_eq!(faults(std::slice::from_ref(&config)), []);
    assert!(config.sees("mx", false) && !config.sees("mx", true) && !config.sees("submission", false));
    let wrong = ScannerConfig { scan_max: Span::mins(9), answer_max: ByteSize::bytes(1), ..config.clone() };
    let keys: Vec<String> = faults(&[config, wrong]).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["1.name", "1.scan_max", "1.answer_max"]);
}

/// What `deploy/filters` shows, the lines that are commented out too.
#[test]
fn the_example_is_right() {
    #[derive(serde::Deserialize)]
    struct File {
        filters: Section,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Section {
        milters: Vec<crate::milter::MilterConfig>,
        #[serde(default)]
        scanners: Vec<ScannerConfig>,
    }
    let shown = include_str!("../../../deploy/filters/sluice.toml");
    let is_setting = |line: &str| line.starts_with("[[") || line.contains(" = ");
    let all =
        shown.lines().map(|line| line.strip_prefix("# ").filter(|line| is_setting(line)).unwrap_or(line));
    for (text, scanners) in [(shown.to_owned(), 0), (all.collect::<Vec<_>>().join("\n"), 2)] {
        let File { filters } = toml::from_str(&text).unwrap();
        assert_eq!((filters.milters.len(), filters.scanners.len()), (3, scanners));
        assert_eq!((crate::milter::faults(&filters.milters), faults(&filters.scanners)), (vec![], vec![]));
    }
}
