//! Torn tails, flipped bits and lost files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::EmbeddedQueue;
use super::super::inspect::inspect_in;
use super::config;
use crate::files::Files;
use crate::files::sim::{Disk, Plan};
use crate::suite::{self, id, octets, soon};
use crate::{Lane, Queue};

const DIRECTORY: &str = "/queue";

fn open(disk: &Disk, writer: &str) -> EmbeddedQueue {
    let files = Arc::new(disk.process(Plan::Nothing));
    let registry = prometheus::Registry::new();
    EmbeddedQueue::open_in(files, &config(Path::new(DIRECTORY)), writer, &registry).unwrap()
}

/// A queue that was closed in order with messages of 100 octets, and the file that holds them.
async fn written(numbers: std::ops::Range<u64>) -> (Disk, PathBuf) {
    let disk = Disk::new(7);
    let queue = open(&disk, "up");
    for number in numbers {
        suite::publish(&queue, number, 100).await.unwrap();
    }
    queue.close().await;
    let path = disk.files("/log/up/").into_iter().find(|path| path.to_string_lossy().ends_with(".seg"));
    (disk, path.unwrap())
}

/// The numbers of the messages that are there, each whole, and how many gaps were found.
fn readable(disk: &Disk) -> (Vec<u64>, u64) {
    let files: Arc<dyn Files> = Arc::new(disk.process(Plan::Nothing));
    let snapshot = inspect_in(&files, Path::new(DIRECTORY)).unwrap();
    let listed = snapshot.list(&crate::ListFilter::default(), usize::MAX);
    let numbers = listed.iter().map(|listed| {
        let number = u64::from(listed.envelope.id.to_bytes()[15]);
        assert_eq!(listed.envelope, suite::envelope(number, 100));
        assert_eq!(snapshot.body(id(number)).unwrap().unwrap(), octets(number, 100));
        number
    });
    (numbers.collect(), snapshot.damaged())
}

/// Where the records of messages begin, found by their ids.
fn starts(content: &[u8], numbers: std::ops::Range<u64>) -> Vec<usize> {
    let position = |number| {
        let id = id(number).to_bytes();
        content[4096..].windows(16).position(|window| window == id).unwrap() + 4096 - 24
    };
    numbers.map(position).collect()
}

#[tokio::test]
async fn a_tail_torn_at_every_octet_costs_that_record_only() {
    let (disk, path) = written(1..4).await;
    let content = disk.content(&path);
    let last = starts(&content, 1..4)[2];
    let size = u32::from_le_bytes(content[last + 12..last + 16].try_into().unwrap()) as usize;
    for cut in last..last + size {
        disk.corrupt(&path, |octets| octets.truncate(cut));
        assert_eq!(readable(&disk).0, [1, 2], "cut at {cut}");
        disk.corrupt(&path, |octets| {
            octets.resize(content.len() + 5000, 0);
        });
        assert_eq!(readable(&disk).0, [1, 2], "zeros from {cut}");
        disk.corrupt(&path, |octets| octets.clone_from(&content));
    }
    assert_eq!(readable(&disk), (vec![1, 2, 3], 0));
}

#[tokio::test]
async fn a_flipped_bit_costs_that_record_only_and_is_counted() {
    let (disk, path) = written(1..4).await;
    let content = disk.content(&path);
    let starts = starts(&content, 1..4);
    for (index, start) in starts.iter().enumerate() {
        let size = u32::from_le_bytes(content[start + 12..start + 16].try_into().unwrap()) as usize;
        let lost = index as u64 + 1;
        let rest: Vec<u64> = (1..4).filter(|number| *number != lost).collect();
        for position in *start..start + size {
            let bit = position % 8;
            disk.corrupt(&path, |octets| octets[position] ^= 1 << bit);
            assert_eq!(readable(&disk), (rest.clone(), 1), "octet {position} of record {lost}");
            disk.corrupt(&path, |octets| octets[position] ^= 1 << bit);
        }
    }
}

#[tokio::test]
async fn a_damaged_header_costs_nothing() {
    let (disk, path) = written(1..4).await;
    disk.corrupt(&path, |octets| octets[20] ^= 1);
    assert_eq!(readable(&disk), (vec![1, 2, 3], 0));
    disk.corrupt(&path, |octets| octets[2048 + 20] ^= 1);
    assert_eq!(readable(&disk), (vec![1, 2, 3], 0), "the salt is in the records too");
}

