//! Fail at the n-th file operation; die at the n-th, with and without the power; then look what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envelope::MessageId;
use units::{ByteSize, Span};

use super::super::EmbeddedQueue;
use super::config;
use crate::files::sim::{Disk, Plan, SimFiles};
use crate::suite::{self, id, octets, soon};
use crate::{Config, Lane, ListFilter, Order, Queue, QueuedState};

const DIRECTORY: &str = "/queue";

fn small() -> Config {
    Config {
        segment_size: ByteSize::kib(12),
        inline_max: ByteSize::bytes(1500),
        order_wait_max: Span::secs(2),
        ..config(Path::new(DIRECTORY))
    }
}

pub(super) fn open(files: &SimFiles, writer: &str) -> Option<Arc<EmbeddedQueue>> {
    let registry = prometheus::Registry::new();
    EmbeddedQueue::open_in(Arc::new(files.clone()), &small(), writer, &registry).ok().map(Arc::new)
}

/// Every fifth message is too large for the log.
fn size(number: u64) -> usize {
    if number.is_multiple_of(5) { 3000 } else { 200 + number as usize * 40 }
}

/// What publishers and workers were told.
#[derive(Debug, Default)]
struct Ledger {
    tried: BTreeSet<MessageId>,
    accepted: BTreeSet<MessageId>,
    /// A worker asked for it to leave; whether it was told that it has.
    acked: BTreeMap<MessageId, bool>,
    buried: BTreeSet<MessageId>,
    /// An operator was told that it is kept back.
    held: BTreeSet<MessageId>,
}

async fn publish_all(queue: &Arc<EmbeddedQueue>, ledger: &mut Ledger, numbers: std::ops::Range<u64>) {
    let mut publishers = tokio::task::JoinSet::new();
    for number in numbers {
        ledger.tried.insert(id(number));
        let queue = Arc::clone(queue);
        publishers.spawn(async move { (number, suite::publish(&*queue, number, size(number)).await) });
    }
    while let Some(outcome) = soon(publishers.join_next()).await {
        if let (number, Ok(())) = outcome.unwrap() {
            ledger.accepted.insert(id(number));
        }
    }
}

/// Takes messages while there are any; what becomes of each depends on its number.
async fn work(queue: &EmbeddedQueue, files: &SimFiles, ledger: &mut Ledger, count: usize) {
    for _ in 0..count {
        let Some(lease) = next(queue, files, Lane::Local).await else { return };
        let message = lease.envelope.id;
        match (message.to_bytes()[15] % 4, lease.attempts) {
            (0, 0) => {
                let rest = lease.envelope.recipients[..1].to_vec();
                let _ = soon(lease.retry(Duration::ZERO, rest, "busy".to_owned())).await;
            }
            (1, 0) => drop(lease),
            (2, 0) => {
                if soon(lease.dead("broken".to_owned())).await.is_ok() {
                    ledger.buried.insert(message);
                }
            }
            _ => {
                let told = soon(lease.ack()).await.is_ok();
                *ledger.acked.entry(message).or_default() |= told;
            }
        }
    }
}

