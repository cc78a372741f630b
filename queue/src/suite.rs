//! What every backend must do, in one suite.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use envelope::{Entrance, Envelope, Filtered, MessageId, Origin, Recipient, ReversePath, Timestamp};

use crate::schedule::now;
use crate::{Body, Lane, LaneStats, ListFilter, PublishError, Queue, QueueError, QueuedState};

mod fairness;
mod operators;

pub(crate) use fairness::{bulk_mail_stands_back_and_does_not_starve, senders_take_turns};
pub(crate) use operators::{
    an_operator_deletes_messages_or_recipients, an_operator_has_it_tried_at_once,
    an_operator_holds_and_releases, an_operator_moves_it_to_another_lane,
    the_content_of_a_waiting_message_is_shown, what_a_worker_has_is_not_touched_by_an_order,
    what_is_kept_back_ends_but_not_what_is_held,
};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn id(number: u64) -> MessageId {
    MessageId::from_bytes(u128::from(number).to_be_bytes())
}

pub(crate) fn recipient(address: &str) -> Recipient {
    Recipient::from(address.parse::<envelope::Address>().unwrap())
}

pub(crate) fn envelope(number: u64, size: usize) -> Envelope {
    Envelope {
        id: id(number),
        received_at: Timestamp::from_unix_milliseconds(1_700_000_000_000 + number),
        reverse_path: ReversePath::Address("sender@example.org".parse().unwrap()),
        recipients: vec![recipient("a@example.test"), recipient("b@example.test")],
        origin: Origin {
            entrance: Entrance::Mx,
            peer: None,
            helo: String::new(),
            authenticated: None,
            tls: false,
        },
        size: size as u64,
        smtp_utf8: false,
        priority: envelope::Priority::Interactive,
        envelope_id: None,
        returned: None,
        require_tls: false,
        list: None,
        filtered: None,
    }
}

/// Octets that differ by message and by position.
pub(crate) fn octets(number: u64, size: usize) -> Vec<u8> {
    (0..size).map(|index| (index as u64).wrapping_mul(31).wrapping_add(number * 7 + 1) as u8).collect()
}

pub(crate) async fn soon<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, step).await.expect("done before the deadline")
}

pub(crate) async fn body(queue: &dyn Queue, number: u64, size: usize) -> std::io::Result<Body> {
    let mut writer = queue.body_writer();
    for piece in octets(number, size).chunks(100_000) {
        writer.write(piece).await?;
    }
    writer.finish().await
}

pub(crate) async fn publish(queue: &dyn Queue, number: u64, size: usize) -> Result<(), PublishError> {
    let body = body(queue, number, size).await.map_err(PublishError::Store)?;
    queue.publish(Lane::Local, envelope(number, size), body).await
}

pub(crate) async fn stats(queue: &dyn Queue, lane: Lane) -> LaneStats {
    queue.stats().await.unwrap().into_iter().find(|stats| stats.lane == lane).unwrap()
}

pub(crate) async fn counts(queue: &dyn Queue, lane: Lane) -> (u64, u64, u64) {
    let stats = stats(queue, lane).await;
    (stats.ready, stats.leased, stats.deferred)
}

