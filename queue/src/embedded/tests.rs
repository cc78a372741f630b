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
        ..Config::default()
    }
}

fn fresh() -> (TempDir, Arc<dyn Queue>) {
    let directory = tempfile::tempdir().unwrap();
    let queue = EmbeddedQueue::open(&config(directory.path()), "up", &prometheus::Registry::new()).unwrap();
    (directory, Arc::new(queue))
}

mod damage;
mod faults;
mod processes;

mod behaviour {
    use super::{fresh, suite};

    suite::behaviour!(fresh());
}
