//! What senders hear of, as they asked for it.

use bytes::Bytes;
use envelope::{AccountId, Address, Notify, Recipient};
use queue::Queue;
use units::Span;

use super::fakes::{address, envelope};
use super::tests::{BODY, Setup, config};
use super::{Config, Lane};

const NEVER: Notify = Notify { success: false, failure: false, delay: false };
const SUCCESS: Notify = Notify { success: true, ..NEVER };
const DELAY: Notify = Notify { delay: true, ..NEVER };

fn recipient(name: &str, notify: impl Into<Option<Notify>>) -> Recipient {
    Recipient { notify: notify.into(), ..address(name).into() }
}

async fn publish(setup: &Setup, sender: &str, account: Option<&str>, recipients: Vec<Recipient>) {
    let mut envelope = envelope(1, sender, &[]);
    envelope.recipients = recipients;
    envelope.origin.authenticated = account.map(|name| AccountId::new(&address(name)));
    let body = queue::Body::Memory(Bytes::from_static(BODY));
    setup.queue.publish(Lane::Local, envelope, body).await.unwrap();
}

/// The reports to senders elsewhere, each as its actions and final recipients.
async fn reports(setup: &Setup) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let queued = setup.queue.list(&queue::ListFilter::default(), 100).await.unwrap();
    for _ in queued.iter().filter(|listed| listed.lane == Lane::Remote) {
        let lease = setup.queue.lease(Lane::Remote).await.unwrap();
        assert!(lease.envelope.reverse_path.address().is_none());
        let text = String::from_utf8(lease.body.to_vec()).unwrap();
        let value = |line: &str, name| line.strip_prefix(name).map(str::to_owned);
        let finals = text.lines().filter_map(|line| value(line, "Final-Recipient: rfc822; "));
        let actions = text.lines().filter_map(|line| value(line, "Action: "));
        found.push(actions.zip(finals).map(|(action, address)| format!("{action} {address}")).collect());
        lease.ack().await.unwrap();
    }
    found.sort();
    found
}

const ELSEWHERE: &str = "s@elsewhere.test";

#[tokio::test]
async fn success_is_told_to_who_asked() {
    let setup = Setup::new(&[("ann", "=ann"), ("bob", "=bob"), ("too", "=ann")], config());
    let list = vec![recipient("ann", SUCCESS), recipient("bob", None), recipient("too", SUCCESS)];
    publish(&setup, ELSEWHERE, None, list).await;
    setup.settled().await;
    assert_eq!(
        reports(&setup).await,
        [["delivered ann@example.test".to_owned(), "delivered too@example.test".to_owned()]]
    );
    assert_eq!(setup.outcomes("delivered"), 2);
}

#[tokio::test]
async fn a_crash_makes_no_second_report_of_success() {
    let setup = Setup::new(&[("ann", "=ann"), ("team", "ann bob"), ("bob", "=bob")], config());
    publish(&setup, ELSEWHERE, None, vec![recipient("ann", SUCCESS), recipient("team", SUCCESS)]).await;
    setup.try_and_crash().await;
    setup.settled().await;
    assert_eq!(reports(&setup).await, [["delivered ann@example.test"], ["expanded team@example.test"]]);
}

#[tokio::test]
async fn one_address_behind_another_is_told_of_and_several_are_not() {
    let setup =
        Setup::new(&[("one", "ann"), ("team", "bob unknown"), ("ann", "=ann"), ("bob", "=bob")], config());
    publish(&setup, ELSEWHERE, None, vec![recipient("one", SUCCESS), recipient("team", SUCCESS)]).await;
    setup.settled().await;
    // Who asked for success alone does not hear of a failure.
    assert_eq!(reports(&setup).await, [["delivered one@example.test"], ["expanded team@example.test"]]);
    assert_eq!((setup.outcomes("delivered"), setup.outcomes("discarded")), (2, 1));
}

#[tokio::test]
async fn never_is_never_and_nobody_is_told_of_a_report() {
    let setup = Setup::new(&[("ann", "=ann"), ("team", "ann x")], config());
    publish(&setup, ELSEWHERE, None, vec![recipient("x", NEVER), recipient("ann", NEVER)]).await;
    assert!(setup.settled().await.is_empty());
    assert_eq!((setup.outcomes("bounced"), setup.outcomes("discarded")), (0, 1));
    let setup = Setup::new(&[("ann", "=ann"), ("team", "ann x")], config());
    let all = Notify { success: true, failure: true, delay: true };
    publish(&setup, "", None, vec![recipient("x", all), recipient("team", all)]).await;
    assert!(setup.settled().await.is_empty());
    assert_eq!((setup.outcomes("bounced"), setup.outcomes("discarded")), (0, 1));
}

/// Who asked, who logged in, and whether the delay is told.
#[tokio::test]
async fn delay_is_told_once_to_who_asked_and_to_our_own() {
    for (notify, account, told) in [
        (None, None, false),
        (None, Some("s"), true),
        (Some(DELAY), None, true),
        (Some(NEVER), Some("s"), false),
        (Some(SUCCESS), Some("s"), false),
    ] {
        let setup = Setup::new(&[("ann", "?")], Config { delay_report_after: Span::millis(0), ..config() });
        publish(&setup, ELSEWHERE, account, vec![recipient("ann", notify)]).await;
        let running = setup.start();
        let tried = |listed: &[queue::Listed]| {
            listed.iter().any(|listed| listed.lane == Lane::Local && listed.attempts >= 4)
        };
        let listed = setup.until(tried).await;
        setup.drain.begin();
        running.await.unwrap();
        let waiting = listed.iter().find(|listed| listed.lane == Lane::Local).unwrap();
        assert_eq!(waiting.envelope.recipients[0].delay_reported, told);
        let expected: Vec<Vec<String>> =
            if told { vec![vec!["delayed ann@example.test".to_owned()]] } else { Vec::new() };
        assert_eq!(reports(&setup).await, expected, "{notify:?} {account:?}");
    }
}

#[tokio::test]
async fn a_crash_makes_no_second_report_of_delay_and_none_comes_early() {
    for (after, expected) in [(Span::millis(0), 1), (Span::hours(1), 0)] {
        let setup = Setup::new(
            &[("ann", "?")],
            Config { delay_report_after: after, retry_after: vec![Span::hours(1)], ..config() },
        );
        publish(&setup, ELSEWHERE, None, vec![recipient("ann", DELAY)]).await;
        setup.try_and_crash().await;
        setup.try_and_crash().await;
        setup.settled().await;
        assert_eq!(reports(&setup).await.len(), expected);
    }
}

/// The queue has room for the message alone: no report can be queued.
#[tokio::test]
async fn without_its_report_nobody_has_an_outcome_and_none_gets_two_copies() {
    let entries = [("ann", "=ann"), ("team", "ann bob"), ("bob", "=bob")];
    for (name, delivered) in [("ann", true), ("team", false)] {
        let setup = Setup::with_queue(
            &entries,
            Config { retry_after: vec![Span::hours(1)], ..config() },
            queue::memory::MemoryQueue::bounded(1),
        );
        publish(&setup, ELSEWHERE, None, vec![recipient(name, SUCCESS)]).await;
        let listed = setup.settled().await;
        assert_eq!(listed.len(), 1, "{name}");
        let waiting: Vec<&Address> = listed[0].envelope.recipients.iter().map(|r| &r.address).collect();
        assert_eq!(waiting, [&address(name)]);
        assert!(listed[0].last_error.contains("success could not be queued"), "{}", listed[0].last_error);
        assert_eq!(setup.outcomes("delivered"), u64::from(delivered));
    }
}
