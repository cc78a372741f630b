//! PROXY headers in front of a session: from load balancers that are named, and from nobody else.

use crate::node::{Node, start};

async fn balanced(networks: &[&str]) -> Node {
    let networks: Vec<units::Network> = networks.iter().map(|network| network.parse().unwrap()).collect();
    start(|config| config.proxy_protocol_from = networks).await
}

const TEXT: &[u8] = b"PROXY TCP4 198.51.100.7 127.0.0.1 40000 25\r\n";

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

fn four(tlvs: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&[198, 51, 100, 7, 127, 0, 0, 1, 0x9c, 0x40, 0, 25][..], tlvs].concat())
}

#[tokio::test]
async fn the_address_in_the_header_is_the_peer_at_every_door() {
    let node = balanced(&["10.0.0.0/8", "127.0.0.0/8"]).await;
    let headers = [
        (TEXT.to_vec(), "198.51.100.7"),
        (four(b""), "198.51.100.7"),
        (four(b"\x04\0\x02xx"), "198.51.100.7"),
    ];
    for door in ["mx", "submission", "submissions"] {
        for (header, client) in &headers {
            let mut peer = node.connect_through(door, header).await;
            peer.expect("220 ").await;
            peer.ask("EHLO client.test", "250").await;
            if door == "submissions" {
                peer.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k", "235").await;
            }
            if door == "submission" {
                // Not the balancer's own address, which is loopback.
                peer.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k", "538").await;
                continue;
            }
            peer.up_to_data().await;
            peer.send(b"A: b\r\n\r\n.\r\n").await;
            peer.expect("250 2.0.0").await;
            let (envelope, body) = node.message().await;
            assert_eq!(envelope.origin.peer.map(|peer| peer.to_string()).as_deref(), Some(*client));
            assert!(body.contains(&format!("([{client}])")), "{body}");
        }
    }
    // LMTP is judged by the client, not by who stands in front.
    let mut peer = node.connect_through("lmtp", TEXT).await;
    peer.expect("554 5.7.1").await;
    // LOCAL: the balancer's own look.
    for header in [binary(0x20, 0, b""), binary(0x20, 0x11, &[198; 12]), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut peer = node.connect_through("lmtp", &header).await;
        peer.expect("220 ").await;
    }
}

#[tokio::test]
async fn attack_no_header_or_a_wrong_one_where_one_is_required() {
    let node = balanced(&["127.0.0.1"]).await;
    for octets in [
        &b"EHLO client.test\r\nMAIL FROM:<a@b.test>\r\n"[..],
        b"PROXY TCP4 198.51.100.7 127.0.0.1 70000 25\r\n",
        b"PROXY TCP4 198.51.100.777 127.0.0.1 40000 25\r\n",
        b"PROXY TCP9 198.51.100.7 127.0.0.1 40000 25\r\n",
        b"PROXY TCP4 198.51.100.7\n127.0.0.1 40000 25\r\n",
        &[b"PROXY TCP4 ", &[b'1'; 65_536][..]].concat(),
        &binary(0x22, 0x11, &[0; 12]),
        &binary(0x31, 0x11, &[0; 12]),
        &binary(0x21, 0x11, &[0; 11]),
        &binary(0x21, 0x21, &[0; 12]),
        &binary(0x21, 0x11, &[0; 65_535]),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
    ] {
        let mut peer = node.connect_through("mx", b"").await;
        peer.try_send(octets).await;
        assert_eq!(
            peer.line().await,
            None,
            "no greeting for {}",
            octets[..20.min(octets.len())].escape_ascii()
        );
    }
    // One that is cut off, too.
    let whole = four(b"");
    for cut in [0, 5, 12, 15, whole.len() - 1] {
        drop(node.connect_through("mx", &whole[..cut]).await);
    }
    node.idle().await;
    assert_eq!(node.metric("sessions_total"), 0.0, "none of them became a session");
}

#[tokio::test]
async fn attack_a_header_from_an_address_that_is_no_balancer() {
    let node = balanced(&["192.0.2.0/24", "::1"]).await;
    let mut peer = node.connect("mx").await;
    peer.expect("220 ").await;
    peer.send(TEXT).await;
    peer.expect("554 5.5.1").await;
    peer.expect_close().await;
    let mut peer = node.connect("mx").await;
    peer.expect("220 ").await;
    peer.send(&four(b"")).await;
    // Two empty lines, one with a NUL, and one that a bare LF ends.
    for _ in 0..3 {
        peer.expect("500 5.5").await;
    }
    peer.expect("500 5.5.2").await;
    peer.expect_close().await;
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn connections_over_the_total_and_the_reserve_for_others() {
    let node = start(|config| {
        config.proxy_protocol_from = vec!["127.0.0.1".parse().unwrap()];
        config.limits.connections_max = 4;
        config.limits.connections_reserve_percent = 50;
    })
    .await;
    let from = |client: u8| format!("PROXY TCP4 198.51.100.{client} 127.0.0.1 40000 25\r\n").into_bytes();
    let mut served = Vec::new();
    for client in [1, 1, 2, 3] {
        let mut peer = node.connect_through("mx", &from(client)).await;
        peer.expect("220 ").await;
        served.push(peer);
        if served.len() == 2 {
            // Half is taken by one: the rest is for others.
            let mut peer = node.connect_through("mx", &from(1)).await;
            peer.expect("421 4.3.2").await;
            peer.expect_close().await;
        }
    }
    let mut peer = node.connect_through("mx", &from(4)).await;
    peer.expect("421 4.3.2").await;
    peer.expect_close().await;
    served[0].ask("NOOP", "250").await;
    drop(served);
    node.idle().await;
    // Another listener has places of its own, and these came back.
    loop {
        let mut peer = node.connect_through("mx", &from(4)).await;
        if peer.reply().await.starts_with("220 ") {
            break;
        }
    }
}
