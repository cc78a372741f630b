//! Open relay: every way of writing an address that is not ours, from every sender, at every door without a login.

use crate::node::start;
use crate::smuggling::connect;

/// What somebody tries who wants a message to leave for `user@other.test`.
const TARGETS: [&str; 40] = [
    "user@other.test",
    "user@other.test.",
    "user@OTHER.TEST",
    "user@example.test.other.test",
    "user@example.testx",
    "user@mx.example.test",
    "user@localhost",
    "user%other.test@example.test",
    "user%other.test%example.test@example.test",
    "user%other.test@mx.example.test",
    "user%other.test@[127.0.0.1]",
    "user%other.test",
    "@example.test:user@other.test",
    "@a.test,@example.test:user@other.test",
    "@example.test,@example.test:user%other.test@example.test",
    "@example.test:@example.test:user@other.test",
    "\"user@other.test\"@example.test",
    "\"user%other.test\"@example.test",
    "\"user@other.test\"",
    "\"user\\@other.test\"@example.test",
    "\"alice@example.test x\"@other.test",
    "user\\@other.test@example.test",
    "other.test!user@example.test",
    "example.test!other.test!user@example.test",
    "other.test!user",
    "user@other.test@example.test",
    "alice@example.test@other.test",
    "user@other.test,alice@example.test",
    "alice@example.test,user@other.test",
    "alice@example.test;user@other.test",
    "alice@example.test user@other.test",
    "alice@example.test(user@other.test)",
    "user@[127.0.0.1]",
    "alice@[127.0.0.1]",
    "alice@[IPv6:::1]",
    "alice@[IPv6:::ffff:127.0.0.1]",
    "alice@[0177.0.0.1]",
    "alice@127.0.0.1",
    "alice@0x7f000001",
    "postmaster@other.test",
];

const SENDERS: [&str; 6] = [
    "<>",
    "<stranger@other.test>",
    "<alice@example.test>",
    "<postmaster@example.test>",
    "<@example.test:alice@example.test>",
    "<alice@[127.0.0.1]>",
];

#[tokio::test]
async fn attack_open_relay() {
    let node = start(|config| {
        config.limits.errors_max = 100_000;
        config.limits.errors_prompt = 100_000;
        config.limits.unknown_recipients_prompt = 100_000;
        config.limits.idle_commands_max = 100_000;
    })
    .await;
    let wrap: [fn(&str) -> String; 4] = [
        |target| format!("<{target}>"),
        |target| target.to_owned(),
        |target| format!(" <{target}>"),
        |target| format!("<<{target}>>"),
    ];
    for door in ["mx", "mx+starttls", "lmtp"] {
        for sender in SENDERS {
            let mut peer = connect(&node, door).await;
            peer.ask(&format!("MAIL FROM:{sender}"), "250").await;
            for target in TARGETS {
                for wrap in wrap {
                    peer.ask(&format!("RCPT TO:{}", wrap(target)), "5").await;
                }
            }
            let none = if door == "lmtp" { "503 5.5.1" } else { "554 5.5.1" };
            peer.ask("DATA", none).await;
            peer.send(b"BDAT 6 LAST\r\nRSET\r\n").await;
            peer.expect(none).await;
        }
    }
    // Where people log in, nothing is asked of anybody before they did.
    let mut peer = connect(&node, "mx").await;
    peer.ask("RSET", "250").await;
    let mut peer = node.greeted("submissions").await;
    for sender in SENDERS {
        peer.ask(&format!("MAIL FROM:{sender}"), "530 5.7.0").await;
    }
    peer.ask("RCPT TO:<user@other.test>", "503").await;
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_quoted_and_odd_local_parts() {
    let node = start(|config| {
        config.limits.errors_max = 1000;
        config.limits.errors_prompt = 1000;
        config.limits.unknown_recipients_prompt = 1000;
    })
    .await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250").await;
    for (local_part, expected) in [
        ("\"\"", "501 5.1.3"),
        ("\"a b\"", "550 5.1.1"),
        ("\"a\\\"b\"", "550 5.1.1"),
        ("\"../../etc/passwd\"", "550 5.1.1"),
        ("../../etc/passwd", "501 5.1.3"),
        ("a/b", "550 5.1.1"),
        (".", "501 5.1.3"),
        ("..", "501 5.1.3"),
        (".alice", "501 5.1.3"),
        ("alice.", "501 5.1.3"),
        ("a..b", "501 5.1.3"),
        ("\"", "501 5.1.3"),
        ("\"alice", "501 5.1.3"),
        ("al\"ice", "501 5.1.3"),
        ("alice\\", "501 5.1.3"),
        ("*", "550 5.1.1"),
        ("|/bin/sh", "550 5.1.1"),
        ("\"|/bin/sh -c id\"", "550 5.1.1"),
        ("'; DROP TABLE accounts; --", "501 5.1.3"),
        // The same mailbox, written in quotes, is the same mailbox.
        ("\"alice\"", "250 2.1.5"),
        ("\"a\\lice\"", "250 2.1.5"),
        ("ALICE", "250 2.1.5"),
    ] {
        peer.ask(&format!("RCPT TO:<{local_part}@example.test>"), expected).await;
    }
    for (length, expected) in [(63, "550 5.1.1"), (64, "550 5.1.1"), (65, "501 5.1.3")] {
        peer.ask(&format!("RCPT TO:<{}@example.test>", "x".repeat(length)), expected).await;
    }
    let domain = |length: usize| {
        let labels =
            [&"d".repeat(60)[..], &"e".repeat(60), &"f".repeat(60), &"g".repeat(length - 183)].join(".");
        assert_eq!(labels.len(), length);
        labels
    };
    for (length, expected) in [(200, "550 5.7.1"), (236, "550 5.7.1")] {
        peer.ask(&format!("RCPT TO:<a@{}>", domain(length)), expected).await;
    }
    peer.ask(&format!("RCPT TO:<{}@{}>", "x".repeat(64), domain(236)), "501 5.1.3").await;
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_harvesting_of_recipients() {
    // Known and unknown ones are told apart only by who asks for few: the rest comes late, and then the session ends.
    let node = start(|config| {
        config.limits.errors_max = 8;
        config.limits.unknown_recipients_prompt = 2;
        config.timeouts.unknown_recipient_delay = units::Span::millis(5);
    })
    .await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250").await;
    let began = std::time::Instant::now();
    let mut told = 0;
    for guess in 0..1000 {
        peer.send(format!("RCPT TO:<guess{guess}@example.test>\r\n").as_bytes()).await;
        let reply = peer.reply().await;
        if reply.starts_with("421 4.7.0") {
            break;
        }
        assert!(reply.starts_with("550 5.1.1"), "{reply}");
        told += 1;
    }
    assert_eq!(told, 8);
    assert!(began.elapsed() >= std::time::Duration::from_millis(6 * 5));
    peer.expect_close().await;
    assert_eq!(node.metric("refused_total"), 9.0);
    // VRFY and EXPN tell nothing.
    let mut peer = node.greeted("mx").await;
    let known = peer.ask("VRFY alice@example.test", "252").await;
    assert_eq!(peer.ask("VRFY guess@example.test", "252").await, known);
    peer.ask("EXPN team", "502").await;
}
