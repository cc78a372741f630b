//! Gateways and workers as processes of their own over one directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::{EmbeddedQueue, inspect};
use super::config;
use crate::files::sim::{Disk, Plan, SimFiles};
use crate::suite::{self, id, octets, soon};
use crate::{Config, Lane, ListFilter, Order, Queue, QueueError};

fn open(files: &SimFiles, writer: &str) -> EmbeddedQueue {
    let registry = prometheus::Registry::new();
    EmbeddedQueue::open_in(Arc::new(files.clone()), &config(Path::new("/queue")), writer, &registry).unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_publishes_a_worker_in_another_process_leases() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let gateway = EmbeddedQueue::open(&config, "gateway", &prometheus::Registry::new()).unwrap();
    let worker = EmbeddedQueue::open(&config, "worker", &prometheus::Registry::new()).unwrap();
    for number in 1..=60 {
        let size = if number % 20 == 0 { 300_000 } else { 5000 };
        suite::publish(&gateway, number, size).await.unwrap();
        if number % 3 == 0 {
            let lease = soon(worker.lease(Lane::Local)).await.unwrap();
            lease.ack().await.unwrap();
        }
    }
    // Those of one sender keep their order as far as it can be known: what is read later becomes due later.
    until(|| worker.consumer.lock().state.schedule.slot(id(60)).is_some()).await;
    suite::publish(&worker, 61, 5000).await.unwrap();
    for number in 21..=61 {
        let lease = soon(worker.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope.id, id(number));
        assert!(lease.body == octets(number, lease.body.len()));
        // Both see the same, one in memory and the other on disk.
        let here = worker.find(id(number)).await.unwrap().unwrap();
        let there = gateway.find(id(number)).await.unwrap().unwrap();
        assert_eq!((here.envelope, here.attempts), (there.envelope, there.attempts));
        lease.ack().await.unwrap();
        assert!(gateway.find(id(number)).await.unwrap().is_none());
    }
    assert_eq!(gateway.list(&ListFilter::default(), 10).await.unwrap().len(), 0);
    assert!(worker.is_consumer() && !gateway.is_consumer());
    let log = directory.path().join("log/gateway");
    let segments =
        || crate::embedded::segment::sequences(&crate::files::RealFiles, &log, "seg").unwrap().len();
    until(|| segments() <= 1).await;
    assert_eq!(std::fs::read_dir(directory.path().join("spool/gateway")).unwrap().count(), 0);
    gateway.close().await;
    until(|| !directory.path().join("log/gateway").exists()).await;
    assert!(!directory.path().join("spool/gateway").exists());
    worker.close().await;
}

