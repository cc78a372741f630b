//! The worker with the queue in memory. (With mailboxes: `filing`.)

use std::time::Duration;

use bytes::Bytes;
use queue::memory::MemoryQueue;
use queue::{Listed, Queue, QueuedState};
use runtime::BlockingPool;
use units::Span;

use super::fakes::{Fake, envelope, id, store};
use super::{Arc, Config, Deps, Drain, Lane, Metrics, Signatures, Worker, message, run};

pub(super) const BODY: &[u8] = b"Message-ID: <m@client.test>\r\nSubject: x\r\n\r\nText\r\n";

pub(super) struct Setup {
    pub(super) directory: Arc<Fake>,
    pub(super) queue: MemoryQueue,
    pub(super) worker: Arc<Worker>,
    pub(super) drain: Drain,
    pub(super) root: tempfile::TempDir,
}

pub(super) fn config() -> Config {
    // Nothing leaves the test.
    let remote = crate::RemoteConfig { concurrency: 0, ..crate::RemoteConfig::default() };
    Config { concurrency: 2, retry_after: vec![Span::millis(1)], remote, ..Config::default() }
}

impl Setup {
    pub(super) fn new(entries: &[(&str, &str)], config: Config) -> Self {
        Self::with_queue(entries, config, MemoryQueue::new())
    }

    pub(super) fn with_queue(entries: &[(&str, &str)], config: Config, queue: MemoryQueue) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = Arc::new(Fake::new(entries));
        let registry = prometheus::Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let deps = Deps {
            queue: Arc::new(queue.clone()),
            directory: Arc::<Fake>::clone(&directory),
            store: store(root.path()),
            blocking: BlockingPool::new(4, Duration::from_secs(30)),
            registry,
            hostname: "mx.example.test".to_owned(),
            tls_reports: None,
        };
        let worker = Arc::new(Worker::new(config, deps, metrics, Signatures::default()));
        Self { directory, queue, worker, drain: Drain::new(), root }
    }

    /// Goes on with another store; before anything runs.
    pub(super) fn with_store(&mut self, store: store::Store) {
        let deps = Deps { store, ..self.worker.deps.clone() };
        let registry = prometheus::Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        self.worker = Arc::new(Worker::new(
            self.worker.config.clone(),
            Deps { registry, ..deps },
            metrics,
            Signatures::default(),
        ));
    }

    pub(super) async fn publish(&self, number: u8, sender: &str, recipients: &[&str]) {
        self.publish_body(number, sender, recipients, BODY).await;
    }

    pub(super) async fn publish_body(&self, number: u8, sender: &str, recipients: &[&str], body: &[u8]) {
        let body = queue::Body::Memory(Bytes::copy_from_slice(body));
        self.queue.publish(Lane::Local, envelope(number, sender, recipients), body).await.unwrap();
    }

    pub(super) fn start(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(run(Arc::clone(&self.worker), self.drain.clone()))
    }

    /// Waits until `done` says so of what is queued.
    pub(super) async fn until(&self, done: impl Fn(&[Listed]) -> bool) -> Vec<Listed> {
        let wait = async {
            loop {
                let listed = self.queue.list(&queue::ListFilter::default(), 100).await.unwrap();
                if done(&listed) {
                    return listed;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the condition did not come true")
    }

    /// Runs until nothing is in the local lane but what waits.
    pub(super) async fn settled(&self) -> Vec<Listed> {
        let running = self.start();
        let moving = |listed: &Listed| listed.lane == Lane::Local && listed.state != QueuedState::Deferred;
        let listed = self.until(|listed| !listed.iter().any(moving)).await;
        self.drain.begin();
        running.await.unwrap();
        listed
    }

    /// Tries the message once and forgets to settle it, as a crash would.
    pub(super) async fn try_and_crash(&self) {
        let lease = self.queue.lease(Lane::Local).await.unwrap();
        let _ = message::attempt(&self.worker, &lease.envelope, &lease.body, lease.attempts).await;
    }

    pub(super) fn count(&self, name: &str, outcome: &str) -> u64 {
        let families = self.worker.deps.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let fits = |metric: &&prometheus::proto::Metric| {
            outcome.is_empty() || metric.get_label().iter().any(|label| label.value() == outcome)
        };
        family.get_metric().iter().filter(fits).map(|metric| metric.get_counter().get_value() as u64).sum()
    }

    pub(super) fn outcomes(&self, outcome: &str) -> u64 {
        self.count("sluice_delivery_recipients_total", outcome)
    }
}

pub(super) fn recipients(listed: &Listed) -> Vec<String> {
    listed.envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect()
}

#[tokio::test]
async fn reports_to_a_sender_elsewhere_and_never_to_nobody() {
    let setup = Setup::new(&[], config());
    setup.publish(1, "a@elsewhere.test", &["x", "y"]).await;
    setup.publish(2, "", &["x"]).await;
    let listed = setup.settled().await;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].lane, recipients(&listed[0])), (Lane::Remote, vec!["a@elsewhere.test".to_owned()]));
    assert_eq!(listed[0].envelope.reverse_path, envelope::ReversePath::Null);
    let lease = setup.queue.lease(Lane::Remote).await.unwrap();
    let text = String::from_utf8(lease.body.to_vec()).unwrap();
    for line in
        ["Final-Recipient: rfc822; x@example.test", "Final-Recipient: rfc822; y@example.test", "5.1.1"]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!((setup.outcomes("bounced"), setup.outcomes("discarded"), setup.outcomes("")), (2, 1, 3));
}