/// What one process does another sees a moment later.
pub(crate) async fn assert_counts(queue: &dyn Queue, lane: Lane, expected: (u64, u64, u64)) {
    let started = std::time::Instant::now();
    loop {
        let found = counts(queue, lane).await;
        if found == expected {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{lane}: {found:?} and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Nothing is to be had from the lane: everything of it is leased, deferred or gone.
pub(crate) async fn assert_nothing_ready(queue: &dyn Queue, lane: Lane) {
    let (_, leased, deferred) = counts(queue, lane).await;
    assert_counts(queue, lane, (0, leased, deferred)).await;
    tokio::select! {
        biased;
        lease = queue.lease(lane) => panic!("leased {lease:?}"),
        () = async { for _ in 0..50 { tokio::task::yield_now().await } } => {}
    }
}

pub(crate) async fn what_is_published_is_leased_once_whole_and_in_order(queue: Arc<dyn Queue>) {
    for number in 1..=5 {
        publish(&*queue, number, 1000).await.unwrap();
    }
    let mut leases = Vec::new();
    for number in 1..=5 {
        let lease = soon(queue.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope, envelope(number, 1000));
        assert_eq!((&lease.body[..], lease.attempts), (&octets(number, 1000)[..], 0));
        leases.push(lease);
    }
    assert_counts(&*queue, Lane::Local, (0, 5, 0)).await;
    assert_nothing_ready(&*queue, Lane::Local).await;
    for lease in leases {
        lease.ack().await.unwrap();
    }
    let stats = stats(&*queue, Lane::Local).await;
    assert_eq!((stats.ready, stats.leased, stats.deferred, stats.oldest), (0, 0, 0, None));
    assert!(queue.find(id(1)).await.unwrap().is_none());
}

pub(crate) async fn a_dropped_lease_is_to_be_had_again_at_once(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 10).await.unwrap();
    publish(&*queue, 2, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    assert_eq!(lease.envelope.id, id(1));
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move {
            let second = queue.lease(Lane::Local).await.unwrap();
            let first = queue.lease(Lane::Local).await.unwrap();
            (second.envelope.id, first.envelope.id, first.attempts)
        }
    });
    while counts(&*queue, Lane::Local).await != (0, 2, 0) {
        tokio::task::yield_now().await;
    }
    drop(lease);
    assert_eq!(soon(waiting).await.unwrap(), (id(2), id(1), 0));
}

pub(crate) async fn the_same_id_twice_is_one_message(queue: Arc<dyn Queue>) {
    for _ in 0..3 {
        publish(&*queue, 1, 10).await.unwrap();
    }
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    publish(&*queue, 1, 10).await.unwrap();
    assert_nothing_ready(&*queue, Lane::Local).await;
    lease.ack().await.unwrap();
    assert_counts(&*queue, Lane::Local, (0, 0, 0)).await;
}

pub(crate) async fn lanes_do_not_wait_for_each_other(queue: Arc<dyn Queue>) {
    for (number, lane) in [(1, Lane::Remote), (2, Lane::Quarantine), (3, Lane::Dead), (4, Lane::Local)] {
        let body = body(&*queue, number, 10).await.unwrap();
        queue.publish(lane, envelope(number, 10), body).await.unwrap();
    }
    for (number, lane) in [(4, Lane::Local), (3, Lane::Dead), (1, Lane::Remote), (2, Lane::Quarantine)] {
        assert_eq!(counts(&*queue, lane).await, (1, 0, 0));
        let lease = soon(queue.lease(lane)).await.unwrap();
        assert_eq!(lease.envelope.id, id(number));
        lease.ack().await.unwrap();
        assert_nothing_ready(&*queue, lane).await;
    }
}

pub(crate) async fn those_who_wait_come_back_alone_when_due(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 300).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let rest = vec![recipient("b@example.test")];
    let before = now();
    lease.retry(Duration::from_millis(300), rest.clone(), "mailbox busy".to_owned()).await.unwrap();
    let listed = queue.find(id(1)).await.unwrap().unwrap();
    assert_eq!(listed.envelope.recipients, rest);
    assert_eq!((listed.attempts, listed.last_error.as_str()), (1, "mailbox busy"));
    assert!(listed.next_attempt >= before.plus(Duration::from_millis(300)));
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    assert!(now() >= before.plus(Duration::from_millis(300)), "not before it is due");
    assert_eq!((&lease.envelope.recipients, lease.attempts), (&rest, 1));
    assert_eq!(lease.body, octets(1, 300));
    lease.ack().await.unwrap();
    assert_counts(&*queue, Lane::Local, (0, 0, 0)).await;
}

