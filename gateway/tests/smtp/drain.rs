//! The end in good order.

use crate::node::{PATIENCE, start};

#[tokio::test]
async fn idle_sessions_are_told_and_messages_finish() {
    let node = start(|_| {}).await;
    let mut idle = node.greeted("mx").await;
    let mut between = node.greeted("mx").await;
    between.ask("MAIL FROM:<a@b.test>", "250").await;
    let mut sending = node.greeted("mx").await;
    sending.up_to_data().await;
    sending.send(b"Subject: under way\r\n\r\nhalf").await;

    node.drain.begin();
    idle.expect("421 4.3.2").await;
    idle.expect_close().await;
    between.expect("421 4.3.2").await;
    between.expect_close().await;

    sending.send(b" and half\r\n.\r\n").await;
    sending.expect("250 2.0.0").await;
    sending.expect("421 4.3.2").await;
    sending.expect_close().await;
    assert_eq!(node.drain.finish(PATIENCE).await, 0, "no task is open");
    assert!(node.message().await.1.ends_with("half and half\r\n"));
    assert!(tokio::net::TcpStream::connect(node.address("mx")).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_handshake_that_stands_still_keeps_nobody_waiting() {
    let node = start(|_| {}).await;
    let _silent = tokio::net::TcpStream::connect(node.address("submissions")).await.unwrap();
    let mut asked = node.greeted("mx").await;
    asked.ask("STARTTLS", "220 ").await;
    crate::node::wait_until("both are served", || node.metric("connections") == 2.0).await;
    node.drain.begin();
    assert_eq!(node.drain.finish(std::time::Duration::from_secs(10)).await, 0, "no task is open");
}
