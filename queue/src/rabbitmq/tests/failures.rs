//! Brokers that die, stand still, take nothing or lie.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use units::Span;

use super::super::link::Standing;
use super::{Site, credentials, open};
use crate::rabbitmq::RabbitQueue;
use crate::suite::{self, assert_counts, id, soon};
use crate::{Lane, ListFilter, Order, PublishError, Queue, QueueError};

/// Longer than a broker takes to come back: nodes of a cluster that begin together wait for each other's tables in steps of 30 seconds.
const PATIENCE: Duration = Duration::from_secs(240);

async fn patiently<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, step).await.expect("done before the deadline")
}

/// Publishes until the queue takes it.
async fn publish_anyhow(queue: &dyn Queue, number: u64) {
    let started = Instant::now();
    while let Err(error) = suite::publish(queue, number, 500).await {
        assert!(started.elapsed() < PATIENCE, "message {number} is still refused: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Takes messages until all of them have been seen; returns how often each was.
async fn take_all(queue: &dyn Queue, numbers: std::ops::Range<u64>) -> Vec<usize> {
    let mut seen = vec![0; usize::try_from(numbers.end - numbers.start).unwrap()];
    patiently(async {
        while seen.contains(&0) {
            let lease = queue.lease(Lane::Local).await.unwrap();
            let number = numbers.clone().find(|number| id(*number) == lease.envelope.id);
            // An acknowledgement may be lost with the connection; then it comes again.
            if lease.ack().await.is_ok()
                && let Some(number) = number
            {
                seen[usize::try_from(number - numbers.start).unwrap()] += 1;
            }
        }
    })
    .await;
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_comes_back_has_what_it_confirmed() {
    let mut site = Site::start(1);
    let config = site.config();
    let queue = open(&config).await;
    for number in 0..20 {
        suite::publish(&*queue, number, 500).await.unwrap();
    }
    let held = soon(queue.lease(Lane::Local)).await.unwrap();
    site.cluster.kill(0);
    let refused = patiently(suite::publish(&*queue, 20, 500)).await;
    assert!(matches!(refused, Err(PublishError::Away(_) | PublishError::Unconfirmed(_))), "{refused:?}");
    site.cluster.begin(0);
    // Consumers come back by themselves, and so does what a worker held.
    publish_anyhow(&*queue, 21).await;
    assert!(held.ack().await.is_err(), "the connection it came by is gone");
    let seen = take_all(&*queue, 0..20).await;
    assert!(seen.iter().all(|count| *count >= 1), "{seen:?}");
    patiently(queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_an_alarm_refuses_at_once_and_still_lets_workers_work() {
    let site = Site::start(1);
    let config = site.config();
    let queue = open(&config).await;
    for number in 0..3 {
        suite::publish(&*queue, number, 500).await.unwrap();
    }
    site.cluster.control(0, &["set_vm_memory_high_watermark", "absolute", "1MB"]);
    let refused = patiently(async {
        let mut number = 100;
        loop {
            // The alarm is told with the first message after it.
            match tokio::time::timeout(Duration::from_secs(1), suite::publish(&*queue, number, 500)).await {
                Ok(Err(error @ PublishError::Full(_))) => return error,
                _ => number += 1,
            }
        }
    })
    .await;
    assert!(refused.to_string().contains("takes no messages for now"), "{refused}");
    // A decision that can't be put at the broker waits: its message is not tried again at once.
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let (tried, recipients) = (lease.envelope.id, lease.envelope.recipients.clone());
    lease.retry(Duration::ZERO, recipients, "busy".to_owned()).await.unwrap_err();
    let listed = soon(queue.find(tried)).await.unwrap().unwrap();
    assert_eq!((listed.state, listed.attempts), (crate::QueuedState::Deferred, 0));
    for _ in 0..3 {
        soon(queue.lease(Lane::Local)).await.unwrap().ack().await.unwrap();
    }
    site.cluster.control(0, &["set_vm_memory_high_watermark", "0.9"]);
    publish_anyhow(&*queue, 50).await;
    patiently(queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_by_which_a_queue_says_nothing_is_left_for_another() {
    let site = Site::start(1);
    let mut config = site.config();
    config.rabbitmq.confirm_max = Span::secs(1);
    let queue = open(&config).await;
    suite::publish(&*queue, 1, 500).await.unwrap();
    let standing = || match queue.shared.publisher.link.standing() {
        Standing::Up(up) => Some(up),
        _ => None,
    };
    let before = standing().unwrap();
    // A queue that is full says so, and keeps the connection that others use too.
    site.cluster.control(0, &["set_policy", "full", "^set0.local$", r#"{"max-length":1}"#]);
    let started = Instant::now();
    let mut refused = 0;
    while refused < 3 || started.elapsed() < Duration::from_millis(1500) {
        refused += u32::from(matches!(suite::publish(&*queue, 2, 500).await, Err(PublishError::Full(_))));
        assert!(started.elapsed() < PATIENCE, "it does not get full");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(Arc::ptr_eq(&standing().unwrap(), &before));
    site.cluster.control(0, &["clear_policy", "full"]);
    // One that says nothing is left, though its connection stands.
    site.cluster.signal(0, "STOP");
    let silent = patiently(suite::publish(&*queue, 4, 500)).await;
    site.cluster.signal(0, "CONT");
    assert!(matches!(silent, Err(PublishError::Unconfirmed(_))), "{silent:?}");
    patiently(async {
        while standing().is_none_or(|up| Arc::ptr_eq(&up, &before)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    publish_anyhow(&*queue, 5).await;
    patiently(queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_nodes_is_missed_by_nobody_and_two_of_three_refuse() {
    let mut site = Site::start(3);
    let config = site.config();
    let queue = open(&config).await;
    for number in 0..30 {
        suite::publish(&*queue, number, 500).await.unwrap();
    }
    site.cluster.kill(1);
    for number in 30..60 {
        publish_anyhow(&*queue, number).await;
    }
    site.cluster.kill(2);
    // Without a majority nothing is confirmed, whatever the one that is left says.
    let refused = patiently(suite::publish(&*queue, 1000, 500)).await;
    assert!(refused.is_err(), "{refused:?}");
    site.cluster.begin(1);
    site.cluster.begin(2);
    publish_anyhow(&*queue, 60).await;
    let seen = take_all(&*queue, 0..61).await;
    assert!(seen.iter().all(|count| *count >= 1), "{seen:?}");
    patiently(queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_is_left_and_found_again() {
    let site = Site::start(1);
    let config = site.config();
    let queue = open(&config).await;
    suite::publish(&*queue, 1, 500).await.unwrap();
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { take_all(&*queue, 1..3).await }
    });
    site.cluster.signal(0, "STOP");
    let refused = patiently(suite::publish(&*queue, 2, 500)).await;
    assert!(matches!(refused, Err(PublishError::Unconfirmed(_) | PublishError::Away(_))), "{refused:?}");
    site.cluster.signal(0, "CONT");
    publish_anyhow(&*queue, 2).await;
    patiently(waiting).await.unwrap();
    patiently(queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_ends_its_worker_every_time_becomes_a_dead_letter() {
    let site = Site::start(1);
    let mut config = site.config();
    config.rabbitmq.delivery_limit = 3;
    let publisher = open(&config).await;
    suite::publish(&*publisher, 1, 500).await.unwrap();
    for _ in 0..4 {
        let worker = open(&config).await;
        let lease = soon(worker.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope.id, id(1));
        // As a killed process: nothing is settled, the connection ends.
        let worker = Arc::try_unwrap(worker).unwrap();
        patiently(worker.close()).await;
        drop(lease);
    }
    assert_counts(&*publisher, Lane::Dead, (1, 0, 0)).await;
    let listed = soon(publisher.find(id(1))).await.unwrap().unwrap();
    assert!(listed.lane == Lane::Dead && listed.last_error.contains("never settled"), "{listed:?}");
    let all = ListFilter::default();
    assert_eq!(soon(publisher.order(&all, Order::Reroute(Lane::Local))).await.unwrap().done, 1);
    soon(publisher.lease(Lane::Local)).await.unwrap().ack().await.unwrap();
    patiently(publisher.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_at_hand_beside_it_gets_through() {
    let site = Site::start(1);
    let mut config = site.config();
    config.rabbitmq.delivery_limit = 12;
    config.ends_apart = Span::millis(20);
    let publisher = open(&config).await;
    for number in 1..=6 {
        suite::publish(&*publisher, number, 500).await.unwrap();
    }
    let mut through = std::collections::BTreeSet::new();
    for _ in 0..13 {
        let worker = open(&config).await;
        let lease = loop {
            let lease = soon(worker.lease(Lane::Local)).await.unwrap();
            if lease.envelope.id == id(1) {
                break lease;
            }
            through.insert(lease.envelope.id);
            lease.ack().await.unwrap();
        };
        let worker = Arc::try_unwrap(worker).unwrap();
        patiently(worker.close()).await;
        drop(lease);
    }
    assert_counts(&*publisher, Lane::Dead, (1, 0, 0)).await;
    assert_eq!(through, (2..=6).map(id).collect());
    patiently(publisher.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_often_kills_nothing() {
    let site = Site::start(1);
    let mut config = site.config();
    config.rabbitmq.delivery_limit = 4;
    let queue = open(&config).await;
    for number in 1..=3 {
        suite::publish(&*queue, number, 500).await.unwrap();
    }
    for _ in 0..10 {
        // What the look before gave back may be on its way yet.
        soon(async { while queue.list(&ListFilter::default(), 10).await.unwrap().len() < 3 {} }).await;
    }
    assert_counts(&*queue, Lane::Local, (3, 0, 0)).await;
    assert_counts(&*queue, Lane::Dead, (0, 0, 0)).await;
    patiently(queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_of_another_kind_and_wrong_passwords_are_refused_at_the_start() {
    let site = Site::start(1);
    let config = site.config();
    let address = format!("amqp://guest:guest@{}/%2f", config.rabbitmq.addresses[0]);
    let connection = Connection::connect(&address, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    // A classic queue under our name: what it holds would be on one node only.
    let name = format!("{}.local", config.rabbitmq.prefix);
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    let registry = prometheus::Registry::new();
    match RabbitQueue::open(&config, &credentials(), &registry).await {
        Err(QueueError::Broker { why, .. }) => {
            assert!(why.contains("inequivalent arg") && why.contains(".local"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    let wrong = super::Credentials { password: envelope::Secret::new("wrong".to_owned()), roots: None };
    match RabbitQueue::open(&site.config(), &wrong, &registry).await {
        Err(QueueError::Broker { why, .. }) => {
            assert!(why.to_lowercase().contains("refused") && !why.contains("wrong"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_is_longer_than_its_step_goes_on_and_is_not_cut_short() {
    let site = Site::start(1);
    let config = site.config();
    let queue = open(&config).await;
    suite::publish(&*queue, 1, 500).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let (rest, began) = (lease.envelope.recipients.clone(), Instant::now());
    // One step of five seconds, and a little that is waited for here.
    lease.retry(Duration::from_millis(6500), rest, "busy".to_owned()).await.unwrap();
    assert_counts(&*queue, Lane::Local, (0, 0, 1)).await;
    let lease = patiently(queue.lease(Lane::Local)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(6400), "{:?}", began.elapsed());
    assert_eq!(lease.attempts, 1);
    lease.ack().await.unwrap();
    patiently(queue.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_no_use_is_left_for_another() {
    let site = Site::start(1);
    let queue = open(&site.config()).await;
    let Standing::Up(up) = queue.shared.consuming.settled().await else { panic!("connected at the start") };
    up.give_up();
    patiently(queue.shared.consuming.lost(&up)).await;
    let Standing::Up(other) = patiently(queue.shared.consuming.settled()).await else {
        panic!("connected anew")
    };
    assert!(!Arc::ptr_eq(&up, &other) && other.works() && !up.works());
    suite::publish(&*queue, 1, 500).await.unwrap();
    soon(queue.lease(Lane::Local)).await.unwrap().ack().await.unwrap();
    patiently(queue.close()).await;
}
