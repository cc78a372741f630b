//! Whatever separates lines wrongly: one message or none, never two, and nothing read as commands.

use crate::node::{Node, Peer, start};

/// Each with whether the message may be kept (as one).
pub(crate) const SEPARATORS: [(&[u8], bool); 14] = [
    (b"\n.\n", false),
    (b"\n.\r", false),
    (b"\r.\n", false),
    (b"\r.\r", false),
    (b"\n.\r\n", false),
    (b"\r.\r\n", false),
    (b"\r\n\0.\r\n", false),
    (b"\r\n.\n", false),
    (b"\r\n.\r", false),
    (b"\r\n.\r\r\n", false),
    (b"\r\r\n.\r\r\n", false),
    (b"\r\n\x0b.\r\n", true),
    (b"\r\n .\r\n", true),
    (b"\r\n\xe2\x80\xa8.\r\n", true),
];

pub(crate) async fn connect(node: &Node, door: &str) -> Peer {
    match door {
        "mx" | "lmtp" => node.greeted(door).await,
        "mx+starttls" => {
            let mut peer = node.greeted("mx").await;
            peer.ask("STARTTLS", "220 ").await;
            peer.encrypt(&node.trust).await;
            peer.ask("EHLO client.test", "250").await;
            peer
        }
        _ => node.logged_in().await,
    }
}

async fn check(node: &Node, door: &str, separator: &[u8], kept: bool, slowly: bool) {
    let case = format!("{door} {} slowly={slowly}", separator.escape_ascii());
    let mut peer = connect(node, door).await;
    peer.up_to_data().await;
    let smuggled =
        b"MAIL FROM:<bob@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: two\r\n\r\nx";
    let text = [&b"Subject: one\r\n\r\na"[..], separator, smuggled, b"\r\n.\r\n"].concat();
    if slowly {
        peer.send_slowly(&text).await;
    } else {
        peer.send(&text).await;
    }
    let reply = peer.reply().await;
    if kept {
        assert!(reply.starts_with("250 2.0.0 queued as "), "{case}: {reply}");
        let (_, body) = node.message().await;
        assert!(body.contains("Subject: one") && body.contains("Subject: two"), "{case}: {body}");
        peer.ask("QUIT", "221").await;
    } else {
        assert!(reply.starts_with("550 5.6.0 "), "{case}: {reply}");
        if !separator.contains(&0) {
            peer.expect_close().await;
        }
    }
    drop(peer);
    node.idle().await;
    assert_eq!(node.queued().await, 0, "{case}");
}

async fn table(door: &str) {
    let node = start(|_| {}).await;
    for (separator, kept) in SEPARATORS {
        check(&node, door, separator, kept, false).await;
        check(&node, door, separator, kept, true).await;
    }
}

#[tokio::test]
async fn in_the_clear() {
    table("mx").await;
}

#[tokio::test]
async fn after_starttls() {
    table("mx+starttls").await;
}

#[tokio::test]
async fn over_tls_logged_in() {
    table("submissions").await;
}

#[tokio::test]
async fn commands_end_with_crlf_too() {
    let node = start(|_| {}).await;
    for line in [&b"NOOP\n"[..], b"NOOP\rNOOP\r\n", b"EHLO a\nMAIL FROM:<>\r\n", b"NOOP\r\r\n"] {
        let mut peer = node.greeted("mx").await;
        peer.send(line).await;
        peer.expect("500 5.5.2 ").await;
        peer.expect_close().await;
    }
    let mut peer = node.greeted("mx").await;
    peer.send(b"NO\0OP\r\nQUIT\r\n").await;
    peer.expect("500 5.5.2 ").await;
    peer.expect("221 ").await;
}

#[tokio::test]
async fn dots_survive_octet_by_octet() {
    let node = start(|_| {}).await;
    let long = format!("{}.", "x".repeat(997));
    let text = format!("Subject: dots\r\n\r\n.\r\n..\r\n...x\r\n.{long}\r\n{long}\r\n. \r\na.\r\n");
    let mut wire = Vec::new();
    let mut stuffer = smtp_proto::DotStuffer::default();
    stuffer.encode(text.as_bytes(), &mut wire);
    stuffer.finish(&mut wire);
    for slowly in [false, true] {
        let mut peer = node.greeted("mx").await;
        peer.up_to_data().await;
        if slowly {
            peer.send_slowly(&wire).await;
        } else {
            peer.send(&wire).await;
        }
        peer.expect("250 2.0.0 ").await;
        let (_, body) = node.message().await;
        assert!(body.starts_with("Received: from client.test ([127.0.0.1])\r\n"), "{body}");
        assert!(body.ends_with(&text), "{body}");
    }
}

