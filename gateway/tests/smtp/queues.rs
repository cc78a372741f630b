//! Queues that misbehave on purpose.

use std::sync::Arc;

use async_trait::async_trait;
use envelope::{Envelope, MessageId};
use queue::memory::MemoryQueue;
use queue::{Body, BodyWriter, Lane, LaneStats, Lease, ListFilter, Listed, PublishError, Queue, QueueError};
use tokio::sync::Semaphore;

/// A queue whose publishes wait at a gate.
pub(crate) struct GatedQueue {
    inner: MemoryQueue,
    /// One permit for each publish that arrived.
    pub(crate) arrived: Arc<Semaphore>,
    /// One permit for each publish that may go on.
    pub(crate) gate: Arc<Semaphore>,
}

impl GatedQueue {
    pub(crate) fn new() -> Self {
        Self {
            inner: MemoryQueue::new(),
            arrived: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(0)),
        }
    }
}

#[async_trait]
impl Queue for GatedQueue {
    fn body_writer(&self) -> BodyWriter {
        self.inner.body_writer()
    }

    async fn publish(&self, lane: Lane, envelope: Envelope, body: Body) -> Result<(), PublishError> {
        self.arrived.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        self.inner.publish(lane, envelope, body).await
    }

    async fn lease(&self, lane: Lane) -> Result<Lease, QueueError> {
        self.inner.lease(lane).await
    }

    async fn content(&self, id: MessageId) -> Result<Option<bytes::Bytes>, QueueError> {
        self.inner.content(id).await
    }

    async fn order(&self, _: &ListFilter, _: queue::Order) -> Result<queue::Ordered, QueueError> {
        Ok(queue::Ordered::default())
    }

    async fn stats(&self) -> Result<Vec<LaneStats>, QueueError> {
        self.inner.stats().await
    }

    async fn list(&self, filter: &ListFilter, limit: usize) -> Result<Vec<Listed>, QueueError> {
        self.inner.list(filter, limit).await
    }

    async fn find(&self, id: MessageId) -> Result<Option<Listed>, QueueError> {
        self.inner.find(id).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
