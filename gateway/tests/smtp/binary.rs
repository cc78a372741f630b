//! BINARYMIME (RFC 3030 §3): people send any octets, and what is stored is text.

use mail_parser::{MessageParser, MimeHeaders as _};
use units::{ByteSize, Span};

use crate::chunking::chunks;
use crate::node::{Node, Peer, start};

const FROM: &str = "MAIL FROM:<alice@example.test> BODY=BINARYMIME";

async fn up_to_recipient(node: &Node) -> Peer {
    let mut peer = node.logged_in().await;
    peer.ask(FROM, "250 2.1.0").await;
    peer.ask("RCPT TO:<bob@example.test>", "250 2.1.5").await;
    peer
}

/// What would end a message or begin another one behind DATA, and every octet there is.
fn picture() -> Vec<u8> {
    let mut octets = b"\r\n.\r\nMAIL FROM:<x@y.test>\n.\n\r.\r\0".to_vec();
    octets.extend(0..=255);
    octets
}

fn message(picture: &[u8]) -> Vec<u8> {
    let mut message = b"From: alice@example.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\
        Content-Transfer-Encoding: binary\r\n\r\n--b\r\n\r\nSee below.\r\n--b\r\nContent-Type: image/png; name=p.png\r\n\
        Content-Transfer-Encoding: binary\r\n\r\n"
        .to_vec();
    message.extend_from_slice(picture);
    message.extend_from_slice(b"\r\n--b--\r\n");
    message
}

#[tokio::test]
async fn any_octets_come_and_text_is_stored() {
    let node = start(|_| {}).await;
    let message = message(&picture());
    for step in [message.len(), 100, 7] {
        let mut peer = up_to_recipient(&node).await;
        let mut sizes = vec![step; message.len() / step];
        sizes.push(message.len() % step);
        peer.send(&chunks(&message, &sizes)).await;
        for _ in 1..sizes.len() {
            peer.expect("250 2.0.0 ").await;
        }
        peer.expect("250 2.0.0 queued as ").await;
        let (envelope, stored) = node.octets().await;
        assert_eq!(envelope.size, stored.len() as u64);
        let lines: Vec<&[u8]> = stored.split(|octet| *octet == b'\n').collect();
        let (last, whole) = lines.split_last().unwrap();
        assert!(last.is_empty() && whole.iter().all(|line| line.ends_with(b"\r") && line.len() <= 999));
        assert!(
            !stored.contains(&0) && !whole.iter().any(|line| *line == b".\r"),
            "{}",
            stored.escape_ascii()
        );
        let parsed = MessageParser::default().parse(&stored).unwrap();
        let attachment = parsed.attachment(0).unwrap();
        assert_eq!(
            (attachment.attachment_name(), attachment.contents()),
            (Some("p.png"), picture().as_slice())
        );
        peer.ask("NOOP", "250 2.0.0").await;
    }
    assert_eq!((node.queued().await, node.metric("binary_memory_bytes")), (0, 0.0));
}

#[tokio::test]
async fn it_comes_with_bdat_only_and_from_people_only() {
    let node = start(|_| {}).await;
    let mut peer = up_to_recipient(&node).await;
    peer.ask("DATA", "503 5.5.1 A binary message comes with BDAT").await;
    peer.send(b"BDAT 6 LAST\r\nA: b\r\n").await;
    peer.expect("250 2.0.0 queued as ").await;
    for door in ["mx", "lmtp"] {
        let mut peer = node.greeted(door).await;
        peer.ask(FROM, "555 5.5.4").await;
    }
    let mut peer = node.greeted("submission").await;
    assert!(peer.ask("EHLO a.test", "250").await.contains("BINARYMIME"));
    peer.ask("QUIT", "221").await;
}

#[tokio::test]
async fn what_can_not_be_converted_is_refused() {
    let node = start(|_| {}).await;
    let signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\0\r\n--b\r\n\r\nsignature\r\n--b--\r\n";
    for (message, answer) in [
        (&signed[..], "554 5.6.3"),
        (b"Subject: a\nb\r\n\r\ntext\r\n", "550 5.6.0"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nbe\0fore\r\n--b--\r\n", "550 5.6.0"),
    ] {
        let mut peer = up_to_recipient(&node).await;
        peer.send(&chunks(message, &[message.len()])).await;
        peer.expect(answer).await;
        peer.ask("NOOP", "250 2.0.0").await;
    }
    assert_eq!((node.queued().await, node.metric("binary_memory_bytes")), (0, 0.0));
}

#[tokio::test]
async fn size_and_memory_are_bounded() {
    let node = start(|config| {
        config.limits.message_size_max = ByteSize::mib(3);
        config.limits.binary_memory_max = ByteSize::mib(4);
        config.timeouts.message_memory = Span::millis(20);
    })
    .await;
    let send = async |octets: usize, answer: &str| {
        let mut peer = up_to_recipient(&node).await;
        let message = message(&vec![0; octets]);
        peer.send(&chunks(&message, &[message.len()])).await;
        peer.expect(answer).await;
    };
    send(1 << 20, "250 2.0.0").await;
    send(4 << 20, "552 5.3.4").await;
    // It is there, and there is no memory to make text of it.
    send(2 << 20, "452 4.3.1").await;
    assert_eq!(node.metric("binary_memory_bytes"), 0.0);
}

#[tokio::test]
async fn the_size_limit_holds_for_the_text_too() {
    let node = start(|config| config.limits.message_size_max = ByteSize::mib(1)).await;
    let mut peer = up_to_recipient(&node).await;
    let message = message(&vec![0; 900_000]);
    peer.send(&chunks(&message, &[message.len()])).await;
    peer.expect("552 5.3.4").await;
    assert_eq!(node.queued().await, 0);
}
