use units::{ByteSize, Span};

use crate::rig::Mail;

#[tokio::test]
async fn lines_at_the_limit() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.line_max = ByteSize::bytes(300)).await;
    let mut client = node.connect().await;
    client.line().await;
    for (length, expected) in [
        (299, "-ERR unknown command"),
        (300, "-ERR unknown command"),
        (301, "-ERR the line is too long"),
        (9000, "-ERR the line is too long"),
    ] {
        assert_eq!(client.command(&"x".repeat(length - 2)).await, expected, "{length} octets");
        assert!(client.command("CAPA").await.starts_with("+OK"));
        while client.line().await != "." {}
    }
    node.stop().await;
}

#[tokio::test]
async fn an_overlong_sasl_response_ends_the_exchange() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.line_max = ByteSize::bytes(300)).await;
    let mut client = node.connect().await;
    client.line().await;
    assert_eq!(client.command("AUTH PLAIN").await, "+ ");
    assert_eq!(client.command(&"A".repeat(100_000)).await, "-ERR the line is too long");
    assert!(client.command("USER alice@example.test").await.starts_with("+OK"));
    node.stop().await;
}

#[tokio::test]
async fn failed_logins_end_the_connection() {
    let mail = Mail::new();
    let node = mail.node().await;
    let mut client = node.connect().await;
    client.line().await;
    for _ in 0..3 {
        client.command("USER alice@example.test").await;
        assert_eq!(client.command("PASS wrong").await, "-ERR [AUTH] wrong name or password");
    }
    assert_eq!(client.line().await, "-ERR too many failed logins");
    assert_eq!(client.line().await, "<closed>");
    node.stop().await;
}

#[tokio::test]
async fn refused_commands_end_the_connection() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.bad_commands_max = 3).await;
    let mut client = node.connect().await;
    client.line().await;
    for _ in 0..2 {
        assert_eq!(client.command("FROB").await, "-ERR unknown command");
    }
    assert!(client.command("USER alice@example.test").await.starts_with("+OK"), "a good one between them");
    for _ in 0..3 {
        assert_eq!(client.command("FROB").await, "-ERR unknown command");
    }
    assert_eq!(client.line().await, "-ERR too many refused commands");
    assert_eq!(client.line().await, "<closed>");
    node.stop().await;
}

#[tokio::test]
async fn silence_before_login_ends_the_connection() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.login_timeout = Span::millis(100)).await;
    let mut client = node.connect().await;
    client.line().await;
    client.send(b"USER ali").await;
    assert!(client.line().await.starts_with("-ERR [SYS/TEMP] you were silent"));
    assert_eq!(client.line().await, "<closed>");
    node.stop().await;
}

#[tokio::test]
async fn connections_from_one_address() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.connections_per_address_max = 2).await;
    let (mut one, mut two, mut three) = (node.connect().await, node.connect().await, node.connect().await);
    assert!(one.line().await.starts_with("+OK"));
    assert!(two.line().await.starts_with("+OK"));
    assert!(three.line().await.starts_with("-ERR [SYS/TEMP] too many connections"));
    assert_eq!(three.line().await, "<closed>");
    node.stop().await;
}

#[tokio::test]
async fn noise_is_refused_and_the_node_goes_on() {
    let mail = Mail::new();
    let node = mail.node().await;
    node.deliver(1, b"Subject: x\r\n\r\ny\r\n");
    for noise in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"\0\0\0\0\r\n",
        b"EHLO x\r\n",
        b"RETR 99999999999999999999\r\n",
        b"TOP 1 -1\r\n",
        b"AUTH PLAIN ====\r\n",
        b"AUTH PLAIN \xff\xff\r\n",
        b"USER \xff\r\nPASS \0\r\n",
    ] {
        let mut client = node.connect().await;
        client.line().await;
        client.send(noise).await;
        let line = client.line().await;
        assert!(line.starts_with("-ERR") || line.starts_with("+OK now"), "{line}");
        drop(client);
    }
    let mut client = node.alice().await;
    assert_eq!(client.command("STAT").await, "+OK 1 17");
    for command in ["RETR 0", "RETR 2", "TOP 2 1", "LIST 4294967297", "DELE 18446744073709551616"] {
        assert_eq!(client.command(command).await, "-ERR no such message", "{command}");
    }
    node.stop().await;
}