#[tokio::test]
async fn what_stands_behind_a_refused_command_is_never_read_as_commands() {
    let node = start(|_| {}).await;
    let smuggled = b"Subject: x\r\n\r\nRSET\r\nMAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: two\r\n\r\nx\r\n.\r\n";
    for door in ["mx", "submissions"] {
        let mut peer = connect(&node, door).await;
        peer.ask("MAIL FROM:<alice@example.test>", "250").await;
        peer.ask("RCPT TO:<nobody@example.test>", "550").await;
        peer.send(&[b"DATA\r\n", &smuggled[..]].concat()).await;
        peer.expect("554 5.5.0").await;
        peer.expect_close().await;
        // A chunk says how long it is: it is read and thrown away, and the session goes on behind it.
        let mut peer = connect(&node, door).await;
        peer.ask("MAIL FROM:<alice@example.test>", "250").await;
        peer.ask("RCPT TO:<nobody@example.test>", "550").await;
        let chunk = format!("BDAT {} LAST\r\n", smuggled.len());
        peer.send(&[chunk.as_bytes(), smuggled, b"QUIT\r\n"].concat()).await;
        peer.expect("554 5.5.1").await;
        peer.expect("221").await;
    }
    assert_eq!(node.queued().await, 0);
    // A client that logged in and does not wait for the 354 is served, as long as its message is taken.
    let mut peer = node.logged_in().await;
    peer.ask("MAIL FROM:<alice@example.test>", "250").await;
    peer.ask("RCPT TO:<bob@example.test>", "250").await;
    peer.send(b"DATA\r\nSubject: one\r\n\r\nx\r\n.\r\n").await;
    peer.expect("354").await;
    peer.expect("250 2.0.0").await;
}

#[tokio::test]
async fn a_message_that_is_read_as_commands_ends_the_session_however_it_is_cut() {
    let node = start(|_| {}).await;
    for door in ["mx", "submissions"] {
        for first in ["Subject: x", "no header at all", "\u{e9}"] {
            let mut peer = connect(&node, door).await;
            peer.ask("MAIL FROM:<alice@example.test>", "250").await;
            peer.ask("RCPT TO:<nobody@example.test>", "550").await;
            peer.ask("DATA", "554 5.5.1").await;
            // Only now, as two writes of a client arrive.
            peer.send(format!("{first}\r\nRSET\r\nMAIL FROM:<alice@example.test>\r\n").as_bytes()).await;
            let reply = peer.reply().await;
            assert!(reply.starts_with("554 5.5.0") || reply.starts_with("421"), "{first}: {reply}");
            peer.expect_close().await;
        }
    }
    // A header field is never a command, wherever it stands.
    let mut peer = connect(&node, "mx").await;
    peer.send(b"Received: from x\r\n").await;
    let reply = peer.reply().await;
    assert!(reply.starts_with("421") || reply.starts_with("5"), "{reply}");
    peer.expect_close().await;
    // A client that asks again properly is served.
    let mut peer = connect(&node, "mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250").await;
    peer.ask("DATA", "554 5.5.1").await;
    peer.ask("NOOP", "250").await;
    peer.ask("WHAT", "500").await;
    peer.ask("RCPT TO:<alice@example.test>", "250").await;
}

#[tokio::test]
async fn a_client_with_other_line_ends_hears_at_once_why_not() {
    // Without this it would wait for minutes, hear of a timeout and come back for days.
    let node = start(|config| config.timeouts.data_block = units::Span::hours(1)).await;
    for text in [&b"Subject: x\n\nhi\n.\n"[..], b"Subject: x\r\n\r\nhi\n.\r\n", b"\n.\n"] {
        let mut peer = connect(&node, "mx").await;
        peer.up_to_data().await;
        peer.send(text).await;
        peer.expect("550 5.6.0 ").await;
        peer.expect_close().await;
    }
    assert_eq!(node.queued().await, 0);
}
