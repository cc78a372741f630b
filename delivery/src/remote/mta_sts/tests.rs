use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use runtime::{ServerTls, Tlsa};
use tokio::net::TcpListener;
use units::Span;

use super::*;
use crate::remote::dns::{Answer, Mx};

const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.a.test\r\nmx: *.b.test\r\nmax_age: 86400\r\n";

#[test]
fn policies() {
    let policy = Policy::parse(POLICY).unwrap();
    assert_eq!((policy.mode, policy.age), (Mode::Enforce, Duration::from_secs(86_400)));
    for (host, named) in [
        ("mx.a.test", true),
        ("MX.A.test", true),
        ("other.a.test", false),
        ("one.b.test", true),
        ("b.test", false),
        ("two.one.b.test", false),
        ("one.b.test.evil.test", false),
    ] {
        assert_eq!(policy.names(host), named, "{host}");
    }
    let parse = |text: &str| Policy::parse(text).map(|policy| policy.mode);
    assert_eq!(parse("version: STSv1\nmode: none\nmax_age: 1\n"), Some(Mode::None));
    assert_eq!(parse("version: STSv1\nmode:testing\nmx:a.test\nmax_age:1\nnew: x"), Some(Mode::Testing));
    // The first counts.
    assert_eq!(
        parse("version: STSv1\nmode: testing\nmode: none\nmx: a.test\nmax_age: 1"),
        Some(Mode::Testing)
    );
    for wrong in [
        "",
        "version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmax_age: 1",
        "version: STSv1\nmode: strict\nmx: a.test\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmx: a.test",
        "mode: enforce\nmx: a.test\nmax_age: 1",
    ] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
    let long = Policy::parse("version: STSv1\nmode: none\nmax_age: 99999999999").unwrap();
    assert_eq!(long.age, AGE_MAX);
}