pub(crate) async fn a_deferred_message_does_not_hold_up_others(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let rest = lease.envelope.recipients.clone();
    lease.retry(Duration::from_secs(3600), rest, "later".to_owned()).await.unwrap();
    assert_counts(&*queue, Lane::Local, (0, 0, 1)).await;
    assert_eq!(queue.find(id(1)).await.unwrap().unwrap().state, QueuedState::Deferred);
    publish(&*queue, 2, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    assert_eq!(lease.envelope.id, id(2));
    assert_eq!(queue.find(id(2)).await.unwrap().unwrap().state, QueuedState::Leased);
    assert_nothing_ready(&*queue, Lane::Local).await;
}

pub(crate) async fn dead_letters_wait_for_an_operator(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    lease.dead("the worker cannot read it".to_owned()).await.unwrap();
    assert_counts(&*queue, Lane::Local, (0, 0, 0)).await;
    assert_counts(&*queue, Lane::Dead, (1, 0, 0)).await;
    let listed = queue.find(id(1)).await.unwrap().unwrap();
    assert_eq!((listed.lane, listed.last_error.as_str()), (Lane::Dead, "the worker cannot read it"));
    let lease = soon(queue.lease(Lane::Dead)).await.unwrap();
    assert_eq!((lease.body.to_vec(), lease.attempts), (octets(1, 10), 1));
    lease.ack().await.unwrap();
    assert_counts(&*queue, Lane::Dead, (0, 0, 0)).await;
}

pub(crate) async fn a_wait_that_is_dropped_takes_nothing(queue: Arc<dyn Queue>) {
    for number in 1..=20 {
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.lease(Lane::Local).await }
        });
        tokio::task::yield_now().await;
        publish(&*queue, number, 10).await.unwrap();
        waiting.abort();
        let _ = waiting.await;
        let lease = soon(queue.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope.id, id(number));
        lease.ack().await.unwrap();
    }
}

