//! Shapes in which mail comes: all of them are taken, and stored as they came.

#[path = "../../../tests/corpus/expected.rs"]
mod expected;

use crate::chunking::chunks;
use crate::node::start;
use expected::shapes;

#[tokio::test]
async fn whatever_real_programs_send_is_taken_and_stored_as_it_came() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("mx").await;
    for shape in shapes() {
        for bdat in [false, true] {
            if bdat {
                peer.up_to_recipient().await;
                peer.send(&chunks(&shape.octets, &[shape.octets.len()])).await;
            } else {
                peer.up_to_data().await;
                let mut wire = Vec::new();
                for line in shape.octets.split_inclusive(|octet| *octet == b'\n') {
                    if line.starts_with(b".") {
                        wire.push(b'.');
                    }
                    wire.extend_from_slice(line);
                }
                let line_end = if wire.ends_with(b"\r\n") { "" } else { "\r\n" };
                peer.send(&[&wire[..], line_end.as_bytes(), b".\r\n"].concat()).await;
            }
            let answer = peer.reply().await;
            assert!(answer.starts_with("250 2.0.0 queued"), "{}: {answer}", shape.name);
            let (_, stored) = node.octets().await;
            assert!(
                stored.starts_with(b"Received: ")
                    && stored.trim_ascii_end().ends_with(shape.octets.trim_ascii_end()),
                "{}: {}",
                shape.name,
                stored.escape_ascii()
            );
        }
    }
}
