//! A message that ends the worker's process each time.

use std::path::Path;
use std::sync::Arc;

use super::super::EmbeddedQueue;
use super::super::at_hand::ends;
use super::super::state::Turns;
use super::config;
use crate::files::sim::{Disk, Plan};
use crate::suite::{self, id, soon};
use crate::{Lane, Queue, QueuedState};

fn open(disk: &Disk) -> (crate::files::sim::SimFiles, EmbeddedQueue) {
    let files = disk.process(Plan::Nothing);
    let config = config(Path::new("/queue"));
    let registry = prometheus::Registry::new();
    let queue = EmbeddedQueue::open_in(Arc::new(files.clone()), &config, "up", &registry).unwrap();
    (files, queue)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_becomes_a_dead_letter_and_the_rest_flows() {
    let disk = Disk::new(1);
    let (mut files, mut queue) = open(&disk);
    for number in 1..=4 {
        suite::publish(&queue, number, 100).await.unwrap();
    }
    // All four are at hand when the process ends for the first time; then those that are no fault of it leave.
    let (mut ended, mut left) = (0, Vec::new());
    loop {
        let mut at_hand = Vec::new();
        let found = soon(async {
            loop {
                let dead = queue.find(id(1)).await.unwrap().is_some_and(|listed| listed.lane == Lane::Dead);
                if dead && left.len() == 3 {
                    return false;
                }
                let lease =
                    tokio::time::timeout(std::time::Duration::from_millis(5), queue.lease(Lane::Local)).await;
                match lease {
                    Ok(Ok(lease)) if ended > 0 && lease.envelope.id != id(1) => {
                        left.push(lease.envelope.id);
                        lease.ack().await.unwrap();
                    }
                    Ok(lease) => at_hand.push(lease.unwrap()),
                    Err(_) => {}
                }
                if at_hand.len() == if ended == 0 { 4 } else { 1 } {
                    return true;
                }
            }
        })
        .await;
        if !found {
            break;
        }
        ended += 1;
        files.kill();
        at_hand.into_iter().for_each(std::mem::forget);
        (files, queue) = open(&disk);
    }
    left.sort_unstable();
    assert_eq!((ended, left), (5, vec![id(2), id(3), id(4)]), "as often as `ends_max` says");
    let dead = queue.find(id(1)).await.unwrap().unwrap();
    assert_eq!((dead.lane, dead.state), (Lane::Dead, QueuedState::Ready));
    assert_eq!(dead.last_error, "a worker's process ended 5 times while it had this message");
    let counted = || ends(&disk.process(Plan::Nothing), Path::new("/queue/consumer"));
    assert!(counted().is_empty(), "it is buried once, and not again at each start");
    // An operator may give it another chance, and its count begins anew.
    let one = crate::ListFilter { ids: vec![id(1)], ..crate::ListFilter::default() };
    let ordered = soon(queue.order(&one, crate::Order::Reroute(Lane::Local))).await.unwrap();
    assert_eq!(ordered.done, 1);
    std::mem::forget(soon(queue.lease(Lane::Local)).await.unwrap());
    files.kill();
    let (_files, queue) = open(&disk);
    assert_eq!(soon(queue.lease(Lane::Local)).await.unwrap().envelope.id, id(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_back_or_done_is_not_counted() {
    let disk = Disk::new(2);
    for round in 0..8 {
        let (files, queue) = open(&disk);
        if round == 0 {
            suite::publish(&queue, 1, 100).await.unwrap();
        }
        let given_back = soon(queue.lease(Lane::Local)).await.unwrap();
        assert_eq!(given_back.envelope.id, id(1));
        suite::publish(&queue, 10 + round, 100).await.unwrap();
        soon(queue.lease(Lane::Local)).await.unwrap().ack().await.unwrap();
        drop(given_back);
        files.kill();
    }
    let (_files, queue) = open(&disk);
    assert_eq!(soon(queue.lease(Lane::Local)).await.unwrap().envelope.id, id(1));
}

/// Whoever passes the messages of a log on looks into none of them: its ends are no fault of theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_replays_a_log_may_end_as_often_as_it_likes() {
    let disk = Disk::new(3);
    let config = config(Path::new("/queue"));
    for round in 0..8 {
        let files = disk.process(Plan::Nothing);
        let registry = prometheus::Registry::new();
        let turns = Turns::InOrder;
        let queue =
            EmbeddedQueue::open_with(Arc::new(files.clone()), &config, "up", &registry, turns).unwrap();
        if round == 0 {
            suite::publish(&queue, 1, 100).await.unwrap();
        }
        let lease = soon(queue.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope.id, id(1));
        files.kill();
        std::mem::forget(lease);
    }
}
