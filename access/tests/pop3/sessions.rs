use store::Uid;
use units::ByteSize;

use crate::rig::{Client, Mail, PATIENCE};

const ONE: &[u8] = b"Subject: one\r\n\r\nfirst\r\n";

/// Waits until a second session is not refused because of the first.
async fn until_free(node: &crate::rig::Node) -> Client {
    let wait = async {
        loop {
            let mut client = node.connect().await;
            client.line().await;
            client.command("USER alice@example.test").await;
            if client.command("PASS open sesame").await.starts_with("+OK") {
                return client;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the lock is released")
}

#[tokio::test]
async fn a_connection_cut_before_quit_deletes_nothing() {
    let mail = Mail::new();
    let node = mail.node().await;
    node.deliver(1, ONE);
    node.deliver(2, b"Subject: two\r\n\r\nsecond\r\n");
    for input in [&b"DELE 1\r\n"[..], b"DELE 1\r\nQUI", b"DELE 1\r\nDELE 2\r\nRETR 1\r\n"] {
        let mut client = until_free(&node).await;
        let ids = client.long("UIDL").await;
        client.send(input).await;
        assert!(client.line().await.starts_with("+OK"));
        drop(client);
        let mut client = until_free(&node).await;
        assert_eq!(client.long("UIDL").await, ids);
        assert_eq!(client.command("QUIT").await, "+OK bye");
    }
    assert_eq!(node.count(), 2);
    node.stop().await;
}

#[tokio::test]
async fn unique_ids_are_the_same_after_a_restart_and_on_another_node() {
    let mail = Mail::new();
    let node = mail.node().await;
    node.deliver(1, ONE);
    node.deliver(2, ONE);
    let ids = node.alice().await.long("UIDL").await;
    node.stop().await;
    let (node, other) = (mail.node().await, mail.node().await);
    assert_eq!(node.alice().await.long("UIDL").await, ids);
    let mut client = other.alice().await;
    assert_eq!(client.long("UIDL").await, ids, "two nodes serve one account at once");
    client.command("DELE 1").await;
    assert_eq!(client.command("QUIT").await, "+OK bye, 1 messages removed");
    node.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn what_came_before_the_handshake_is_not_the_client_s() {
    let mail = Mail::new();
    let node = mail.node().await;
    let mut client = node.connect().await;
    client.line().await;
    client.send(b"USER alice@example.test\r\nSTLS\r\nUSER alice@example.test\r\n").await;
    assert!(client.line().await.starts_with("+OK"));
    assert!(client.line().await.starts_with("+OK"));
    let mut client = node.handshake(client).await;
    assert_eq!(client.command("PASS open sesame").await, "-ERR USER comes first");
    let capabilities = String::from_utf8(client.long("CAPA").await).unwrap();
    assert!(
        !capabilities.contains("STLS")
            && capabilities.contains("SASL PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS OAUTHBEARER XOAUTH2"),
        "{capabilities}"
    );
    client.log_in().await;
    node.stop().await;
}

#[tokio::test]
async fn no_password_in_clear_where_the_policy_says_so() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.plaintext_login = access::PlaintextLogin::Never).await;
    let mut client = node.connect().await;
    client.line().await;
    assert!(client.command("USER alice@example.test").await.starts_with("-ERR begin TLS first"));
    assert!(client.command("AUTH PLAIN AGEAYg==").await.starts_with("-ERR begin TLS first"));
    assert!(!String::from_utf8(client.long("CAPA").await).unwrap().contains("SASL"));
    let mut client = node.connect_tls().await;
    assert_eq!(client.line().await, "+OK Sluice POP3 ready");
    client.log_in().await;
    assert_eq!(client.command("QUIT").await, "+OK bye");
    assert_eq!(client.line().await, "<closed>");
    node.stop().await;
}

#[tokio::test]
async fn the_lock_goes_with_the_session() {
    let mail = Mail::new();
    let node = mail.node().await;
    let first = node.alice().await;
    let mut second = node.connect().await;
    second.line().await;
    second.command("USER alice@example.test").await;
    assert!(second.command("PASS open sesame").await.starts_with("-ERR [IN-USE]"));
    second.command("USER bob@example.test").await;
    assert!(
        second.command("PASS open sesame").await.starts_with("+OK 0 messages"),
        "another account is free"
    );
    drop(first);
    until_free(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn others_may_remove_what_a_session_shows() {
    let mail = Mail::new();
    let node = mail.node().await;
    node.deliver(1, ONE);
    node.deliver(2, b"Subject: two\r\n\r\nsecond\r\n");
    let mut client = node.alice().await;
    let uids: Vec<Uid> = node.inbox().view().unwrap().iter().map(|entry| entry.uid).collect();
    node.inbox().expunge(&uids[..1]).unwrap();
    assert_eq!(client.command("STAT").await, "+OK 2 47", "the picture stays");
    client.send(b"RETR 1\r\n").await;
    let answer = client.line().await;
    if answer.starts_with("+OK") {
        while client.line().await != "." {}
    }
    assert_eq!(client.long("RETR 2").await, b"Subject: two\r\n\r\nsecond\r\n");
    client.command("DELE 1").await;
    client.command("DELE 2").await;
    assert_eq!(client.command("QUIT").await, "+OK bye, 2 messages removed");
    assert_eq!(node.count(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_and_listings_come_whole() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.piece_size = ByteSize::kib(4)).await;
    let mut long = b"Subject: long\r\n\r\n".to_vec();
    for n in 0..120_000 {
        long.extend_from_slice(format!(".{}{n} line\r\n", ".".repeat(n % 3)).as_bytes());
    }
    assert!(long.len() > 1 << 20);
    node.deliver(1, &long);
    node.deliver(2, b"Subject: no end\r\n\r\n.\r\n.without a line end");
    for number in 3..600 {
        node.deliver(number, ONE);
    }
    let mut client = node.alice().await;
    assert!(client.long("RETR 1").await == long);
    assert_eq!(client.long("RETR 2").await, b"Subject: no end\r\n\r\n.\r\n.without a line end\r\n");
    assert_eq!(client.long("TOP 1 1").await, b"Subject: long\r\n\r\n.0 line\r\n");
    assert!(client.long("TOP 1 999999999").await == long);
    let listing = String::from_utf8(client.long("LIST").await).unwrap();
    assert_eq!(listing.lines().count(), 599);
    assert_eq!(listing.lines().next(), Some(format!("1 {}", long.len()).as_str()));
    assert_eq!(String::from_utf8(client.long("UIDL").await).unwrap().lines().count(), 599);
    // Many commands at once: answered in order.
    client.send("NOOP\r\n".repeat(500).as_bytes()).await;
    client.send(b"RETR 2\r\nSTAT\r\n").await;
    for _ in 0..500 {
        assert_eq!(client.line().await, "+OK nothing done");
    }
    while client.line().await != "." {}
    assert!(client.line().await.starts_with("+OK 599 "));
    node.stop().await;
}

#[tokio::test]
async fn a_drain_says_so_and_deletes_nothing() {
    let mail = Mail::new();
    let node = mail.node().await;
    node.deliver(1, ONE);
    let mut client = node.alice().await;
    client.command("DELE 1").await;
    node.drain.begin();
    assert!(client.line().await.starts_with("-ERR [SYS/TEMP]"));
    assert_eq!(client.line().await, "<closed>");
    assert_eq!(node.count(), 1);
    node.stop().await;
}
