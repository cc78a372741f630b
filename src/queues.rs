//! The queue that the configuration names.

use std::sync::Arc;

use anyhow::Context as _;
use queue::Queue;
use queue::embedded::EmbeddedQueue;

use crate::settings::Settings;

/// Opens it for a process of this name, of which there is one at a time.
pub(crate) async fn open(
    settings: &Settings,
    process: &str,
    registry: &prometheus::Registry,
) -> anyhow::Result<Arc<dyn Queue>> {
    let opened = EmbeddedQueue::open(&settings.queue, process, registry);
    Ok(Arc::new(opened.context("failed to open the queue")?))
}
