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

#[tokio::test]
async fn attack_commands_behind_starttls_in_one_packet_at_every_door() {
    let node = start(|_| {}).await;
    let injected: [&[u8]; 4] = [
        b"RSET\r\n",
        b"MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@example.test>\r\n",
        b"EHLO evil.test\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k\r\n",
        b"BDAT 100\r\nEHLO",
    ];
    for door in ["mx", "submission", "lmtp"] {
        for injected in injected {
            let mut peer = node.greeted(door).await;
            peer.send(&[b"STARTTLS\r\n", injected].concat()).await;
            peer.expect("220 ").await;
            peer.encrypt(&node.trust).await;
            // Nothing of it was read: the next answer is to this, and the client has not said who it is.
            peer.ask("MAIL FROM:<a@b.test>", "503 5.5.1").await;
            peer.ask("BDAT 0 LAST", "503 5.5.1").await;
            peer.ask("QUIT", "221 ").await;
        }
    }
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_starttls_where_it_does_not_belong() {
    let node = start(|_| {}).await;
    // Twice.
    let mut peer = node.greeted("submission").await;
    peer.ask("STARTTLS", "220 ").await;
    peer.encrypt(&node.trust).await;
    peer.ask("EHLO client.test", "250").await;
    peer.ask("STARTTLS", "503 5.5.1").await;
    // After AUTH, which there can only be within TLS.
    peer.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k", "235").await;
    peer.ask("STARTTLS", "503 5.5.1").await;
    // Where the connection began with it.
    let mut peer = node.greeted("submissions").await;
    peer.ask("STARTTLS", "502 5.5.1").await;
    // Between two chunks, and as text.
    let mut peer = node.greeted("mx").await;
    peer.up_to_recipient().await;
    peer.send(b"BDAT 8\r\nA: b\r\n\r\n").await;
    peer.expect("250").await;
    peer.ask("STARTTLS", "503 5.5.1").await;
    peer.send(b"BDAT 10 LAST\r\nSTARTTLS\r\n").await;
    peer.expect("250 2.0.0 queued").await;
    assert!(node.message().await.1.ends_with("\r\n\r\nSTARTTLS\r\n"));
    peer.up_to_data().await;
    peer.send(b"A: b\r\n\r\nSTARTTLS\r\n.\r\n").await;
    peer.expect("250 2.0.0 queued").await;
    assert!(node.message().await.1.ends_with("\r\n\r\nSTARTTLS\r\n"));
    // Before the client said who it is, and with an argument.
    let mut peer = node.connect("mx").await;
    peer.expect("220 ").await;
    peer.ask("STARTTLS", "503 5.5.1").await;
    peer.ask("STARTTLS now", "501 5.5.4").await;
}

#[tokio::test]
async fn attack_a_handshake_that_never_comes() {
    // `slow.rs` has the other states. A client that says STARTTLS and then speaks on in the clear is cut off.
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.ask("STARTTLS", "220 ").await;
    peer.send(b"MAIL FROM:<a@b.test>\r\n").await;
    while peer.line().await.is_some_and(|line| !line.is_ascii()) {}
    node.idle().await;
    assert_eq!(node.queued().await, 0);
}
