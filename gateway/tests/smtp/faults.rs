//! What is down says so, and what is cut off leaves nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use queue::memory::MemoryQueue;
use units::Span;

use crate::node::{start, start_over};
use crate::queues::GatedQueue;

#[tokio::test]
async fn a_directory_that_is_down_is_451_never_550() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250").await;
    node.directory.down.store(true, Ordering::SeqCst);
    peer.ask("RCPT TO:<bob@example.test>", "451 4.3.0").await;
    peer.ask("RCPT TO:<nobody@example.test>", "451 4.3.0").await;
    peer.ask("DATA", "554 5.5.1").await;
    node.directory.down.store(false, Ordering::SeqCst);
    peer.ask("RCPT TO:<bob@example.test>", "250").await;
}

#[tokio::test]
async fn a_full_queue_is_452() {
    let node = start_over(Arc::new(MemoryQueue::bounded(1)), |_| {}).await;
    let mut peer = node.greeted("mx").await;
    for expected in ["250 2.0.0", "452 4.3.1"] {
        peer.up_to_data().await;
        peer.send(b"A: b\r\n\r\nt\r\n.\r\n").await;
        peer.expect(expected).await;
    }
    node.message().await;
    peer.up_to_data().await;
    peer.send(b"A: b\r\n\r\nt\r\n.\r\n").await;
    peer.expect("250 2.0.0").await;
}

#[tokio::test]
async fn a_queue_that_closes_is_451() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_data().await;
    node.queue.close().await;
    peer.send(b"A: b\r\n\r\nt\r\n.\r\n").await;
    peer.expect("451 4.3.0").await;
}

#[tokio::test]
async fn no_250_before_the_queue_says_durable() {
    let queue = Arc::new(GatedQueue::new());
    let node = start_over(Arc::clone(&queue) as Arc<dyn queue::Queue>, |_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_data().await;
    peer.send(b"A: b\r\n\r\nt\r\n.\r\n").await;
    queue.arrived.acquire().await.unwrap().forget();
    assert!(!peer.has_input(), "no answer yet");
    queue.gate.add_permits(1);
    peer.expect("250 2.0.0").await;
    assert_eq!(node.queued().await, 1);
}

#[tokio::test]
async fn a_slow_queue_is_451_in_time() {
    let queue = Arc::new(GatedQueue::new());
    let node = start_over(queue, |config| config.timeouts.publish = Span::millis(50)).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_data().await;
    peer.send(b"A: b\r\n\r\nt\r\n.\r\n").await;
    peer.expect("451 4.3.0").await;
}

#[tokio::test]
async fn a_client_that_vanishes_does_not_stop_the_publish() {
    let queue = Arc::new(GatedQueue::new());
    let node = start_over(Arc::clone(&queue) as Arc<dyn queue::Queue>, |_| {}).await;
    let mut peer = node.greeted("mx").await;
    peer.up_to_data().await;
    peer.send(b"A: b\r\n\r\nt\r\n.\r\n").await;
    queue.arrived.acquire().await.unwrap().forget();
    drop(peer);
    queue.gate.add_permits(1);
    node.message().await;
    node.idle().await;
}

#[tokio::test]
async fn cut_off_anywhere_nothing_is_queued() {
    let node = start(|_| {}).await;
    let steps: [&[u8]; 8] = [
        b"EHLO client.test\r\n",
        b"MAIL FROM:<a@b.test>\r\n",
        b"RCPT TO:<bob@example.test>\r\n",
        b"DATA\r\n",
        b"Subject: cut\r\n",
        b"\r\ntext\r\n",
        b".",
        b"\r",
    ];
    for cut in 0..=steps.len() {
        let mut peer = node.connect("mx").await;
        peer.expect("220 ").await;
        for (index, step) in steps.iter().take(cut).enumerate() {
            peer.send(step).await;
            if index < 4 {
                peer.reply().await;
            }
        }
        drop(peer);
        node.idle().await;
        assert_eq!(node.queued().await, 0, "cut after {cut} steps");
    }
}