#[tokio::test]
async fn one_name_is_for_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let first = EmbeddedQueue::open(&config, "up", &prometheus::Registry::new()).unwrap();
    let second = EmbeddedQueue::open(&config, "up", &prometheus::Registry::new());
    match second {
        Err(QueueError::InUse(what)) => assert!(what.ends_with("log/up/lock"), "{what}"),
        other => panic!("{other:?}"),
    }
    first.close().await;
    EmbeddedQueue::open(&config, "up", &prometheus::Registry::new()).unwrap();
    for name in ["", "..", "a/b", "a b"] {
        assert!(EmbeddedQueue::open(&config, name, &prometheus::Registry::new()).is_err(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stands_by_takes_over_from_one_that_is_killed() {
    let disk = Disk::new(11);
    let gateway_files = disk.process(Plan::Nothing);
    let gateway = open(&gateway_files, "gateway");
    let first_files = disk.process(Plan::Nothing);
    let first = open(&first_files, "worker-1");
    for number in 1..=4 {
        suite::publish(&gateway, number, 100).await.unwrap();
    }
    let acked = soon(first.lease(Lane::Local)).await.unwrap();
    acked.ack().await.unwrap();
    let retried = soon(first.lease(Lane::Local)).await.unwrap();
    let rest = retried.envelope.recipients[..1].to_vec();
    retried.retry(Duration::from_secs(3600), rest.clone(), "busy".to_owned()).await.unwrap();
    let _held = soon(first.lease(Lane::Local)).await.unwrap();

    let second_files = disk.process(Plan::Nothing);
    let second = Arc::new(open(&second_files, "worker-2"));
    let waiting = tokio::spawn({
        let second = Arc::clone(&second);
        async move { second.lease(Lane::Local).await }
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_consumer() && !waiting.is_finished());
    first_files.kill();
    let taken = soon(waiting).await.unwrap().unwrap();
    assert_eq!(taken.envelope.id, id(3), "what the killed one held");
    assert_eq!(soon(second.lease(Lane::Local)).await.unwrap().envelope.id, id(4));
    let deferred = second.find(id(2)).await.unwrap().unwrap();
    assert_eq!((deferred.envelope.recipients, deferred.attempts), (rest, 1));
    assert!(second.find(id(1)).await.unwrap().is_none());
    taken.ack().await.unwrap();
    until(|| disk.files("/log/worker-1/").is_empty()).await;
    second.close().await;
    gateway.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_of_a_killed_gateway_is_found() {
    for at in 1..40 {
        let disk = Disk::new(100 + at);
        let gateway_files = disk.process(Plan::DieAt(at));
        let registry = prometheus::Registry::new();
        let config = config(Path::new("/queue"));
        let mut accepted = Vec::new();
        let gateway = EmbeddedQueue::open_in(Arc::new(gateway_files.clone()), &config, "gateway", &registry);
        let worker_files = disk.process(Plan::Nothing);
        let worker = open(&worker_files, "worker");
        if let Ok(gateway) = gateway {
            for number in 1..=10 {
                if suite::publish(&gateway, number, 100).await.is_ok() {
                    accepted.push(number);
                }
            }
        }
        gateway_files.kill();
        for number in accepted {
            let lease = soon(worker.lease(Lane::Local)).await.unwrap();
            assert_eq!(lease.envelope.id, id(number), "died at {at}");
            lease.ack().await.unwrap();
        }
        worker.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_taken_beside_a_queue_at_work() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    assert_eq!(inspect(directory.path()).unwrap().list(&ListFilter::default(), 10).len(), 0);
    let queue = Arc::new(EmbeddedQueue::open(&config, "up", &prometheus::Registry::new()).unwrap());
    let worker = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move {
            for _ in 0..300 {
                queue.lease(Lane::Local).await.unwrap().ack().await.unwrap();
            }
        }
    });
    let path: PathBuf = directory.path().to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        for _ in 0..50 {
            let mut snapshot = inspect(&path).unwrap();
            let count = snapshot.stats()[0].ready;
            assert_eq!(snapshot.list(&ListFilter::default(), usize::MAX).len() as u64, count);
            assert_eq!(snapshot.damaged(), 0);
        }
    });
    for number in 1..=300 {
        suite::publish(&*queue, number, 2000).await.unwrap();
    }
    soon(worker).await.unwrap();
    soon(looking).await.unwrap();
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_from_another_process_is_carried_out_by_the_one_that_works_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let worker = EmbeddedQueue::open(&config, "worker", &prometheus::Registry::new()).unwrap();
    for number in 1..=3 {
        suite::publish(&worker, number, 100).await.unwrap();
    }
    let leased = soon(worker.lease(Lane::Local)).await.unwrap();
    let command = EmbeddedQueue::open(&config, "command", &prometheus::Registry::new()).unwrap();
    let ordered = soon(command.order(&ListFilter::default(), Order::Hold)).await.unwrap();
    assert_eq!((ordered.done, ordered.busy, ordered.ids), (2, 1, vec![id(2), id(3)]));
    assert!(worker.is_consumer() && !command.is_consumer());
    assert_eq!(suite::stats(&worker, Lane::Local).await.held, 2);
    let names = || std::fs::read_dir(directory.path().join("orders")).unwrap().count();
    assert_eq!(names(), 0, "an order that is answered leaves nothing behind");
    drop(leased);
    soon(worker.close()).await;
    // Nobody else works the queue now: the process that gives the order does.
    let ordered = soon(command.order(&ListFilter::default(), Order::Delete)).await.unwrap();
    assert_eq!((ordered.done, ordered.busy), (3, 0));
    soon(command.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(
    clippy::await_holding_lock,
    reason = "only a thread of the queue waits for it, and that it waits is what is tested"
)]
async fn an_order_that_nobody_takes_is_taken_back() {
    let disk = Disk::new(12);
    let worker_files = disk.process(Plan::Nothing);
    let worker = open(&worker_files, "worker");
    suite::publish(&worker, 1, 100).await.unwrap();
    drop(soon(worker.lease(Lane::Local)).await.unwrap());
    let command_files = disk.process(Plan::Nothing);
    let short = Config { order_wait_max: units::Span::millis(50), ..config(Path::new("/queue")) };
    let registry = prometheus::Registry::new();
    let command =
        EmbeddedQueue::open_in(Arc::new(command_files.clone()), &short, "command", &registry).unwrap();
    // The one that works the queue stands still: it keeps its lock and looks for no orders.
    let still = worker.consumer.ordering();
    let asked = soon(command.order(&ListFilter::default(), Order::Delete)).await;
    assert!(asked.is_err(), "{asked:?}");
    drop(still);
    soon(worker.close()).await;
    soon(command.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_an_earlier_log_is_being_read_waits_for_its_turn() {
    const EARLIER: u64 = 6000;
    let files = Disk::new(11).process(Plan::Nothing);
    let queue = open(&files, "up");
    for number in 1..=EARLIER {
        suite::publish(&queue, number, 10).await.unwrap();
    }
    queue.close().await;
    let queue = open(&files, "up");
    let first = soon(queue.lease(Lane::Local)).await.unwrap();
    suite::publish(&queue, EARLIER + 1, 10).await.unwrap();
    first.ack().await.unwrap();
    for number in 2..=EARLIER + 1 {
        let lease = soon(queue.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope.id, id(number));
        lease.ack().await.unwrap();
    }
    queue.close().await;
}

/// The committer hands its messages on itself, unless the reading thread was there first: then they must not be taken twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beside_the_log_outlive_every_change_of_segments() {
    const COUNT: u64 = 600;
    let files = Disk::new(12).process(Plan::Nothing);
    let mut config = config(Path::new("/queue"));
    config.segment_size = units::ByteSize::kib(4);
    config.inline_max = units::ByteSize::kib(1);
    config.poll_interval = units::Span::millis(0);
    let registry = prometheus::Registry::new();
    let queue = EmbeddedQueue::open_in(Arc::new(files), &config, "up", &registry).unwrap();
    let queue = Arc::new(queue);
    let taking = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            for _ in 0..COUNT {
                let lease = soon(queue.lease(Lane::Local)).await.unwrap();
                let size = lease.envelope.size as usize;
                let number = (1..=COUNT).find(|number| id(*number) == lease.envelope.id).unwrap();
                assert!(lease.body == octets(number, size), "the body of {number}");
                lease.ack().await.unwrap();
            }
        })
    };
    for number in 1..=COUNT {
        suite::publish(&*queue, number, 2000).await.unwrap();
    }
    soon(taking).await.unwrap();
    queue.close().await;
}
