//! Who goes first.

use std::sync::Arc;

use ::envelope::{Envelope, Priority, ReversePath};

use super::{body, envelope, id, soon};
use crate::{Lane, Queue};

/// A message of one sender among others.
async fn publish_from(queue: &dyn Queue, number: u64, sender: &str, priority: Priority) {
    let body = body(queue, number, 10).await.unwrap();
    let reverse_path = ReversePath::Address(sender.parse().unwrap());
    let envelope = Envelope { reverse_path, priority, ..envelope(number, 10) };
    queue.publish(Lane::Local, envelope, body).await.unwrap();
}

async fn next_id(queue: &dyn Queue) -> u64 {
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let number = lease.envelope.id;
    lease.ack().await.unwrap();
    (1..1000).find(|candidate| id(*candidate) == number).unwrap()
}

pub(crate) async fn senders_take_turns(queue: Arc<dyn Queue>) {
    // Few enough for one file of any log: what comes after them is known as soon as it is there.
    for number in 1..=6 {
        publish_from(&*queue, number, "much@example.org", Priority::Interactive).await;
    }
    assert_eq!(next_id(&*queue).await, 1);
    for (number, sender) in [(101, "one@example.net"), (102, "two@example.net"), (103, "one@example.net")] {
        publish_from(&*queue, number, sender, Priority::Interactive).await;
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(next_id(&*queue).await);
    }
    let place = |number| order.iter().position(|each| *each == number);
    assert!(place(101) < Some(3) && place(102) < Some(4) && place(103).is_some(), "{order:?}");
}

pub(crate) async fn bulk_mail_stands_back_and_does_not_starve(queue: Arc<dyn Queue>) {
    for number in 1..=3 {
        publish_from(&*queue, number, "list@example.org", Priority::Bulk).await;
    }
    for number in 4..=33 {
        publish_from(&*queue, number, "person@example.org", Priority::Interactive).await;
    }
    let mut order = Vec::new();
    for _ in 1..=33 {
        order.push(next_id(&*queue).await);
    }
    let bulk: Vec<usize> = (0..order.len()).filter(|place| order[*place] <= 3).collect();
    assert_eq!(bulk, [9, 19, 29], "one turn in ten while other mail waits: {order:?}");
}
