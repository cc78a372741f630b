//! Each limit at one below, at, and one above.

use std::fmt::Write as _;

use units::{ByteSize, Span};

use crate::node::start;

#[tokio::test]
async fn recipients() {
    let node = start(|config| config.limits.recipients_max = 3).await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250 ").await;
    for n in 0..3 {
        peer.ask(&format!("RCPT TO:<user{n}@example.test>"), "250 2.1.5").await;
    }
    peer.ask("RCPT TO:<user4@example.test>", "452 4.5.3").await;
    peer.ask("DATA", "354 ").await;
    peer.send(b"A: b\r\n\r\n.\r\n").await;
    peer.expect("250 ").await;
    assert_eq!(node.message().await.0.recipients.len(), 3);
}

#[tokio::test]
async fn the_same_recipient_twice_is_one() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250 ").await;
    peer.ask("RCPT TO:<Bob@example.test>", "250 ").await;
    peer.ask("RCPT TO:<bob@EXAMPLE.test>", "250 ").await;
    peer.ask("DATA", "354 ").await;
    peer.send(b"A: b\r\n\r\n.\r\n").await;
    peer.expect("250 ").await;
    let (envelope, body) = node.message().await;
    assert_eq!(envelope.recipients.len(), 1);
    assert!(body.contains("for <Bob@example.test>"), "{body}");
}

#[tokio::test]
async fn message_size() {
    let node = start(|config| config.limits.message_size_max = ByteSize::bytes(70_000)).await;
    for (size, good) in [(69_999, true), (70_000, true), (70_001, false)] {
        let mut peer = node.greeted("mx").await;
        let mail = format!("MAIL FROM:<a@b.test> SIZE={size}");
        peer.ask(&mail, if good { "250" } else { "552 5.3.4" }).await;
        peer.ask("RSET", "250").await;
        peer.up_to_data().await;
        let mut text = "A: b\r\n\r\n".to_owned();
        while text.len() + 100 < size {
            let _ = write!(text, "{}\r\n", "x".repeat(78));
        }
        let _ = write!(text, "{}\r\n", "y".repeat(size - text.len() - 2));
        assert_eq!(text.len(), size);
        peer.send(format!("{text}.\r\n").as_bytes()).await;
        peer.expect(if good { "250 2.0.0" } else { "552 5.3.4" }).await;
        // The session goes on: the end was seen.
        peer.ask("NOOP", "250 ").await;
        assert_eq!(node.queued().await, usize::from(good), "{size}");
        if good {
            node.message().await;
        }
    }
}

#[tokio::test]
async fn a_lie_about_the_size_is_read_to_a_cap() {
    let node = start(|config| {
        config.limits.message_size_max = ByteSize::kib(64);
        config.limits.discard_max = ByteSize::kib(64);
    })
    .await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test> SIZE=1", "250").await;
    peer.ask("RCPT TO:<bob@example.test>", "250").await;
    peer.ask("DATA", "354 ").await;
    let block = format!("{}\r\n", "x".repeat(998)).repeat(100);
    while peer.try_send(block.as_bytes()).await {}
    assert_eq!(node.queued().await, 0);
    node.idle().await;
}

#[tokio::test]
async fn header_fields_and_hops() {
    let node = start(|config| config.limits.header_fields_max = 60).await;
    let cases = [
        ("X: y\r\n", 60, "250 "),
        ("X: y\r\n", 61, "554 5.6.0"),
        ("Received: x\r\n", 50, "250 "),
        ("Received: x\r\n", 51, "554 5.4.6"),
    ];
    for (field, count, expected) in cases {
        let mut peer = node.greeted("mx").await;
        peer.up_to_data().await;
        peer.send(format!("{}\r\ntext\r\n.\r\n", field.repeat(count)).as_bytes()).await;
        peer.expect(expected).await;
    }
    assert_eq!(node.queued().await, 2);
}

