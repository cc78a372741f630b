//! The worker with both lanes, and a DNS that does not answer.

use envelope::AccountId;
use queue::Queue as _;
use units::Span;

use super::fakes::{address, envelope};
use super::tests::{BODY, Setup, config, recipients};
use super::{Config, Lane};
use crate::RemoteConfig;

fn both_lanes() -> Config {
    let remote = RemoteConfig {
        concurrency: 2,
        // Nobody listens there.
        resolvers: vec!["127.0.0.1:1".parse().unwrap()],
        dns_max: Span::millis(500),
        ..RemoteConfig::default()
    };
    Config { remote, retry_after: vec![Span::hours(1)], ..config() }
}

async fn publish(setup: &Setup, lane: Lane, envelope: envelope::Envelope) {
    let body = queue::Body::Memory(bytes::Bytes::from_static(BODY));
    setup.queue.publish(lane, envelope, body).await.unwrap();
}

#[tokio::test]
async fn what_is_in_the_wrong_lane_goes_on_in_the_right_one() {
    let setup = Setup::new(&[("ann", "=ann")], both_lanes());
    publish(&setup, Lane::Remote, envelope(1, "s@elsewhere.test", &["ann", "x@elsewhere.test"])).await;
    let running = setup.start();
    let listed = setup
        .until(|listed| listed.len() == 1 && listed[0].attempts == 1 && listed[0].lane == Lane::Remote)
        .await;
    setup.drain.begin();
    running.await.unwrap();
    assert_eq!(recipients(&listed[0]), ["x@elsewhere.test"]);
    assert!(listed[0].last_error.contains("DNS"), "{}", listed[0].last_error);
    assert_eq!(
        (setup.outcomes("delivered"), setup.outcomes("handed-over"), setup.outcomes("deferred")),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn after_a_crash_the_way_goes_on_once() {
    let setup = Setup::new(&[("ann", "=ann")], both_lanes());
    let mut written = envelope(1, "ann", &["ann", "x@elsewhere.test"]);
    written.origin.authenticated = Some(AccountId::new(&address("ann")));
    publish(&setup, Lane::Local, written).await;
    setup.try_and_crash().await;
    let running = setup.start();
    setup.until(|listed| listed.len() == 1 && listed[0].attempts == 1).await;
    setup.drain.begin();
    running.await.unwrap();
    assert_eq!(
        (setup.outcomes("delivered"), setup.outcomes("deferred")),
        (2, 1),
        "the second delivery is a duplicate"
    );
}
