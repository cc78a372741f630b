//! OpenDKIM: signs for those inside, verifies for those outside, with a key and its record in files.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use filters::milter::Authenticated;
use filters::{Change, PeerAddress, apply};

use super::process::{Folder, Process, listens};
use super::{config, connection, head, hello, judge, message, milters};

pub(crate) const INSIDE: &str = "192.0.2.1:4711";
pub(crate) const OUTSIDE: &str = "198.51.100.1:4711";

pub(crate) struct OpenDkim {
    pub(crate) milter: PeerAddress,
    _process: Process,
    _folder: Folder,
}

pub(crate) enum Over {
    Unix,
    Tcp,
}

pub(crate) async fn start(over: Over) -> OpenDkim {
    let folder = Folder::new();
    let key = folder.path("key.pem");
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &key]);
    let public = openssl(&["pkey", "-in", &key, "-pubout"]);
    let public: String = public.lines().filter(|line| !line.starts_with('-')).collect();
    folder.write("public", &format!("s1._domainkey.a.test v=DKIM1; k=rsa; p={public}\n"));
    folder.write("internal", "192.0.2.1\n");
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let socket = match over {
        Over::Unix => format!("local:{}", folder.path("milter.sock")),
        Over::Tcp => format!("inet:{port}@127.0.0.1"),
    };
    // `@` would be the folder in a file that `write` writes, and here it is none.
    let conf = folder.path("opendkim.conf");
    let text = format!(
        "Mode sv\nSocket {socket}\nDomain a.test\nSelector s1\nKeyFile {key}\nCanonicalization simple/simple\n\
         Background no\nAuthservID mx.b.test\nSyslog no\nAlwaysAddARHeader yes\nInternalHosts {}\nTestPublicKeys {}\n\
         RequireSafeKeys no\n",
        folder.path("internal"),
        folder.path("public"),
    );
    std::fs::write(&conf, text).unwrap();
    let mut process = folder.start("opendkim", &["-f", "-x", &conf]);
    let milter = match over {
        Over::Unix => {
            process.ready(|| listens(folder.path("milter.sock"))).await;
            format!("unix:{}", folder.path("milter.sock"))
        }
        Over::Tcp => {
            process.ready(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
            format!("inet:127.0.0.1:{port}")
        }
    };
    OpenDkim { milter: milter.parse().unwrap(), _process: process, _folder: folder }
}

fn openssl(arguments: &[&str]) -> String {
    let out = Command::new("openssl").args(arguments).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// What it says of the signature of a message that comes from outside.
pub(crate) async fn verified(opendkim: &OpenDkim, message: &Bytes) -> String {
    let milters = milters(&[config("opendkim", &opendkim.milter)]);
    let mut session = milters.session(&connection(OUTSIDE));
    hello(&mut session).await;
    let verdict = judge(&mut session, message).await.unwrap();
    let head = head(message, &verdict);
    assert!(head.starts_with("Authentication-Results: mx.b.test;"), "{head}");
    let (_, result) = head.split_once("dkim=").unwrap();
    result.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap().to_owned()
}

/// Who logged in is signed for, wherever he is: it goes by the macro.
#[tokio::test]
async fn signs_for_who_logged_in() {
    let opendkim = start(Over::Unix).await;
    let milters = milters(&[config("opendkim", &opendkim.milter)]);
    let mut session = milters.session(&connection(OUTSIDE));
    hello(&mut session).await;
    session.set_authenticated(Some(Authenticated { mechanism: "PLAIN".to_owned(), login: "ann".to_owned() }));
    let plain = message("all is well");
    let verdict = judge(&mut session, &plain).await.unwrap();
    assert!(head(&plain, &verdict).starts_with("DKIM-Signature: "), "{verdict:?}");
}

#[tokio::test]
async fn signs_and_verifies() {
    let opendkim = start(Over::Unix).await;
    let milters = milters(&[config("opendkim", &opendkim.milter)]);
    let mut session = milters.session(&connection(INSIDE));
    hello(&mut session).await;
    let mut plain = message("all is well");
    for _ in 0..2 {
        let verdict = judge(&mut session, &plain).await.unwrap();
        assert!(
            matches!(verdict.changes.as_slice(), [Change::InsertField { index: 0, name, .. }] if name == "DKIM-Signature"),
            "{verdict:?}"
        );
        let signed = apply(&plain, &verdict.changes);
        assert_eq!(verified(&opendkim, &signed).await, "pass");
        let forged: Bytes = String::from_utf8(signed.to_vec()).unwrap().replace("well", "ill").into();
        assert_eq!(verified(&opendkim, &forged).await, "fail");
        // The second one has a field without a space behind its colon, and one with two.
        plain = [&b"X-A:b\r\nX-B:  c\r\n"[..], &plain].concat().into();
    }
    assert_eq!(verified(&opendkim, &message("unsigned")).await, "none");
}

/// libmilter writes an answer in two pieces and waits: without TCP_QUICKACK a message costs 45 ms more than over a Unix socket, with it 1.
#[tokio::test]
async fn over_tcp_it_does_not_stall() {
    let unix = hundred_messages(Over::Unix).await;
    let tcp = hundred_messages(Over::Tcp).await;
    println!("100 messages: {unix:?} over a Unix socket, {tcp:?} over TCP");
    assert!(tcp < unix * 3 + Duration::from_millis(1500), "{unix:?} {tcp:?}");
}

async fn hundred_messages(over: Over) -> Duration {
    let opendkim = start(over).await;
    let milters = milters(&[config("opendkim", &opendkim.milter)]);
    let mut session = milters.session(&connection(INSIDE));
    hello(&mut session).await;
    let begun = Instant::now();
    for _ in 0..100 {
        judge(&mut session, &message("all is well")).await.unwrap();
    }
    begun.elapsed()
}