#[tokio::test]
async fn header_size_and_line_length() {
    let node = start(|config| {
        config.limits.header_size_max = ByteSize::kib(8);
        config.limits.text_line_max = ByteSize::bytes(1200);
    })
    .await;
    let header = |length: usize| {
        let mut text = format!("A: {}\r\n", "x".repeat(1000)).repeat(8);
        let _ = write!(text, "B: {}\r\n", "y".repeat(length - text.len() - 5));
        text
    };
    let line = |length: usize| format!("A: b\r\n\r\n{}\r\n", "z".repeat(length));
    let cases = [
        (format!("{}\r\n", header(8191)), "250 "),
        (format!("{}\r\n", header(8192)), "250 "),
        (format!("{}\r\n", header(8193)), "552 5.3.4"),
        (line(1199), "250 "),
        (line(1200), "250 "),
        (line(1201), "550 5.6.0"),
    ];
    for (text, expected) in cases {
        let mut peer = node.greeted("mx").await;
        peer.up_to_data().await;
        peer.send(format!("{text}.\r\n").as_bytes()).await;
        peer.expect(expected).await;
        peer.ask("NOOP", "250").await;
    }
}

#[tokio::test]
async fn command_length() {
    let node = start(|config| config.limits.command_line_max = ByteSize::bytes(512)).await;
    let mut peer = node.greeted("mx").await;
    let line = |length: usize| format!("NOOP {}", "x".repeat(length - 7));
    peer.ask(&line(511), "250").await;
    peer.ask(&line(512), "250").await;
    peer.ask(&line(513), "500 5.5.2").await;
    peer.ask(&line(1 << 20), "500 5.5.2").await;
    peer.ask("NOOP", "250").await;
}

#[tokio::test]
async fn errors_and_idle_commands() {
    let node = start(|config| {
        config.limits.errors_max = 3;
        config.limits.idle_commands_max = 4;
    })
    .await;
    let mut peer = node.greeted("mx").await;
    for _ in 0..3 {
        peer.ask("WHAT", "500 5.5.1").await;
    }
    peer.ask("WHAT", "421 4.7.0").await;
    peer.expect_close().await;
    let mut peer = node.greeted("mx").await;
    for _ in 0..3 {
        peer.ask("NOOP", "250").await;
    }
    peer.ask("VRFY x", "421 4.7.0").await;
    peer.expect_close().await;
}

#[tokio::test]
async fn guessing_addresses() {
    let node = start(|config| {
        config.limits.errors_max = 4;
        config.limits.unknown_recipients_prompt = 2;
        config.timeouts.unknown_recipient_delay = Span::millis(30);
    })
    .await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250").await;
    let began = std::time::Instant::now();
    for n in 0..4 {
        peer.ask(&format!("RCPT TO:<guess{n}@example.test>"), "550 5.1.1").await;
    }
    assert!(began.elapsed() >= std::time::Duration::from_millis(60), "the last two came late");
    peer.ask("RCPT TO:<guess@example.test>", "421 4.7.0").await;
    peer.expect_close().await;
}

#[tokio::test]
async fn connections_of_one_address() {
    let node = start(|config| config.limits.connections_per_address_max = 2).await;
    let first = node.greeted("mx").await;
    let _second = node.greeted("mx").await;
    let mut third = node.connect("mx").await;
    third.expect("421 4.7.0").await;
    third.expect_close().await;
    drop(first);
    crate::node::wait_until("one is left", || node.metric("connections") <= 1.0).await;
    // The place comes back with the connection's end, an instant after its count.
    loop {
        let mut again = node.connect("mx").await;
        if again.reply().await.starts_with("220 ") {
            break;
        }
    }
}