#[tokio::test]
async fn text_that_looks_like_a_record_is_never_one() {
    let disk = Disk::new(8);
    let queue = open(&disk, "up");
    // A body that holds whole records of another segment, as somebody might send who has seen the disk.
    let (other, other_path) = written(50..53).await;
    let forged = bytes::Bytes::from(other.content(&other_path)[4096..].to_vec());
    let envelope = suite::envelope(1, forged.len());
    queue.publish(Lane::Local, envelope, forged.into()).await.unwrap();
    suite::publish(&queue, 2, 100).await.unwrap();
    queue.close().await;
    let path = disk.files(".seg").remove(0);
    let start = starts(&disk.content(&path), 1..2)[0];
    disk.corrupt(&path, |octets| octets[start + 9] ^= 1);
    assert_eq!(readable(&disk), (vec![2], 1));
}

#[tokio::test]
async fn a_message_that_goes_bad_while_it_waits_becomes_a_dead_letter() {
    let (disk, path) = written(1..3).await;
    let queue = open(&disk, "up");
    let first = soon(queue.lease(Lane::Local)).await.unwrap();
    assert_eq!(first.envelope.id, id(1));
    let start = starts(&disk.content(&path), 1..3)[1];
    disk.corrupt(&path, |octets| octets[start + 100] ^= 1);
    drop(first);
    let first = soon(queue.lease(Lane::Local)).await.unwrap();
    first.ack().await.unwrap();
    tokio::select! {
        lease = queue.lease(Lane::Local) => panic!("{lease:?}"),
        () = async {
            while queue.consumer.lock().state.schedule.by_age(Some(Lane::Dead)).next().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        } => {}
    }
    queue.close().await;
}

#[tokio::test]
async fn a_damaged_consumer_log_brings_messages_again_but_loses_none() {
    let (disk, _) = written(1..4).await;
    let queue = open(&disk, "up");
    for _ in 1..3 {
        soon(queue.lease(Lane::Local)).await.unwrap().ack().await.unwrap();
    }
    queue.close().await;
    assert_eq!(readable(&disk).0, [3]);
    let log = disk.files("/consumer/").remove(0);
    let size = disk.content(&log).len();
    disk.corrupt(&log, |octets| octets[size - 2 * 64 + 40] ^= 1);
    assert_eq!(readable(&disk), (vec![1, 3], 1));
    disk.corrupt(&log, |octets| octets.truncate(size - 1));
    assert_eq!(readable(&disk), (vec![1, 2, 3], 0), "a torn end is no damage");
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let disk = Disk::new(9);
    let files = Arc::new(disk.process(Plan::Nothing));
    let registry = prometheus::Registry::new();
    let config = crate::Config {
        free_space_min: units::ByteSize::mib(1),
        queued_bytes_max: units::ByteSize::kib(400),
        ..config(Path::new(DIRECTORY))
    };
    let queue = EmbeddedQueue::open_in(files, &config, "up", &registry).unwrap();
    suite::publish(&queue, 1, 100).await.unwrap();
    disk.set_free_space(1 << 20);
    let refused = suite::publish(&queue, 2, 100).await;
    assert!(matches!(&refused, Err(crate::PublishError::Full(_))), "{refused:?}");
    let large = suite::body(&queue, 3, 300_000).await;
    assert_eq!(large.err().map(|error| error.kind()), None, "the watermark itself is free");
    disk.set_free_space((1 << 20) - 1);
    let large = suite::body(&queue, 3, 300_000).await;
    assert_eq!(large.err().map(|error| error.kind()), Some(std::io::ErrorKind::StorageFull));
    disk.set_free_space(1 << 40);
    suite::publish(&queue, 2, 100).await.unwrap();
    let mut accepted = 2;
    let refused = loop {
        match suite::publish(&queue, accepted + 1, 10_000).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 200, "no bound");
    };
    assert!(matches!(&refused, crate::PublishError::Full(_)), "{refused:?}");
    assert!(accepted > 10);
    for _ in 0..accepted {
        soon(queue.lease(Lane::Local)).await.unwrap().ack().await.unwrap();
    }
    soon(async {
        while suite::publish(&queue, 200, 10_000).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    queue.close().await;
    assert_eq!(disk.files(".tmp"), Vec::<PathBuf>::new());
}

/// As a disk leaves it that lied about its syncs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_of_nothing_but_zeros_holds_up_nobody() {
    let (disk, path) = written(1..4).await;
    disk.corrupt(&path, |content| *content = vec![0; 16 << 20]);
    let queue = open(&disk, "up");
    suite::publish(&queue, 9, 100).await.unwrap();
    assert_eq!(soon(queue.lease(Lane::Local)).await.unwrap().envelope.id, id(9));
}