#[test]
fn records() {
    let id = |records: &[&str]| announced(&records.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(id(&["v=spf1 -all", "v=STSv1; id=20260101T0;"]).as_deref(), Some("20260101T0"));
    assert_eq!(id(&["v=STSv1;x=1; id=a"]).as_deref(), Some("a"));
    assert_eq!(id(&["v=STSv1; id=a", "v=STSv1; id=b"]), None);
    assert_eq!(id(&["v=STSv1;"]), None);
    assert_eq!(id(&["v=STSv1; id=a b"]), None);
}

#[test]
fn answers() {
    let check = |answer: &str, expected: Option<&str>| {
        assert_eq!(body(answer.as_bytes()).as_deref(), expected, "{answer}")
    };
    let plain = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n";
    check(&format!("{plain}Content-Length: 3\r\n\r\nabcd"), Some("abc"));
    check(&format!("{plain}\r\nabcd"), Some("abcd"));
    check(&format!("{plain}Content-Length: 5\r\n\r\nabcd"), None);
    check(&format!("{plain}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n"), Some("abc"));
    check(&format!("{plain}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"), None);
    check("HTTP/1.1 301 Moved\r\nContent-Type: text/plain\r\nLocation: /x\r\n\r\nabc", None);
    check("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nabc", None);
    check("HTTP/1.1 200 OK\r\n\r\nabc", None);
    check("nothing of the kind", None);
}

/// What the DNS says of `a.test`.
struct Zone {
    record: Mutex<Result<&'static str, DnsError>>,
}

#[async_trait]
impl Dns for Zone {
    async fn mx(&self, _: &str) -> Result<Answer<Mx>, DnsError> {
        Err(DnsError::NoRecord)
    }

    async fn addresses(&self, _: &str) -> Result<Answer<IpAddr>, DnsError> {
        Ok(Answer { records: vec!["127.0.0.1".parse().unwrap()], secure: false, complete: true })
    }

    async fn tlsa(&self, _: &str, _: u16) -> Result<Answer<Tlsa>, DnsError> {
        Err(DnsError::NoRecord)
    }

    async fn txt(&self, _: &str) -> Result<Answer<String>, DnsError> {
        let record = self.record.lock().unwrap().clone()?;
        Ok(Answer { records: vec![record.to_owned()], secure: false, complete: true })
    }
}

/// A web server that gives `answer` and counts how often it was asked.
async fn web(answer: String) -> (u16, String, Arc<AtomicUsize>) {
    let (tls, made) = ServerTls::self_signed(&["mta-sts.a.test"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = tls.upgrade(tcp).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            assert!(
                request.starts_with(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.a.test\r\n")
            );
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, made.certificate_pem, asked)
}

fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

#[tokio::test]
async fn a_policy_that_was_seen_holds_when_the_record_is_suppressed() {
    let (port, pem, asked) = web(ok(POLICY)).await;
    let config = RemoteConfig { policy_port: port, allow_private: true, ..RemoteConfig::default() };
    let tls = ClientTls::trusting(&pem).unwrap();
    let zone = Zone { record: Mutex::new(Ok("v=STSv1; id=1")) };
    let policies = Policies::new(&RemoteConfig::default());
    let mode = async || policies.of(&config, &zone, Some(&tls), "a.test").await.map(|policy| policy.mode);
    assert_eq!((mode().await, mode().await), (Some(Mode::Enforce), Some(Mode::Enforce)));
    assert_eq!(asked.load(Ordering::Relaxed), 1, "kept");
    let look_again = || policies.kept().values_mut().for_each(|kept| kept.look_again = Instant::now());
    for record in [Ok("v=STSv1; id=1"), Err(DnsError::NoName), Err(DnsError::Failed("no answer".to_owned()))]
    {
        *zone.record.lock().unwrap() = record;
        look_again();
        assert_eq!(mode().await, Some(Mode::Enforce));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    *zone.record.lock().unwrap() = Ok("v=STSv1; id=2");
    look_again();
    assert_eq!((mode().await, asked.load(Ordering::Relaxed)), (Some(Mode::Enforce), 2));
    // Half of its time is over: it is fetched anew, and lengthened.
    let half = Duration::from_secs(86_400) / 2;
    policies.kept().values_mut().for_each(|kept| kept.until = Instant::now() + half);
    look_again();
    assert_eq!((mode().await, asked.load(Ordering::Relaxed)), (Some(Mode::Enforce), 3));
    assert!(policies.kept()["a.test"].until > Instant::now() + half + half / 2);
    policies.kept().values_mut().for_each(|kept| kept.until = Instant::now());
    *zone.record.lock().unwrap() = Err(DnsError::NoName);
    assert_eq!(mode().await, None, "over, and not announced any more");
}

#[tokio::test]
async fn what_can_not_be_fetched_is_no_policy() {
    let zone = Zone { record: Mutex::new(Ok("v=STSv1; id=1")) };
    let (port, pem, asked) =
        web("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n".to_owned()).await;
    let config = RemoteConfig {
        policy_port: port,
        allow_private: true,
        policy_max: Span::secs(20),
        ..RemoteConfig::default()
    };
    let tls = ClientTls::trusting(&pem).unwrap();
    let policies = Policies::new(&RemoteConfig::default());
    assert_eq!(policies.of(&config, &zone, Some(&tls), "a.test").await, None);
    // Not tried again at once.
    assert_eq!(policies.of(&config, &zone, Some(&tls), "a.test").await, None);
    assert_eq!((policies.fault("a.test"), policies.fault("b.test")), (Some(Fault::Fetch), None));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // A fetch that fails lengthens nothing.
    policies.put("a.test", POLICY);
    let until = Instant::now() + Duration::from_secs(60);
    policies.kept().values_mut().for_each(|kept| (kept.until, kept.look_again) = (until, Instant::now()));
    let found = policies.of(&config, &zone, Some(&tls), "a.test").await;
    assert_eq!(found.map(|policy| policy.mode), Some(Mode::Enforce));
    assert_eq!(policies.kept()["a.test"].until, until);
    // A certificate that nobody vouches for, and an address of our own network.
    let (port, _, other) = web(ok(POLICY)).await;
    let config = RemoteConfig { policy_port: port, ..config };
    let policies = Policies::new(&RemoteConfig::default());
    assert_eq!(policies.of(&config, &zone, Some(&tls), "a.test").await, None);
    assert_eq!(policies.fault("a.test"), Some(Fault::Certificate));
    let (port, pem, _) = web(ok("version: STSv1\nmode: maybe")).await;
    let (odd, trusting) =
        (RemoteConfig { policy_port: port, ..config.clone() }, ClientTls::trusting(&pem).unwrap());
    let policies = Policies::new(&RemoteConfig::default());
    assert_eq!(policies.of(&odd, &zone, Some(&trusting), "a.test").await, None);
    assert_eq!(policies.fault("a.test"), Some(Fault::Invalid));
    let guarded = RemoteConfig { allow_private: false, ..config };
    assert_eq!(Policies::new(&RemoteConfig::default()).of(&guarded, &zone, Some(&tls), "a.test").await, None);
    assert_eq!(other.load(Ordering::Relaxed), 0);
}