pub(crate) async fn a_due_message_finds_a_worker_though_another_gave_up_waiting_for_it(
    queue: Arc<dyn Queue>,
) {
    let wait = |queue: &Arc<dyn Queue>| {
        let queue = Arc::clone(queue);
        tokio::spawn(async move { queue.lease(Lane::Local).await })
    };
    publish(&*queue, 1, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let (first, second) = (wait(&queue), wait(&queue));
    tokio::task::yield_now().await;
    let rest = lease.envelope.recipients.clone();
    lease.retry(Duration::from_millis(50), rest, String::new()).await.unwrap();
    tokio::task::yield_now().await;
    first.abort();
    let _ = first.await;
    assert_eq!(soon(second).await.unwrap().unwrap().envelope.id, id(1));
}

pub(crate) async fn list_filters_and_stops_at_its_limit(queue: Arc<dyn Queue>) {
    for number in [3, 1, 2] {
        publish(&*queue, number, 10).await.unwrap();
    }
    let numbers = async |filter: ListFilter, limit| {
        let listed = queue.list(&filter, limit).await.unwrap();
        listed.iter().map(|listed| listed.envelope.id).collect::<Vec<_>>()
    };
    assert_eq!(numbers(ListFilter::default(), 10).await, [id(1), id(2), id(3)]);
    // A broker's queue is looked at from its head: with a limit the first of them are shown, oldest first.
    let limited = numbers(ListFilter::default(), 2).await;
    assert!(limited.len() == 2 && limited.is_sorted(), "{limited:?}");
    let lane = |lane| ListFilter { lane: Some(lane), ..ListFilter::default() };
    assert_eq!(numbers(lane(Lane::Local), 10).await.len(), 3);
    assert_eq!(numbers(lane(Lane::Remote), 10).await.len(), 0);
    let recipient = |part: &str| ListFilter { recipient: Some(part.to_owned()), ..ListFilter::default() };
    assert_eq!(numbers(recipient("b@example"), 10).await.len(), 3);
    assert_eq!(numbers(recipient("c@example"), 10).await.len(), 0);
    let sender = |part: &str| ListFilter { sender: Some(part.to_owned()), ..ListFilter::default() };
    assert_eq!(numbers(sender("sender@"), 10).await.len(), 3);
    assert_eq!(numbers(sender("nobody@"), 10).await.len(), 0);
    let reasons = vec!["Odd-Rule: it looks odd".to_owned()];
    let filtered = Some(Filtered { reasons, ..Filtered::default() });
    let body = body(&*queue, 4, 10).await.unwrap();
    queue.publish(Lane::Quarantine, Envelope { filtered, ..envelope(4, 10) }, body).await.unwrap();
    let reason = |part: &str| ListFilter { reason: Some(part.to_owned()), ..ListFilter::default() };
    assert_eq!(numbers(reason("odd-rule"), 10).await, [id(4)]);
    assert_eq!(numbers(reason("other"), 10).await.len(), 0);
}

pub(crate) async fn bodies_around_the_spool_threshold_are_kept_whole(queue: Arc<dyn Queue>) {
    let threshold = 256 << 10;
    for (number, size) in
        [(1, 0), (2, 1), (3, threshold - 1), (4, threshold), (5, threshold + 1), (6, 3 << 20)]
    {
        let body = body(&*queue, number, size).await.unwrap();
        assert_eq!((body.size(), body.read().await.unwrap().len()), (size as u64, size));
        queue.publish(Lane::Local, envelope(number, size), body).await.unwrap();
        let lease = soon(queue.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope.id, id(number));
        assert!(lease.body == octets(number, size), "body of {size} octets");
        drop(lease);
        let lease = soon(queue.lease(Lane::Local)).await.unwrap();
        assert!(lease.body == octets(number, size), "body of {size} octets again");
        lease.ack().await.unwrap();
    }
}

pub(crate) async fn many_publishers_and_workers_move_every_message_once(queue: Arc<dyn Queue>) {
    const EACH: u64 = 40;
    let mut publishers = Vec::new();
    for publisher in 0..8 {
        let queue = Arc::clone(&queue);
        publishers.push(tokio::spawn(async move {
            for number in 0..EACH {
                publish(&*queue, 1 + publisher * EACH + number, 2000).await.unwrap();
            }
        }));
    }
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (queue, seen) = (Arc::clone(&queue), Arc::clone(&seen));
        workers.spawn(async move {
            while let Ok(lease) = queue.lease(Lane::Local).await {
                let id = lease.envelope.id;
                if lease.attempts == 0 && id.to_bytes()[15] % 5 == 0 {
                    let rest = lease.envelope.recipients.clone();
                    lease.retry(Duration::ZERO, rest, String::new()).await.unwrap();
                } else {
                    lease.ack().await.unwrap();
                    seen.lock().unwrap().push(id);
                }
            }
        });
    }
    for publisher in publishers {
        soon(publisher).await.unwrap();
    }
    soon(async {
        while seen.lock().unwrap().len() < 8 * EACH as usize {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_counts(&*queue, Lane::Local, (0, 0, 0)).await;
    queue.close().await;
    while let Some(worker) = soon(workers.join_next()).await {
        worker.unwrap();
    }
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, (1..=8 * EACH).map(id).collect::<Vec<_>>());
}

pub(crate) async fn a_closed_queue_says_so(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.lease(Lane::Local).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    let other = body(&*queue, 2, 10).await.unwrap();
    soon(queue.close()).await;
    assert!(matches!(soon(waiting).await.unwrap(), Err(QueueError::Closing)));
    assert!(matches!(soon(queue.lease(Lane::Local)).await, Err(QueueError::Closing)));
    let refused = soon(queue.publish(Lane::Local, envelope(2, 10), other)).await;
    assert!(matches!(refused, Err(PublishError::Closing)), "{refused:?}");
    drop(lease);
    soon(queue.close()).await;
}

/// One test for each behaviour, with a queue that `$fresh` makes (and what it must keep alive).
macro_rules! behaviour {
    ($fresh:expr; $($name:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (_keep, queue) = $fresh;
            $crate::suite::$name(queue).await;
        })*
    };
    ($fresh:expr) => {
        $crate::suite::behaviour! { $fresh;
            what_is_published_is_leased_once_whole_and_in_order
            a_dropped_lease_is_to_be_had_again_at_once
            the_same_id_twice_is_one_message
            lanes_do_not_wait_for_each_other
            those_who_wait_come_back_alone_when_due
            a_deferred_message_does_not_hold_up_others
            dead_letters_wait_for_an_operator
            a_wait_that_is_dropped_takes_nothing
            a_due_message_finds_a_worker_though_another_gave_up_waiting_for_it
            list_filters_and_stops_at_its_limit
            bodies_around_the_spool_threshold_are_kept_whole
            many_publishers_and_workers_move_every_message_once
            an_operator_holds_and_releases
            an_operator_has_it_tried_at_once
            an_operator_moves_it_to_another_lane
            an_operator_deletes_messages_or_recipients
            what_a_worker_has_is_not_touched_by_an_order
            what_is_kept_back_ends_but_not_what_is_held
            the_content_of_a_waiting_message_is_shown
            a_closed_queue_says_so
        }
    };
}
pub(crate) use behaviour;
