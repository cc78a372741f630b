//! LMTP (RFC 2033): for mail systems of our own, one answer for each recipient.

use std::sync::Arc;

use envelope::Entrance;
use queue::memory::MemoryQueue;

use crate::node::{start, start_over};

#[tokio::test]
async fn a_message_is_one_message_and_has_an_answer_for_each() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("lmtp").await;
    for bdat in [false, true] {
        peer.ask("MAIL FROM:<a@b.test>", "250").await;
        for (recipient, answer) in [
            ("alice@example.test", "250 2.1.5"),
            ("nobody@example.test", "550 5.1.1"),
            ("bob@example.test> NOTIFY=NEVER", "250 2.1.5"),
            ("Alice@example.test", "250 2.1.5"),
        ] {
            let end = if recipient.contains('>') { "" } else { ">" };
            peer.ask(&format!("RCPT TO:<{recipient}{end}"), answer).await;
        }
        if bdat {
            peer.send(b"BDAT 14 LAST\r\nSubject: x\r\n\r\n").await;
        } else {
            peer.ask("DATA", "354").await;
            peer.send(b"Subject: x\r\n\r\n.\r\n").await;
        }
        let first = peer.expect("250 2.0.0 queued as ").await;
        for _ in 0..2 {
            assert_eq!(peer.reply().await, first, "it is one message");
        }
        peer.ask("NOOP", "250 2.0.0 OK").await;
        let (envelope, body) = node.message().await;
        assert_eq!((envelope.recipients.len(), envelope.origin.entrance), (2, Entrance::Lmtp));
        assert!(body.contains(" with LMTP id "), "{body}");
    }
    assert_eq!(node.metric("messages_accepted_total"), 2.0);
}

#[tokio::test]
async fn after_starttls_it_says_so() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("lmtp").await;
    peer.ask("STARTTLS", "220 ").await;
    peer.encrypt(&node.trust).await;
    peer.ask("MAIL FROM:<a@b.test>", "503 5.5.1 Send LHLO first").await;
    peer.ask("LHLO client.test", "250").await;
    peer.up_to_data().await;
    peer.send(b"A: b\r\n\r\n.\r\n").await;
    peer.expect("250 2.0.0").await;
    assert!(node.message().await.1.contains(" with LMTPS id "));
}

#[tokio::test]
async fn refusals_are_said_to_each_and_leave_nothing() {
    let queue = Arc::new(MemoryQueue::bounded(0));
    let node = start_over(queue, |config| config.limits.header_fields_max = 60).await;
    for (text, answer) in [
        ("A: b\r\n\r\n.\r\n".to_owned(), "452 4.3.1"),
        (format!("{}\r\n.\r\n", "A: b\r\n".repeat(61)), "554 5.6.0"),
        ("A: \0\r\n\r\n.\r\n".to_owned(), "550 5.6.0"),
    ] {
        let mut peer = node.greeted("lmtp").await;
        peer.ask("MAIL FROM:<a@b.test>", "250").await;
        peer.ask("RCPT TO:<alice@example.test>", "250").await;
        peer.ask("RCPT TO:<bob@example.test>", "250").await;
        peer.ask("DATA", "354").await;
        peer.send(text.as_bytes()).await;
        peer.expect(answer).await;
        peer.expect(answer).await;
        peer.ask("NOOP", "250").await;
    }
    assert_eq!(node.queued().await, 0, "no report is made of what was refused here");
}

#[tokio::test]
async fn attack_lmtp_from_outside() {
    let node = start(|config| config.lmtp_from = vec!["192.0.2.0/24".parse().unwrap()]).await;
    let mut peer = node.connect("lmtp").await;
    peer.expect("554 5.7.1").await;
    peer.expect_close().await;
    node.idle().await;
    // The other doors are not touched by it.
    node.greeted("mx").await;
}

#[tokio::test]
async fn attack_relaying_and_logins_over_lmtp() {
    let node = start(|config| config.allow_plaintext_auth = true).await;
    let mut peer = node.greeted("lmtp").await;
    peer.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k", "502 5.5.1").await;
    peer.ask("MAIL FROM:<alice@example.test>", "250").await;
    peer.ask("RCPT TO:<user@other.test>", "550 5.7.1").await;
    peer.ask("DATA", "503 5.5.1").await;
    for door in ["mx", "submissions"] {
        let mut peer = node.connect(door).await;
        peer.expect("220 ").await;
        peer.ask("LHLO client.test", "500 5.5.1").await;
    }
}
