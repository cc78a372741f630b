//! BDAT (RFC 3030): octets are counted, and everything else is as behind DATA.

use std::fmt::Write as _;

use units::{ByteSize, Span};

use crate::node::{PATIENCE, start};
use crate::smuggling::{SEPARATORS, connect};

const DOORS: [&str; 4] = ["mx", "mx+starttls", "submissions", "lmtp"];

/// `text` in chunks of the given sizes, the last one with LAST.
pub(crate) fn chunks(text: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut wire, mut rest) = (Vec::new(), text);
    for (index, size) in sizes.iter().enumerate() {
        let (chunk, next) = rest.split_at(*size);
        let last = if index + 1 == sizes.len() { " LAST" } else { "" };
        wire.extend_from_slice(format!("BDAT {size}{last}\r\n").as_bytes());
        wire.extend_from_slice(chunk);
        rest = next;
    }
    assert!(rest.is_empty(), "the sizes are those of the text");
    wire
}

#[tokio::test]
async fn a_whole_group_in_one_packet_and_octet_by_octet() {
    let node = start(|_| {}).await;
    // Lines that would end a message behind DATA, and commands, are text here.
    let text = b"Subject: x\r\n\r\n.\r\n..\r\nRSET\r\n.\r\nQUIT\r\n";
    let envelope = b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\n";
    for door in DOORS {
        for slowly in [false, true] {
            let mut peer = connect(&node, door).await;
            let group = [
                &envelope[..],
                &chunks(text, &[5, 0, 20, 11]),
                b"MAIL FROM:<alice@example.test>\r\nRSET\r\nQUIT\r\n",
            ]
            .concat();
            if slowly {
                peer.send_slowly(&group).await;
            } else {
                peer.send(&group).await;
            }
            for expected in [
                "250 2.1.0",
                "250 2.1.5",
                "250 2.0.0 5 octets received",
                "250 2.0.0 0 octets received",
                "250 2.0.0 20 octets received",
                "250 2.0.0 queued as ",
                "250 2.1.0",
                "250 2.0.0",
                "221 ",
            ] {
                peer.expect(expected).await;
            }
            let (_, body) = node.octets().await;
            assert!(
                body.starts_with(b"Received: ") && body.ends_with(&text[10..]),
                "{door}: {}",
                body.escape_ascii()
            );
        }
    }
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn a_message_is_the_same_both_ways() {
    let node = start(|_| {}).await;
    let text = b"Subject: both\r\nX: y\r\n\r\n.dots\r\n..\r\nlast\r\n";
    let mut stuffed = Vec::new();
    let mut stuffer = smtp_proto::DotStuffer::default();
    stuffer.encode(text, &mut stuffed);
    stuffer.finish(&mut stuffed);
    let mut peer = node.logged_in().await;
    peer.up_to_data().await;
    peer.send(&stuffed).await;
    peer.expect("250 2.0.0").await;
    let (_, by_data) = node.octets().await;
    peer.up_to_recipient().await;
    peer.send(&chunks(text, &[1; 40])).await;
    for _ in 0..39 {
        peer.expect("250 2.0.0 1 octets").await;
    }
    peer.expect("250 2.0.0 queued").await;
    let (_, by_bdat) = node.octets().await;
    // But for the id and the moment.
    let told_apart =
        |line: &&str| [" id ", "Date: ", " +0000", "Message-ID"].iter().all(|part| !line.contains(part));
    let alike = |body: &[u8]| {
        let text = String::from_utf8_lossy(body).into_owned();
        text.lines().filter(told_apart).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(alike(&by_data), alike(&by_bdat));
    assert!(by_bdat.ends_with(b"\r\nlast\r\n"));
}

#[tokio::test]
async fn attack_smuggling_in_chunks() {
    let smuggled = b"MAIL FROM:<bob@example.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: two\r\n\r\nx\r\n.\r\n";
    let node = start(|_| {}).await;
    for door in DOORS {
        for (separator, kept) in SEPARATORS {
            let text = [&b"Subject: one\r\n\r\na"[..], separator, smuggled].concat();
            // In one chunk, and cut in the middle of the separator.
            let middle = 17 + separator.len() / 2;
            for sizes in [vec![text.len()], vec![middle, text.len() - middle]] {
                let case = format!("{door} {} {sizes:?}", separator.escape_ascii());
                let mut peer = connect(&node, door).await;
                peer.up_to_recipient().await;
                peer.send(&[&chunks(&text, &sizes)[..], b"NOOP\r\n"].concat()).await;
                let mut replies = Vec::new();
                for _ in &sizes {
                    replies.push(peer.reply().await);
                }
                // However it ends, the octets were counted: what stands behind them is the next command.
                peer.expect("250 2.0.0 OK").await;
                if kept {
                    assert!(replies.iter().all(|reply| reply.starts_with("250")), "{case}: {replies:?}");
                    let (_, body) = node.octets().await;
                    // Submission puts fields between the header and the empty line.
                    assert!(body.ends_with(&text[12..]), "{case}");
                } else {
                    assert!(
                        replies.iter().any(|reply| reply.starts_with("550 5.6.0")),
                        "{case}: {replies:?}"
                    );
                    assert!(!replies.iter().any(|reply| reply.contains("queued")), "{case}: {replies:?}");
                }
                peer.ask("QUIT", "221").await;
                assert_eq!(node.queued().await, 0, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn attack_refused_chunks_hold_no_commands() {
    let commands = b"RSET\r\nMAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nA: b\r\n\r\n.\r\nQUIT\r\n";
    let chunk = |last: &str| [format!("BDAT {}{last}\r\n", commands.len()).as_bytes(), commands].concat();
    let node = start(|_| {}).await;
    for last in ["", " LAST"] {
        // Before the greeting of the client, before MAIL, before RCPT, with nobody accepted.
        for (before, answer) in [
            (&[][..], "503 5.5.1"),
            (&["EHLO c.test"], "503 5.5.1"),
            (&["EHLO c.test", "MAIL FROM:<a@b.test>"], "554 5.5.1"),
            (&["EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<nobody@example.test>"], "554 5.5.1"),
            (&["HELO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<bob@example.test>"], "502 5.5.1"),
        ] {
            for slowly in [false, true] {
                let mut peer = node.connect("mx").await;
                peer.expect("220 ").await;
                for line in before {
                    peer.send(format!("{line}\r\n").as_bytes()).await;
                    peer.reply().await;
                }
                let wire = [&chunk(last)[..], b"NOOP\r\n"].concat();
                if slowly {
                    peer.send_slowly(&wire).await;
                } else {
                    peer.send(&wire).await;
                }
                peer.expect(answer).await;
                peer.expect("250 2.0.0 OK").await;
            }
        }
    }
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_sizes_that_are_none_or_too_large() {
    let node = start(|config| config.limits.discard_max = ByteSize::kib(64)).await;
    let discard_max = 64 << 10;
    for (line, answer, closes) in [
        ("BDAT", "501 5.5.4", true),
        ("BDAT -1", "501 5.5.4", true),
        ("BDAT +1", "501 5.5.4", true),
        ("BDAT 0x10", "501 5.5.4", true),
        ("BDAT LAST", "501 5.5.4", true),
        ("BDAT 10 LAST LAST", "501 5.5.4", true),
        ("BDAT 9223372036854775807", "552 5.3.4", true),
        ("BDAT 9223372036854775808", "552 5.3.4", true),
        ("BDAT 18446744073709551615 LAST", "552 5.3.4", true),
        ("BDAT 18446744073709551616 LAST", "552 5.3.4", true),
        ("BDAT 99999999999999999999999999999999 LAST", "552 5.3.4", true),
        ("BDAT 0 LAST", "250 2.0.0 queued", false),
    ] {
        let mut peer = node.greeted("mx").await;
        peer.up_to_recipient().await;
        peer.ask(line, answer).await;
        if closes {
            peer.expect_close().await;
        }
    }
    node.message().await;
    assert_eq!(node.queued().await, 0);
    // Of a chunk that counts for nothing so much is read, and no more.
    for (size, closes) in [(discard_max - 1, false), (discard_max, false), (discard_max + 1, true)] {
        let mut peer = node.greeted("mx").await;
        peer.ask("MAIL FROM:<a@b.test>", "250").await;
        peer.send(format!("BDAT {size}\r\n").as_bytes()).await;
        if !closes {
            peer.send(&vec![b'x'; size]).await;
        }
        peer.expect("554 5.5.1").await;
        if closes {
            peer.expect_close().await;
        } else {
            peer.ask("NOOP", "250").await;
        }
    }
}

#[tokio::test]
async fn the_size_limit_counts_over_all_chunks() {
    let node = start(|config| config.limits.message_size_max = ByteSize::bytes(70_000)).await;
    for (size, good) in [(69_999, true), (70_000, true), (70_001, false)] {
        let mut text = "A: b\r\n\r\n".to_owned();
        while text.len() + 100 < size {
            let _ = write!(text, "{}\r\n", "x".repeat(78));
        }
        let _ = write!(text, "{}\r\n", "y".repeat(size - text.len() - 2));
        let mut peer = node.greeted("mx").await;
        // What the client announced does not bind us, and not it.
        peer.ask("MAIL FROM:<a@b.test> SIZE=1", "250").await;
        peer.ask("RCPT TO:<bob@example.test>", "250").await;
        peer.send(&chunks(text.as_bytes(), &[30_000, 30_000, size - 60_000])).await;
        peer.expect("250 2.0.0 30000").await;
        peer.expect("250 2.0.0 30000").await;
        peer.expect(if good { "250 2.0.0 queued" } else { "552 5.3.4" }).await;
        peer.ask("NOOP", "250").await;
        assert_eq!(node.queued().await, usize::from(good), "{size}");
        if good {
            assert!(node.octets().await.1.ends_with(text.as_bytes()));
        }
    }
}

#[tokio::test]
async fn what_breaks_off_between_two_chunks_leaves_nothing() {
    let node = start(|_| {}).await;
    for leave in ["RSET", "EHLO again.test", "QUIT", ""] {
        let mut peer = node.greeted("mx").await;
        peer.up_to_recipient().await;
        peer.send(b"BDAT 21\r\nSubject: first\r\n\r\nabc").await;
        peer.expect("250 2.0.0 21").await;
        if leave.is_empty() || leave == "QUIT" {
            peer.try_send(format!("{leave}\r\n").as_bytes()).await;
            drop(peer);
            node.idle().await;
            assert_eq!(node.queued().await, 0, "{leave}");
            continue;
        }
        peer.ask(leave, "250").await;
        peer.up_to_recipient().await;
        peer.send(b"BDAT 19 LAST\r\nSubject: second\r\n\r\n").await;
        peer.expect("250 2.0.0 queued").await;
        let (_, body) = node.message().await;
        assert!(body.contains("second") && !body.contains("first"), "{leave}: {body}");
    }
}

#[tokio::test]
async fn the_last_line_gets_its_end() {
    let node = start(|_| {}).await;
    for (text, stored) in [
        (&b"A: b\r\n\r\nno end"[..], &b"\r\n\r\nno end\r\n"[..]),
        (b"A: b\r\n\r\nend\r\n", b"\r\n\r\nend\r\n"),
        (b"A: b", b"A: b\r\n"),
        (b"", b" +0000\r\n"),
    ] {
        let mut peer = node.greeted("mx").await;
        peer.up_to_recipient().await;
        peer.send(&chunks(text, &[text.len()])).await;
        peer.expect("250 2.0.0 queued").await;
        let (envelope, body) = node.octets().await;
        assert!(body.ends_with(stored), "{}", body.escape_ascii());
        assert_eq!(envelope.size, body.len() as u64);
    }
    let mut peer = node.greeted("mx").await;
    peer.up_to_recipient().await;
    peer.send(b"BDAT 6 LAST\r\nA: b\r\r").await;
    peer.expect("550 5.6.0").await;
}

#[tokio::test]
async fn a_message_under_way_is_awaited_when_the_process_ends() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_recipient().await;
    peer.send(b"BDAT 8\r\nA: b\r\n\r\n").await;
    peer.expect("250 2.0.0 8").await;
    node.drain.begin();
    peer.send(b"BDAT 6 LAST\r\ntext\r\n").await;
    peer.expect("250 2.0.0 queued").await;
    peer.expect("421 4.3.2").await;
    peer.expect_close().await;
    assert_eq!(node.drain.finish(PATIENCE).await, 0);
    assert!(node.message().await.1.ends_with("text\r\n"));
}

#[tokio::test]
async fn attack_chunks_that_do_not_come() {
    let node = start(|config| config.timeouts.data_block = Span::millis(50)).await;
    for (line, recipient) in [("BDAT 10", true), ("BDAT 10 LAST", true), ("BDAT 10", false)] {
        let mut peer = node.greeted("mx").await;
        if recipient {
            peer.up_to_recipient().await;
        }
        peer.send(format!("{line}\r\nhalf").as_bytes()).await;
        peer.expect("421 4.4.2").await;
        peer.expect_close().await;
    }
    let node = start(|config| config.timeouts.command = Span::millis(50)).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_recipient().await;
    peer.ask("BDAT 0", "250").await;
    peer.expect("421 4.4.2").await;
    peer.expect_close().await;

    let node = start(|config| {
        config.timeouts.data_grace = Span::millis(50);
        config.limits.data_rate_min = ByteSize::mib(1 << 20);
    })
    .await;
    for recipient in [true, false] {
        let mut peer = node.greeted("mx").await;
        if recipient {
            peer.up_to_recipient().await;
        }
        peer.send(b"BDAT 1000000\r\n").await;
        // Octets keep coming, each in time for the block, too few for the rate.
        while node.metric("connections") > 0.0 && peer.try_send(b"x").await {
            tokio::task::yield_now().await;
        }
        node.idle().await;
    }
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn a_message_that_fails_for_another_reason_fails_at_its_chunk() {
    let node = start(|config| config.limits.header_fields_max = 60).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_recipient().await;
    let header = "X: y\r\n".repeat(61);
    let text = format!("{header}\r\nRSET\r\n");
    peer.send(&chunks(text.as_bytes(), &[header.len() + 2, 6])).await;
    peer.expect("554 5.6.0").await;
    peer.expect("503 5.5.1").await;
    peer.ask("NOOP", "250").await;
    assert_eq!((node.queued().await, node.metric("message_memory_bytes")), (0, 0.0));
}

#[tokio::test]
async fn a_full_queue_and_one_that_is_slow_say_so_at_the_last_chunk() {
    let queue = std::sync::Arc::new(queue::memory::MemoryQueue::bounded(0));
    let node = crate::node::start_over(queue, |_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_recipient().await;
    peer.send(b"BDAT 8\r\nA: b\r\n\r\n").await;
    peer.expect("250 2.0.0 8").await;
    peer.ask("BDAT 0 LAST", "452 4.3.1").await;
    peer.ask("NOOP", "250").await;
}
