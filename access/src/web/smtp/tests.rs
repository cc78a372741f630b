//! The client against a server that says what it is told to say.

use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;

const EHLO: &str = "250-test\r\n250-SIZE 1000000\r\n250 AUTH PLAIN";

fn at(address: SocketAddr, tls: Option<runtime::ClientTls>) -> crate::Submission {
    crate::Submission { locate: Arc::new(move || Some(address)), tls, server_name: "localhost".to_owned() }
}

fn submission(recipients: &[&str]) -> Submission {
    Submission {
        login: "alice@x.test".to_owned(),
        password: Secret::new("secret".to_owned()),
        sender: "alice@x.test".parse().unwrap(),
        recipients: recipients.iter().map(|address| address.parse().unwrap()).collect(),
        content: Bytes::from_static(b"Subject: x\r\n\r\n.dot\r\n"),
    }
}

/// Answers each line with the next reply; gives what it was told. After the last reply the connection closes.
async fn serve(listener: TcpListener, replies: Vec<&'static str>) -> Vec<String> {
    let (tcp, _) = listener.accept().await.unwrap();
    let (read, mut write) = tcp.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut told = Vec::new();
    let mut in_message = false;
    for reply in replies {
        if write.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
            break;
        }
        in_message = reply.starts_with("354") || in_message;
        loop {
            let Ok(Some(line)) = lines.next_line().await else { return told };
            let end = line == ".";
            told.push(line);
            if !in_message || end {
                in_message = false;
                break;
            }
        }
    }
    told
}

async fn check(
    recipients: &[&str],
    replies: &[&'static str],
    timeout: u64,
) -> (Result<String, SubmitError>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, replies.to_vec()));
    let gateway = at(address, None);
    let outcome = Smtp::new(gateway, Duration::from_millis(timeout)).submit(submission(recipients)).await;
    (outcome, server.await.unwrap())
}

#[tokio::test]
async fn a_message_is_handed_over() {
    let replies = [
        "220 hi",
        EHLO,
        "235 ok",
        "250 ok",
        "250 ok",
        "250 ok",
        "354 go",
        "250 2.0.0 queued as 01X",
        "221 bye",
    ];
    let (outcome, told) = check(&["b@y.test", "c@y.test"], &replies, 20_000).await;
    assert_eq!(outcome.unwrap(), "queued as 01X");
    assert_eq!(told[1], "AUTH PLAIN AGFsaWNlQHgudGVzdABzZWNyZXQ=");
    assert_eq!(told[2..5], ["MAIL FROM:<alice@x.test> SIZE=20", "RCPT TO:<b@y.test>", "RCPT TO:<c@y.test>"]);
    assert_eq!(told[5..], ["DATA", "Subject: x", "", "..dot", ".", "QUIT"]);
}

#[tokio::test]
async fn one_refused_recipient_stops_the_message() {
    let replies =
        ["220 hi", EHLO, "235 ok", "250 ok", "250 ok", "550 5.1.1 nobody", "250 ok", "354 go", "250 ok"];
    let (outcome, told) = check(&["b@y.test", "c@y.test"], &replies, 20_000).await;
    assert!(matches!(outcome, Err(SubmitError::Recipient { recipient, .. }) if recipient == "c@y.test"));
    assert!(!told.iter().any(|line| line == "DATA"), "{told:?}");
}

#[tokio::test]
async fn each_refusal_has_its_name() {
    let all = ["220 hi", EHLO, "235 ok", "250 ok", "250 ok", "354 go", "250 ok"];
    let until = |count: usize, last: &'static str| [&all[..count], &[last, "221 bye"]].concat();
    for (replies, expected) in [
        (until(0, "421 busy"), "later"),
        (until(0, "554 no"), "later"),
        (until(2, "535 5.7.8 wrong"), "login"),
        (until(2, "454 4.7.0 not now"), "later"),
        (until(3, "550 5.7.1 not you"), "refused"),
        (until(3, "452 4.3.1 full"), "later"),
        (until(4, "451 4.3.0 can't say"), "later"),
        (until(5, "554 no"), "refused"),
        (until(6, "552 5.3.4 too big"), "refused"),
        (until(6, "451 4.3.0 later"), "later"),
        (vec!["220 hi", "250-test\r\n250 SIZE 10", "221 bye"], "later"),
        (vec!["what is this"], "unreachable"),
        (vec![], "unreachable"),
    ] {
        let (outcome, _) = check(&["b@y.test"], &replies, 20_000).await;
        assert_eq!(outcome.unwrap_err().outcome(), expected, "{replies:?}");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_called_a_refusal() {
    let replies = ["220 hi", EHLO, "235 ok", "250 ok", "250 ok", "354 go"];
    let (outcome, told) = check(&["b@y.test"], &replies, 20_000).await;
    assert!(matches!(outcome, Err(SubmitError::Unconfirmed)), "{told:?}");
}

#[tokio::test]
async fn a_gateway_that_is_away_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = at(address, None);
    let outcome = Smtp::new(gateway, Duration::from_secs(20)).submit(submission(&["b@y.test"])).await;
    assert!(matches!(outcome, Err(SubmitError::Unreachable(_))));
}

#[tokio::test]
async fn a_silent_gateway_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = at(listener.local_addr().unwrap(), None);
    let outcome = Smtp::new(gateway, Duration::from_millis(50)).submit(submission(&["b@y.test"])).await;
    assert_eq!(outcome.unwrap_err().outcome(), "unreachable");
}

#[tokio::test]
async fn a_password_does_not_go_out_when_tls_is_asked_for_and_missing() {
    let certificate = runtime::SelfSigned::new(&["localhost"]).unwrap();
    let tls = runtime::ClientTls::trusting(&certificate.certificate_pem).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, vec!["220 hi", EHLO, "221 bye"]));
    let gateway = at(address, Some(tls));
    let outcome = Smtp::new(gateway, Duration::from_secs(20)).submit(submission(&["b@y.test"])).await;
    assert_eq!(outcome.unwrap_err().outcome(), "later");
    assert!(!server.await.unwrap().iter().any(|line| line.starts_with("AUTH")));
}

#[tokio::test]
async fn a_gateway_that_starts_later_is_found() {
    let known = Arc::new(Mutex::new(None));
    let asked = Arc::clone(&known);
    let locate: crate::Locate = Arc::new(move || *asked.lock().unwrap());
    let gateway = crate::Submission { locate, tls: None, server_name: "localhost".to_owned() };
    let smtp = Smtp::new(gateway, Duration::from_secs(20));
    assert_eq!(smtp.submit(submission(&["b@y.test"])).await.unwrap_err().outcome(), "later");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    *known.lock().unwrap() = Some(listener.local_addr().unwrap());
    let replies = ["220 hi", EHLO, "235 ok", "250 ok", "250 ok", "354 go", "250 2.0.0 queued", "221 bye"];
    let server = tokio::spawn(serve(listener, replies.to_vec()));
    assert_eq!(smtp.submit(submission(&["b@y.test"])).await.unwrap(), "queued");
    server.await.unwrap();
}
