//! Clients that stall, in every state, and those that go away in the middle.

use units::{ByteSize, Span};

use crate::node::{Node, Peer, start};

/// A client that has come as far as its name says.
async fn at(node: &Node, state: &str) -> Peer {
    let door = match state {
        "logging in" | "logged in" => "submissions",
        "lmtp" => "lmtp",
        _ => "mx",
    };
    let mut peer = node.connect(door).await;
    peer.expect("220 ").await;
    if state == "greeted" {
        return peer;
    }
    peer.ask(if door == "lmtp" { "LHLO client.test" } else { "EHLO client.test" }, "250").await;
    match state {
        "logging in" => {
            peer.ask("AUTH LOGIN", "334").await;
        }
        "logged in" => {
            peer.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k", "235").await;
        }
        "sender" => {
            peer.ask("MAIL FROM:<a@b.test>", "250").await;
        }
        "recipient" => peer.up_to_recipient().await,
        "between chunks" => {
            peer.up_to_recipient().await;
            peer.send(b"BDAT 4\r\nA: b").await;
            peer.expect("250").await;
        }
        "text" => peer.up_to_data().await,
        "chunk" => {
            peer.up_to_recipient().await;
            peer.send(b"BDAT 1000\r\n").await;
        }
        "skipped chunk" => peer.send(b"BDAT 1000\r\n").await,
        _ => {}
    }
    peer
}

const WAITING_FOR_A_COMMAND: [&str; 8] =
    ["greeted", "ready", "lmtp", "logging in", "logged in", "sender", "recipient", "between chunks"];
const WAITING_FOR_OCTETS: [&str; 3] = ["text", "chunk", "skipped chunk"];

