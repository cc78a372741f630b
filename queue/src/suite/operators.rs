//! What operators do with what waits.

use std::sync::Arc;
use std::time::Duration;

use super::{assert_counts, assert_nothing_ready, envelope, id, octets, publish, recipient, soon, stats};
use crate::{Lane, ListFilter, Order, Queue, QueuedState};

fn one(number: u64) -> ListFilter {
    ListFilter { ids: vec![id(number)], ..ListFilter::default() }
}

/// An order about one message, which must be carried out.
async fn order(queue: &dyn Queue, filter: &ListFilter, order: Order) -> u64 {
    let ordered = soon(queue.order(filter, order)).await.unwrap();
    assert_eq!((ordered.ids.len() as u64, ordered.failed), (ordered.done, 0));
    ordered.done
}

async fn state(queue: &dyn Queue, number: u64) -> Option<(Lane, QueuedState)> {
    queue.find(id(number)).await.unwrap().map(|listed| (listed.lane, listed.state))
}

pub(crate) async fn an_operator_holds_and_releases(queue: Arc<dyn Queue>) {
    for number in 1..=3 {
        publish(&*queue, number, 10).await.unwrap();
    }
    assert_eq!(order(&*queue, &one(2), Order::Hold).await, 1);
    assert_eq!(order(&*queue, &one(2), Order::Hold).await, 0, "it is held already");
    assert_eq!(state(&*queue, 2).await, Some((Lane::Local, QueuedState::Held)));
    assert_eq!(stats(&*queue, Lane::Local).await.held, 1);
    for number in [1, 3] {
        let lease = soon(queue.lease(Lane::Local)).await.unwrap();
        assert_eq!(lease.envelope.id, id(number));
        lease.ack().await.unwrap();
    }
    assert_nothing_ready(&*queue, Lane::Local).await;
    let held = ListFilter { state: Some(QueuedState::Held), ..ListFilter::default() };
    assert_eq!(order(&*queue, &held, Order::Release).await, 1);
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    assert_eq!((lease.envelope, &lease.body[..]), (envelope(2, 10), &octets(2, 10)[..]));
}

pub(crate) async fn an_operator_has_it_tried_at_once(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let rest = lease.envelope.recipients[1..].to_vec();
    lease.retry(Duration::from_secs(3600), rest.clone(), "greylisted for now".to_owned()).await.unwrap();
    assert_eq!(state(&*queue, 1).await, Some((Lane::Local, QueuedState::Deferred)));
    let other = ListFilter { error: Some("connection".to_owned()), ..ListFilter::default() };
    assert_eq!(order(&*queue, &other, Order::Retry).await, 0);
    let error = ListFilter { error: Some("greylisted".to_owned()), ..ListFilter::default() };
    assert_eq!(order(&*queue, &error, Order::Retry).await, 1);
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    assert_eq!((lease.envelope.recipients.clone(), lease.attempts), (rest, 1));
}

pub(crate) async fn an_operator_moves_it_to_another_lane(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    lease.dead("broken".to_owned()).await.unwrap();
    assert_eq!(order(&*queue, &one(1), Order::Reroute(Lane::Dead)).await, 0, "it is there");
    assert_eq!(order(&*queue, &one(1), Order::Reroute(Lane::Remote)).await, 1);
    let lease = soon(queue.lease(Lane::Remote)).await.unwrap();
    assert_eq!((lease.envelope, &lease.body[..]), (envelope(1, 10), &octets(1, 10)[..]));
}

pub(crate) async fn an_operator_deletes_messages_or_recipients(queue: Arc<dyn Queue>) {
    for number in 1..=3 {
        publish(&*queue, number, 10).await.unwrap();
    }
    assert_eq!(order(&*queue, &one(1), Order::Delete).await, 1);
    assert_eq!(state(&*queue, 1).await, None);
    let to = |part: &str| ListFilter { recipient: Some(part.to_owned()), ..ListFilter::default() };
    assert_eq!(order(&*queue, &to("a@example"), Order::Delete).await, 2);
    assert_eq!(order(&*queue, &to("a@example"), Order::Delete).await, 0);
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    assert_eq!(lease.envelope.recipients, [recipient("b@example.test")], "the others keep their message");
    lease.ack().await.unwrap();
    let domain = |name: &str| ListFilter { domain: Some(name.to_owned()), ..ListFilter::default() };
    assert_eq!(order(&*queue, &domain("test"), Order::Delete).await, 0);
    assert_eq!(order(&*queue, &domain("example.test"), Order::Delete).await, 1);
    assert_counts(&*queue, Lane::Local, (0, 0, 0)).await;
    assert_nothing_ready(&*queue, Lane::Local).await;
}

pub(crate) async fn what_is_kept_back_ends_but_not_what_is_held(queue: Arc<dyn Queue>) {
    for number in 1..=3 {
        publish(&*queue, number, 10).await.unwrap();
    }
    for number in [1, 2] {
        assert_eq!(order(&*queue, &one(number), Order::Reroute(Lane::Quarantine)).await, 1);
    }
    assert_eq!(order(&*queue, &one(2), Order::Hold).await, 1);
    let ready = Some(QueuedState::Ready);
    let old = ListFilter { lane: Some(Lane::Quarantine), state: ready, ..ListFilter::default() };
    assert_eq!(order(&*queue, &old, Order::Expire).await, 1);
    assert_eq!(state(&*queue, 1).await, None);
    assert_eq!(state(&*queue, 2).await, Some((Lane::Quarantine, QueuedState::Held)));
    assert_eq!(state(&*queue, 3).await, Some((Lane::Local, QueuedState::Ready)));
}

pub(crate) async fn what_a_worker_has_is_not_touched_by_an_order(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 10).await.unwrap();
    let lease = soon(queue.lease(Lane::Local)).await.unwrap();
    let ordered = soon(queue.order(&one(1), Order::Delete)).await.unwrap();
    assert_eq!(ordered.done, 0);
    let rest = lease.envelope.recipients.clone();
    lease.retry(Duration::from_secs(3600), rest, "busy".to_owned()).await.unwrap();
    assert_eq!(order(&*queue, &one(1), Order::Delete).await, 1);
    assert_eq!(state(&*queue, 1).await, None);
}

pub(crate) async fn the_content_of_a_waiting_message_is_shown(queue: Arc<dyn Queue>) {
    publish(&*queue, 1, 10).await.unwrap();
    publish(&*queue, 2, 300_000).await.unwrap();
    for (number, size) in [(1, 10), (2, 300_000)] {
        let content = queue.content(id(number)).await.unwrap().unwrap();
        assert!(content == octets(number, size), "{number}");
    }
    assert!(queue.content(id(3)).await.unwrap().is_none());
}
