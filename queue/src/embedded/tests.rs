//! The embedded queue on real and simulated disks.

use std::sync::Arc;

use tempfile::TempDir;
use units::{ByteSize, Span};

use super::EmbeddedQueue;
use crate::{Config, Queue, suite};

fn config(directory: &std::path::Path) -> Config {
    Config {
        dir: directory.to_owned(),
        segment_size: ByteSize::kib(64),
        free_space_min: ByteSize::bytes(0),
        poll_interval: Span::millis(1),
        standby_interval: Span::millis(10),
        cleanup_interval: Span::millis(10),
        ends_apart: Span::millis(20),
        ..Config::default()
    }
}

fn fresh() -> (TempDir, Arc<dyn Queue>) {
    let directory = tempfile::tempdir().unwrap();
    let queue = EmbeddedQueue::open(&config(directory.path()), "up", &prometheus::Registry::new()).unwrap();
    (directory, Arc::new(queue))
}

mod condemned;
mod damage;
mod ends;
mod faults;
mod processes;

mod behaviour {
    use super::{fresh, suite};

    suite::behaviour!(fresh());
    suite::behaviour!(fresh(); senders_take_turns bulk_mail_stands_back_and_does_not_starve);
}

#[tokio::test]
async fn operators_see_what_happens() {
    let directory = tempfile::tempdir().unwrap();
    let registry = prometheus::Registry::new();
    let queue = EmbeddedQueue::open(&config(directory.path()), "up", &registry).unwrap();
    for number in 1..=3 {
        suite::publish(&queue, number, 100).await.unwrap();
    }
    suite::soon(queue.lease(crate::Lane::Local)).await.unwrap().ack().await.unwrap();
    let value = |name: &str| {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        let metrics = family.get_metric();
        Some(
            metrics
                .iter()
                .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
                .sum::<f64>(),
        )
    };
    assert_eq!(value("sluice_queue_published_total"), Some(3.0));
    assert_eq!(value("sluice_queue_settled_total"), Some(1.0));
    assert!(value("sluice_queue_used_bytes") > Some(0.0));
    assert_eq!(value("sluice_queue_limit_bytes"), Some((16u64 << 30) as f64));
    suite::soon(async {
        while value("sluice_queue_messages") != Some(2.0) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(value("sluice_queue_oldest_seconds") > Some(0.0));
    queue.close().await;
}