#[tokio::test]
async fn attack_silence_in_every_state() {
    let node = start(|config| {
        config.timeouts.command = Span::millis(150);
        config.timeouts.data_block = Span::millis(150);
    })
    .await;
    for state in WAITING_FOR_A_COMMAND.into_iter().chain(WAITING_FOR_OCTETS) {
        let mut peer = at(&node, state).await;
        peer.expect("421 4.4.2").await;
        peer.expect_close().await;
    }
    node.idle().await;
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_one_octet_after_the_other() {
    // Octets that keep coming do not make the wait for a whole command or a whole message longer.
    let node = start(|config| {
        config.timeouts.command = Span::millis(150);
        config.timeouts.data_grace = Span::millis(150);
        config.limits.data_rate_min = ByteSize::mib(1 << 20);
    })
    .await;
    for state in WAITING_FOR_A_COMMAND.into_iter().chain(WAITING_FOR_OCTETS) {
        let mut peer = at(&node, state).await;
        while node.metric("connections") > 0.0 && peer.try_send(b"x").await {
            tokio::task::yield_now().await;
        }
        node.idle().await;
    }
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_a_session_without_an_end() {
    let node = start(|config| config.timeouts.session = Span::millis(200)).await;
    for state in ["ready", "recipient"] {
        let mut peer = at(&node, state).await;
        while node.metric("connections") > 0.0 && peer.try_send(b"RSET\r\n").await {
            tokio::task::yield_now().await;
        }
        node.idle().await;
    }
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_answers_that_are_never_read() {
    // The answers to what was sent at once fill the way back; then nothing more is read, and after a time the session ends.
    let node = start(|config| {
        config.limits.idle_commands_max = u32::MAX;
        config.timeouts.reply = Span::millis(200);
    })
    .await;
    let mut peer = at(&node, "ready").await;
    let group = b"NOOP\r\n".repeat(10_000);
    while node.metric("connections") > 0.0 && peer.try_send(&group).await {}
    node.idle().await;
    assert_eq!(node.metric("sessions_total"), 1.0);
}

#[tokio::test]
async fn attack_pipelined_commands_are_read_a_little_at_a_time() {
    // However much a client sends at once, its commands are answered in order up to the budget, and the rest is not read.
    let node = start(|config| config.limits.idle_commands_max = 50).await;
    let mut peer = at(&node, "ready").await;
    peer.try_send(&b"NOOP\r\n".repeat(100_000)).await;
    for _ in 0..49 {
        peer.expect("250 2.0.0").await;
    }
    peer.expect("421 4.7.0").await;
    node.idle().await;
    assert!(node.metric("commands_total") < 60.0);
}

#[tokio::test]
async fn attack_reset_and_half_open_in_every_state() {
    let node = start(|_| {}).await;
    for state in WAITING_FOR_A_COMMAND.into_iter().chain(WAITING_FOR_OCTETS) {
        let mut peer = at(&node, state).await;
        peer.try_send(b"Subject: half").await;
        peer.reset();
        node.idle().await;
        let peer = at(&node, state).await;
        drop(peer);
        node.idle().await;
    }
    // All but the last octet of a message, and then nothing.
    for text in [&b"DATA\r\nA: b\r\n\r\ntext\r\n.\r"[..], b"BDAT 10 LAST\r\nA: b\r\n\r\nt"] {
        let mut peer = node.logged_in().await;
        peer.up_to_recipient().await;
        peer.send(text).await;
        peer.reset();
        node.idle().await;
    }
    assert_eq!((node.queued().await, node.metric("message_memory_bytes")), (0, 0.0));
}

#[tokio::test]
async fn attack_errors_are_answered_ever_later() {
    let node = start(|config| {
        config.limits.errors_prompt = 2;
        config.limits.errors_max = 5;
        config.timeouts.error_delay = Span::millis(40);
    })
    .await;
    let mut peer = at(&node, "ready").await;
    let began = std::time::Instant::now();
    for _ in 0..2 {
        peer.ask("WHAT", "500").await;
    }
    // What was answered before does not wait with the error.
    peer.send(b"NOOP\r\nWHAT\r\n").await;
    peer.expect("250").await;
    peer.expect("500").await;
    peer.send(b"BDAT 5 LAST\r\nQUIT\r").await;
    peer.expect("503").await;
    peer.ask("WHAT", "500").await;
    assert!(began.elapsed() >= std::time::Duration::from_millis(120), "three came late");
    peer.ask("NOOP", "250").await;
    peer.ask("WHAT", "421 4.7.0").await;
    peer.expect_close().await;
}

#[tokio::test]
async fn attack_speaking_before_the_greeting_at_every_door() {
    let node = start(|config| config.timeouts.greeting_pause = Span::secs(10)).await;
    for door in ["mx", "submission", "lmtp"] {
        let mut peer = node.connect(door).await;
        peer.send(b"EHLO early.test\r\nMAIL FROM:<a@b.test>\r\n").await;
        peer.expect("554 5.5.0").await;
        peer.expect_close().await;
    }
    node.idle().await;
}

#[tokio::test]
async fn attack_pipelining_before_the_client_said_who_it_is() {
    let node = start(|_| {}).await;
    let group = b"RCPT TO:<bob@example.test>\r\nDATA\r\nA: b\r\n\r\n.\r\nQUIT\r\n";
    // Without EHLO nothing is begun, and the text behind DATA is not read as commands.
    let mut peer = node.connect("mx").await;
    peer.expect("220 ").await;
    peer.send(&[b"MAIL FROM:<a@b.test>\r\n", &group[..]].concat()).await;
    peer.expect("503 5.5.1").await;
    peer.expect("503 5.5.1").await;
    peer.expect("554 5.5.0").await;
    peer.expect_close().await;
    // With it in one packet neither.
    for hello in ["EHLO", "HELO"] {
        let mut peer = node.connect("mx").await;
        peer.expect("220 ").await;
        peer.send(&[format!("{hello} c.test\r\nMAIL FROM:<a@b.test>\r\n").as_bytes(), &group[..]].concat())
            .await;
        peer.expect("554 5.5.0").await;
        peer.expect_close().await;
    }
    let mut peer = node.connect("lmtp").await;
    peer.expect("220 ").await;
    peer.send(&[b"LHLO c.test\r\nMAIL FROM:<a@b.test>\r\n", &group[..]].concat()).await;
    peer.expect("554 5.5.0").await;
    peer.expect_close().await;
    assert_eq!(node.queued().await, 0);
}