/// The next message, or none when all has been read and nothing is there.
async fn next(queue: &EmbeddedQueue, files: &SimFiles, lane: Lane) -> Option<crate::Lease> {
    let none_left = async {
        loop {
            let idle = {
                let inner = queue.consumer.lock();
                inner.complete && inner.state.schedule.by_age(Some(lane)).next().is_none()
            };
            if idle || files.is_dead() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        lease = queue.lease(lane) => lease.ok(),
        () = none_left => None,
        () = tokio::time::sleep(Duration::from_secs(5)) => panic!("{:#?}", queue.consumer.lock().state.schedule.by_age(None).collect::<Vec<_>>()),
    }
}

/// An operator keeps one message back and takes another out.
async fn operate(queue: &EmbeddedQueue, files: &SimFiles, ledger: &mut Ledger, hold: u64, delete: u64) {
    if files.is_dead() {
        return;
    }
    let one = |number| ListFilter { ids: vec![id(number)], ..ListFilter::default() };
    if let Ok(ordered) = soon(queue.order(&one(hold), Order::Hold)).await {
        ledger.held.extend(ordered.ids);
    }
    let told = soon(queue.order(&one(delete), Order::Delete)).await.is_ok_and(|ordered| ordered.done == 1);
    *ledger.acked.entry(id(delete)).or_default() |= told;
}

async fn day(files: &SimFiles, ledger: &mut Ledger) {
    let Some(queue) = open(files, "up") else { return };
    publish_all(&queue, ledger, 1..5).await;
    work(&queue, files, ledger, 3).await;
    publish_all(&queue, ledger, 5..12).await;
    work(&queue, files, ledger, 8).await;
    publish_all(&queue, ledger, 10..18).await;
    operate(&queue, files, ledger, 16, 17).await;
    work(&queue, files, ledger, 4).await;
    soon(queue.close()).await;
}

/// Starts again and takes everything out.
async fn check_recovery(disk: &Disk, ledger: &Ledger, what: &str) {
    let files = disk.process(Plan::Nothing);
    let queue = open(&files, "up").expect("opens again");
    let mut seen = BTreeSet::new();
    soon(async {
        while !queue.consumer.lock().complete {
            let _ = tokio::time::timeout(Duration::from_millis(1), queue.lease(Lane::Quarantine)).await;
        }
    })
    .await;
    for message in &ledger.held {
        let listed = queue.find(*message).await.unwrap().map(|listed| listed.state);
        assert_eq!(listed, Some(QueuedState::Held), "{what}: {message} was kept back");
    }
    soon(queue.order(&ListFilter::default(), Order::Release)).await.unwrap();
    for lane in [Lane::Local, Lane::Dead] {
        while let Some(lease) = next(&queue, &files, lane).await {
            let message = lease.envelope.id;
            let number = u64::from(message.to_bytes()[15]);
            assert!(lease.body == octets(number, size(number)), "{what}: body of {number}");
            assert!(seen.insert(message), "{what}: {number} twice");
            if lane == Lane::Local {
                assert!(!ledger.buried.contains(&message), "{what}: {number} was dead");
            }
            soon(lease.ack()).await.unwrap();
        }
    }
    for message in &ledger.accepted {
        if !ledger.acked.contains_key(message) {
            assert!(seen.contains(message), "{what}: {message} was accepted and is lost");
        }
    }
    for (message, told) in &ledger.acked {
        assert!(!(*told && seen.contains(message)), "{what}: {message} had left and came again");
    }
    assert!(seen.is_subset(&ledger.tried), "{what}: {seen:?}");
    soon(queue.close()).await;
    assert_eq!(disk.files("/spool/"), Vec::<std::path::PathBuf>::new(), "{what}: body files stay behind");
}

async fn run(seed: u64, plan: Plan, power: bool) -> bool {
    let what = format!("seed {seed}, {plan:?}, power cut: {power}");
    let disk = Disk::new(seed);
    let files = disk.process(plan);
    let mut ledger = Ledger::default();
    day(&files, &mut ledger).await;
    files.kill();
    if power {
        disk.cut_power();
    }
    check_recovery(&disk, &ledger, &what).await;
    files.has_struck()
}

async fn at_every_operation(seed: u64, power: bool, plan: impl Fn(u64) -> Plan) {
    let mut at = 1;
    while run(seed.wrapping_mul(0x9e37_79b9).wrapping_add(at), plan(at), power).await {
        at += 1;
        assert!(at < 2000, "the work never comes to its end");
    }
    assert!(at > 50, "only {at} operations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_fails_loses_nothing() {
    at_every_operation(1, false, Plan::FailAt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_fails_before_the_power_goes_loses_nothing() {
    at_every_operation(2, true, Plan::FailAt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_that_fail_in_a_row_lose_nothing() {
    at_every_operation(3, true, |at| Plan::FailFrom(at, 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_loses_nothing() {
    at_every_operation(4, false, Plan::DieAt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_nothing() {
    for seed in 5..8 {
        at_every_operation(seed, true, Plan::DieAt).await;
    }
}

/// The negative control: without syncs the same harness must find losses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncs_a_power_cut_loses_messages_and_is_found_out() {
    let mut lost = 0;
    for seed in 20..25 {
        let disk = Disk::new(seed);
        let files = disk.process(Plan::NeverSync);
        let mut ledger = Ledger::default();
        let queue = open(&files, "up").unwrap();
        publish_all(&queue, &mut ledger, 1..12).await;
        files.kill();
        disk.cut_power();
        let files: Arc<dyn crate::files::Files> = Arc::new(disk.process(Plan::Nothing));
        let found = match super::super::inspect::inspect_in(&files, Path::new(DIRECTORY)) {
            Ok(snapshot) => snapshot.list(&ListFilter::default(), usize::MAX).len(),
            Err(_) => 0,
        };
        lost += ledger.accepted.len().saturating_sub(found);
    }
    assert!(lost > 0, "the simulated disk keeps what was never synced");
}