#[tokio::test]
async fn a_report_that_can_not_be_delivered_ends_there() {
    let setup = Setup::new(&[], config());
    setup.publish(1, "nobody", &["x"]).await;
    let listed = setup.settled().await;
    assert!(listed.is_empty(), "{listed:?}");
    assert_eq!((setup.outcomes("bounced"), setup.outcomes("discarded")), (1, 1));
}

#[tokio::test]
async fn only_who_must_wait_waits() {
    let setup = Setup::new(
        &[("team", "down x"), ("down", "?")],
        Config { retry_after: vec![Span::hours(1)], ..config() },
    );
    setup.publish(1, "a@elsewhere.test", &["y", "team"]).await;
    let listed = setup.settled().await;
    let waiting = listed.iter().find(|listed| listed.lane == Lane::Local).unwrap();
    assert_eq!((recipients(waiting), waiting.attempts), (vec!["down@example.test".to_owned()], 1));
    assert_eq!(waiting.envelope.recipients[0].expanded_from.len(), 1);
    assert!(waiting.last_error.contains("it is down"), "{}", waiting.last_error);
    assert!(waiting.next_attempt.since(waiting.envelope.received_at) >= Duration::from_secs(3600));
    assert_eq!((setup.outcomes("bounced"), setup.outcomes("deferred")), (2, 1));
}

#[tokio::test]
async fn a_directory_that_comes_back_ends_the_wait() {
    let setup = Setup::new(&[("ann", "?")], config());
    setup.publish(1, "", &["ann"]).await;
    let running = setup.start();
    setup.until(|listed| listed.first().is_some_and(|listed| listed.attempts >= 3)).await;
    setup.directory.set("ann", "missing");
    setup.until(<[Listed]>::is_empty).await;
    setup.drain.begin();
    running.await.unwrap();
    assert_eq!(setup.outcomes("discarded"), 1);
}

#[tokio::test]
async fn what_waits_too_long_is_reported() {
    let setup = Setup::new(&[("ann", "?")], Config { age_max: Span::millis(0), ..config() });
    setup.publish(1, "a@elsewhere.test", &["ann"]).await;
    setup.settled().await;
    let lease = setup.queue.lease(Lane::Remote).await.unwrap();
    assert!(String::from_utf8(lease.body.to_vec()).unwrap().contains("Status: 4.4.7\r\n"));
    assert_eq!((setup.outcomes("bounced"), setup.outcomes("deferred")), (1, 0));
}

#[tokio::test]
async fn a_message_that_panics_is_put_aside_and_others_go_on() {
    let setup = Setup::new(&[("bad", "!")], Config { panics_before_dead: 3, ..config() });
    setup.publish(1, "", &["bad"]).await;
    let running = setup.start();
    let listed = setup.until(|listed| listed.iter().any(|listed| listed.lane == Lane::Dead)).await;
    assert_eq!(recipients(&listed[0]), ["bad@example.test"]);
    assert!(listed[0].last_error.contains("3 tries"), "{}", listed[0].last_error);
    setup.publish(2, "", &["unknown"]).await;
    setup.until(|listed| listed.len() == 1).await;
    setup.drain.begin();
    running.await.unwrap();
    assert_eq!(setup.count("sluice_delivery_panics_total", ""), 3);
    assert_eq!((setup.count("sluice_delivery_dead_total", ""), setup.outcomes("discarded")), (1, 1));
}

#[tokio::test]
async fn a_crash_before_the_ack_makes_no_second_report() {
    let setup = Setup::new(&[], config());
    setup.publish(1, "a@elsewhere.test", &["x"]).await;
    setup.try_and_crash().await;
    setup.try_and_crash().await;
    let listed = setup.settled().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].lane, Lane::Remote);
    assert_eq!(setup.count("sluice_delivery_reports_total", ""), 3);
}

#[tokio::test]
async fn a_report_that_can_not_be_queued_keeps_its_recipients() {
    let setup = Setup::with_queue(&[], config(), MemoryQueue::bounded(1));
    setup.publish(1, "a@elsewhere.test", &["x"]).await;
    let listed = setup.settled().await;
    assert_eq!((listed[0].envelope.id, listed[0].attempts), (id(1), 1));
    assert!(listed[0].last_error.contains("could not be queued"), "{}", listed[0].last_error);
    assert_eq!((setup.outcomes("bounced"), setup.outcomes("deferred")), (0, 1));
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_takes_no_more() {
    let config = Config {
        concurrency: 1,
        retry_after: vec![Span::hours(1)],
        directory_max: Span::millis(200),
        ..config()
    };
    let setup = Setup::new(&[("slow", "…")], config);
    setup.publish(1, "", &["slow"]).await;
    setup.publish(2, "", &["slow"]).await;
    let running = setup.start();
    setup.until(|listed| listed.iter().any(|listed| listed.state == QueuedState::Leased)).await;
    assert_eq!(setup.worker.metrics.in_flight.get(), 1);
    setup.drain.begin();
    running.await.unwrap();
    let states: Vec<_> =
        setup.until(|_| true).await.iter().map(|listed| (listed.state, listed.attempts)).collect();
    assert_eq!(states, [(QueuedState::Deferred, 1), (QueuedState::Ready, 0)]);
    assert_eq!(setup.worker.metrics.in_flight.get(), 0);
}

#[tokio::test]
async fn a_closed_queue_ends_the_slots() {
    let setup = Setup::new(&[], config());
    let running = setup.start();
    setup.queue.close().await;
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
}