#[tokio::test]
async fn deadlines() {
    let node = start(|config| config.timeouts.command = Span::millis(50)).await;
    let mut peer = node.connect("mx").await;
    peer.expect("220 ").await;
    peer.expect("421 4.4.2").await;
    peer.expect_close().await;

    let node = start(|config| config.timeouts.data_block = Span::millis(50)).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_data().await;
    peer.send(b"Subject: half").await;
    peer.expect("421 4.4.2").await;
    peer.expect_close().await;

    let node = start(|config| {
        config.timeouts.data_grace = Span::millis(50);
        config.limits.data_rate_min = ByteSize::mib(1 << 20);
    })
    .await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_data().await;
    // Octets keep coming, each in time for the block, too few for the rate.
    while node.metric("connections") > 0.0 && peer.try_send(b"x").await {
        tokio::task::yield_now().await;
    }
    node.idle().await;
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn early_talkers_and_other_protocols() {
    let node = start(|config| config.timeouts.greeting_pause = Span::secs(10)).await;
    let mut peer = node.connect("mx").await;
    peer.send(b"EHLO early.test\r\n").await;
    peer.expect("554 5.5.0").await;
    peer.expect_close().await;

    let node = start(|_| {}).await;
    for (door, line) in [
        ("mx", "GET / HTTP/1.1"),
        ("mx", "POST / HTTP/1.1"),
        ("mx", "CONNECT a:25 HTTP/1.1"),
        ("submission", "OPTIONS * HTTP/1.1"),
        ("submissions", "POST /login HTTP/1.1"),
        ("lmtp", "PUT / HTTP/1.1"),
    ] {
        let mut peer = node.connect(door).await;
        peer.expect("220 ").await;
        peer.send(format!("{line}\r\nEHLO a\r\nMAIL FROM:<>\r\n").as_bytes()).await;
        peer.expect("554 5.5.1").await;
        peer.expect_close().await;
    }
}

#[tokio::test]
async fn pipelining() {
    let node = start(|_| {}).await;
    // In order, answered together.
    let mut peer = node.greeted("mx").await;
    peer.send(
        b"MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@example.test>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n",
    )
    .await;
    for expected in ["250 2.1.0", "250 2.1.5", "550 5.1.1", "354 "] {
        peer.expect(expected).await;
    }
    peer.send(b"A: b\r\n\r\nt\r\n.\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n").await;
    for expected in ["250 2.0.0", "250 2.1.0", "250 2.0.0", "221 "] {
        peer.expect(expected).await;
    }
    // Not behind EHLO, and not behind DATA before its 354.
    let mut peer = node.connect("mx").await;
    peer.expect("220 ").await;
    peer.send(b"EHLO a.test\r\nMAIL FROM:<a@b.test>\r\n").await;
    peer.expect("554 5.5.0").await;
    peer.expect_close().await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250").await;
    peer.ask("RCPT TO:<bob@example.test>", "250").await;
    peer.send(b"DATA\r\nSubject: too soon\r\n\r\n.\r\n").await;
    peer.expect("554 5.5.0").await;
    peer.expect_close().await;
    assert_eq!(node.queued().await, 1);
}

/// Quirks `long-lines`, `raw-utf8-header` and `missing-separator`: kept as they came.
#[tokio::test]
async fn lenient_about_text() {
    let node = start(|_| {}).await;
    let long = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(100_000));
    let cases = [
        (long.clone(), long),
        ("Subject: é\r\n\r\nü\r\n".to_owned(), "\r\nSubject: é\r\n\r\nü\r\n".to_owned()),
        ("Subject: a\r\nno field\r\n".to_owned(), "\r\nSubject: a\r\n\r\nno field\r\n".to_owned()),
        ("no header\r\n".to_owned(), "\r\n\r\nno header\r\n".to_owned()),
        (String::new(), " +0000\r\n".to_owned()),
    ];
    for (text, end) in cases {
        let mut peer = node.greeted("mx").await;
        peer.up_to_data().await;
        peer.send(format!("{text}.\r\n").as_bytes()).await;
        peer.expect("250 2.0.0").await;
        let (_, body) = node.message().await;
        assert!(body.starts_with("Received: ") && body.ends_with(&end), "{body}");
    }
}

