//! A gateway goes on accepting while the broker is away.

use std::sync::Arc;
use std::time::Duration;

use units::Span;

use super::{Site, credentials};
use crate::spill::SpillQueue;
use crate::suite::{self, id, octets};
use crate::{Config, Lane, PublishError, Queue};

const PATIENCE: Duration = Duration::from_secs(90);

async fn patiently<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step).await.expect("done before the deadline")
}

async fn open(config: &Config) -> Arc<SpillQueue> {
    let registry = prometheus::Registry::new();
    Arc::new(patiently(SpillQueue::open(config, &credentials(), "gateway", &registry)).await.unwrap())
}

async fn spilled(queue: &SpillQueue) -> u64 {
    let lanes = queue.spilled().await.unwrap();
    lanes.iter().map(|lane| lane.ready + lane.leased + lane.deferred + lane.held).sum()
}

async fn until_empty(queue: &SpillQueue) {
    until_spilled(queue, 0).await;
}

/// The log is read a moment after it was written.
async fn until_spilled(queue: &SpillQueue, count: u64) {
    patiently(async {
        while spilled(queue).await != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_without_the_broker_reaches_it_once_and_in_order() {
    let mut site = Site::start(1);
    let mut config = site.config();
    config.dir = site.folder.path().join("log");
    config.rabbitmq.confirm_max = Span::secs(10);
    config.rabbitmq.away_max = Span::millis(200);
    // Messages of the suite are years old.
    config.spill_age_max = Span::hours(24 * 365 * 100);
    let queue = open(&config).await;
    let large = config.inline_max.as_usize() + 1000;
    let size = |number: u64| if number % 10 == 3 { large } else { 700 };
    patiently(suite::publish(&*queue, 1, size(1))).await.unwrap();
    suite::assert_counts(&*queue, Lane::Local, (1, 0, 0)).await;
    until_empty(&queue).await;
    site.cluster.kill(0);
    for number in 2..=30 {
        patiently(suite::publish(&*queue, number, size(number))).await.unwrap();
    }
    until_spilled(&queue, 29).await;
    // The process ends, and its successor finds what it left.
    patiently(queue.close()).await;
    drop(queue);
    let queue = open(&config).await;
    patiently(suite::publish(&*queue, 31, size(31))).await.unwrap();
    until_spilled(&queue, 30).await;
    site.cluster.begin(0);
    site.cluster.wait_for(0);
    until_empty(&queue).await;
    for number in 1..=31 {
        let lease = patiently(queue.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope.id, id(number), "in the order of arrival");
        assert!(lease.body == octets(number, size(number)), "body of {number}");
        lease.ack().await.unwrap();
    }
    suite::assert_counts(&*queue, Lane::Local, (0, 0, 0)).await;
    // And nothing of it is left in the shared spool.
    let left = std::fs::read_dir(&config.rabbitmq.spool_dir).unwrap().count();
    assert_eq!(left, 0);
    patiently(queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_for_too_long_is_no_reason_to_go_on_accepting() {
    let site = Site::start(0);
    let mut config = site.config();
    config.dir = site.folder.path().join("log");
    config.rabbitmq.addresses = vec!["127.0.0.1:1".to_owned()];
    config.rabbitmq.connect_max = Span::millis(200);
    config.rabbitmq.away_max = Span::millis(100);
    config.spill_age_max = Span::millis(1);
    let queue = open(&config).await;
    // Messages of the suite are old: the first is taken, since nothing waits.
    patiently(suite::publish(&*queue, 1, 700)).await.unwrap();
    let refused = patiently(async {
        let mut number = 2;
        loop {
            match suite::publish(&*queue, number, 700).await {
                Ok(()) => number += 1,
                Err(error) => return error,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(matches!(&refused, PublishError::Full(why) if why.contains("spill_age_max")), "{refused:?}");
    patiently(queue.close()).await;
}
