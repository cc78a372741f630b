//! STARTTLS: nothing crosses the handshake.

use crate::node::start;

#[tokio::test]
async fn injected_commands_are_dropped() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.send(b"STARTTLS\r\nRSET\r\n").await;
    peer.expect("220 ").await;
    peer.encrypt(&node.trust).await;
    // The next answer is to EHLO: RSET got none.
    let reply = peer.ask("EHLO again.test", "250-mx.example.test|").await;
    assert!(!reply.contains("STARTTLS"), "{reply}");
    peer.ask("QUIT", "221 ").await;
}

#[tokio::test]
async fn a_stray_octet_before_the_handshake_ends_it() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("submission").await;
    peer.ask("STARTTLS", "220 ").await;
    peer.send(b"NOOP\r\n").await;
    while peer.line().await.is_some_and(|line| !line.is_ascii()) {}
    node.idle().await;
}

#[tokio::test]
async fn everything_is_forgotten() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.ask("STARTTLS", "220 ").await;
    peer.encrypt(&node.trust).await;
    peer.ask("MAIL FROM:<a@b.test>", "503 5.5.1").await;
    peer.ask("EHLO client.test", "250-").await;
    peer.ask("STARTTLS", "503 5.5.1").await;
    peer.ask("MAIL FROM:<a@b.test>", "250 ").await;
    peer.ask("RCPT TO:<bob@example.test>", "250 ").await;
    peer.ask("DATA", "354 ").await;
    peer.send(b"Subject: s\r\n\r\nt\r\n.\r\n").await;
    peer.expect("250 2.0.0 ").await;
    let (envelope, body) = node.message().await;
    assert!(envelope.origin.tls && body.contains(" with ESMTPS id "), "{body}");
}

#[tokio::test]
async fn not_in_a_transaction() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250 ").await;
    peer.ask("STARTTLS", "503 5.5.1").await;
    peer.ask("RCPT TO:<bob@example.test>", "250 ").await;
}

#[tokio::test]
async fn a_handshake_where_a_command_belongs_is_dropped() {
    let node = start(|_| {}).await;
    let mut peer = node.connect("mx").await;
    peer.expect("220 ").await;
    peer.send(b"\x16\x03\x01\x02\x00\x01\x00").await;
    peer.expect_close().await;
}