#[tokio::test]
async fn memory_for_messages_on_their_way_in() {
    let node = start(|config| {
        config.limits.message_memory_max = ByteSize::kib(16 * 1024);
        config.timeouts.message_memory = Span::millis(100);
    })
    .await;
    // The queue in memory spools nothing: a slow sender holds all that it sent.
    let mut slow = node.greeted("mx").await;
    slow.up_to_data().await;
    let text = format!("{}\r\n", "x".repeat(78)).repeat(200_000);
    slow.send(b"A: b\r\n\r\n").await;
    slow.send(text.as_bytes()).await;
    let held = || node.metric("message_memory_bytes");
    crate::node::wait_until("all of it is counted", || held() >= 15.0 * 1024.0 * 1024.0).await;
    let mut other = node.greeted("mx").await;
    other.up_to_data().await;
    other.send(format!("A: b\r\n\r\n{}.\r\n", &text[..1_600_000]).as_bytes()).await;
    other.expect("452 4.3.1").await;
    // A small one always passes, and what was held comes back, with a message that is refused at once.
    other.up_to_data().await;
    other.send(b"A: b\r\n\r\nsmall\r\n.\r\n").await;
    other.expect("250 2.0.0").await;
    slow.send(b"bare\nline").await;
    crate::node::wait_until("nothing is held", || held() == 0.0).await;
}

#[tokio::test]
async fn with_little_memory_large_messages_go_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let config = queue::Config {
        dir: folder.path().to_owned(),
        inline_max: ByteSize::mib(16),
        ..queue::Config::default()
    };
    let registry = prometheus::Registry::new();
    let embedded = queue::embedded::EmbeddedQueue::open(&config, "gateway", &registry).unwrap();
    let node = crate::node::start_over(std::sync::Arc::new(embedded), |config| {
        config.limits.message_memory_max = ByteSize::mib(16);
        config.timeouts.message_memory = Span::millis(50);
    })
    .await;
    let text = format!("{}\r\n", "x".repeat(78)).repeat(130_000);
    let mut first = node.greeted("mx").await;
    first.up_to_data().await;
    first.send(format!("A: b\r\n\r\n{text}").as_bytes()).await;
    let held = || node.metric("message_memory_bytes");
    crate::node::wait_until("most of the memory is taken", || held() >= 9.0 * 1024.0 * 1024.0).await;
    let mut second = node.greeted("mx").await;
    second.up_to_data().await;
    second.send(format!("A: b\r\n\r\n{text}.\r\n").as_bytes()).await;
    second.expect("250 2.0.0").await;
    first.send(b".\r\n").await;
    first.expect("250 2.0.0").await;
    for _ in 0..2 {
        assert!(node.message().await.1.ends_with(&text[text.len() - 8000..]));
    }
}

#[tokio::test]
async fn what_is_decided_of_a_message_is_said_though_the_budget_is_spent() {
    let node = start(|config| config.limits.errors_max = 2).await;
    let mut peer = node.greeted("mx").await;
    peer.ask("WHAT", "500").await;
    peer.ask("WHAT", "500").await;
    peer.up_to_data().await;
    peer.send(b"Subject: \0\r\n\r\nx\r\n.\r\n").await;
    peer.expect("550 5.6.0").await;
    peer.expect_close().await;
}

#[tokio::test]
async fn a_message_that_is_cut_off_is_told_and_counted() {
    let node = start(|config| {
        config.limits.message_size_max = ByteSize::kib(64);
        config.limits.discard_max = ByteSize::kib(64);
    })
    .await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_data().await;
    peer.try_send(format!("A: b\r\n\r\n{}", format!("{}\r\n", "x".repeat(78)).repeat(5000)).as_bytes()).await;
    peer.expect("552 5.3.4").await;
    assert_eq!(node.metric("refused_total"), 1.0);
}
