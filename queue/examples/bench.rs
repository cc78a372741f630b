//! Measures the embedded queue:
//!
//! ```text
//! cargo run --release -p queue --example bench -- rates DIRECTORY [SECONDS] [RUNS]      beside a bare group-commit log, in turns
//! cargo run --release -p queue --example bench -- backlog DIRECTORY [MESSAGES] [OCTETS] memory, acceptance and restart with many waiting
//! ```

#![allow(clippy::print_stdout, reason = "it reports to whoever started it")]

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use envelope::{Entrance, Envelope, MessageId, Origin, Recipient, ReversePath};
use queue::embedded::EmbeddedQueue;
use queue::{Config, Lane, Queue};
use tokio::sync::{mpsc, oneshot};

const BODY: usize = 5 << 10;
/// Different senders of a backlog.
const SENDERS: u64 = 50_000;
const PUBLISHERS: usize = 64;
const WORKERS: usize = 32;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map(String::as_str);
    let directory = PathBuf::from(argument(1).unwrap_or("queue-bench"));
    let number = |index, default| argument(index).map_or(Ok(default), str::parse::<u64>);
    if directory.exists() {
        return Err(format!("{} exists: name a directory that does not", directory.display()).into());
    }
    std::fs::create_dir_all(&directory)?;
    match argument(0) {
        Some("rates") => rates(&directory, Duration::from_secs(number(2, 3)?), number(3, 5)?).await?,
        Some("backlog") => backlog(&directory, number(2, 1_000_000)?, number(3, 1024)? as usize).await?,
        _ => return Err("say `rates` or `backlog`".into()),
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

async fn rates(directory: &Path, length: Duration, runs: u64) -> Outcome<()> {
    println!("{PUBLISHERS} publishers, {WORKERS} workers, bodies of {BODY} octets, {length:?} each");
    let (mut bare, mut published, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut beside, mut acked, mut drained, mut loops) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let seconds = length.as_secs_f64();
    for run in 0..runs {
        let place = directory.join(run.to_string());
        std::fs::create_dir(&place)?;
        loops.push(bare_loop(&place, length)? as f64 / seconds);
        let log = bare_log(&place, length).await? as f64 / seconds;
        let queue = accept(&place.join("accept"), length).await? as f64 / seconds;
        bare.push(log);
        published.push(queue);
        ratios.push(100.0 * queue / log);
        let (one, other) = end_to_end(&place.join("both"), length).await?;
        beside.push(one as f64 / seconds);
        acked.push(other as f64 / seconds);
        drained.push(drain(&place.join("accept")).await?);
        std::fs::remove_dir_all(&place)?;
    }
    report("one thread: 64 records, one write, one sync", &mut loops);
    report("bare group-commit log", &mut bare);
    report("publish", &mut published);
    report("  of the bare log, %", &mut ratios);
    report("publish beside lease and ack", &mut beside);
    report("lease and ack beside publish", &mut acked);
    report("lease and ack of a backlog, with the restart", &mut drained);
    Ok(())
}

/// Median, smallest and largest.
fn report(what: &str, figures: &mut [f64]) {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or_default();
    println!(
        "{what:45} {:>9.0} ({:.0} to {:.0})",
        at(figures.len() / 2),
        at(0),
        at(figures.len().saturating_sub(1))
    );
}

/// What the disk gives one thread: one write of so many records and one fdatasync, again and again.
fn bare_loop(directory: &Path, length: Duration) -> Outcome<u64> {
    let mut file = std::fs::File::create(directory.join("loop"))?;
    let batch = vec![7; PUBLISHERS * (BODY + 400)];
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < length {
        file.write_all(&batch)?;
        file.sync_data()?;
        count += PUBLISHERS as u64;
    }
    Ok(count)
}

/// The least that a group-commit log does: publishers hand records to a thread, which appends what has come, syncs, and answers.
async fn bare_log(directory: &Path, length: Duration) -> Outcome<u64> {
    let mut file = std::fs::File::create(directory.join("bare"))?;
    let (sender, mut records) = mpsc::channel::<(Vec<u8>, oneshot::Sender<()>)>(1024);
    let thread = std::thread::spawn(move || -> std::io::Result<()> {
        let mut batch = Vec::new();
        while let Some(first) = records.blocking_recv() {
            let mut waiting = vec![first];
            while let Ok(next) = records.try_recv() {
                waiting.push(next);
            }
            batch.clear();
            waiting.iter().for_each(|(record, _)| batch.extend_from_slice(record));
            file.write_all(&batch)?;
            file.sync_data()?;
            waiting.into_iter().for_each(|(_, answer)| {
                let _ = answer.send(());
            });
        }
        Ok(())
    });
    let started = Instant::now();
    let mut publishers = tokio::task::JoinSet::new();
    for _ in 0..PUBLISHERS {
        let sender = sender.clone();
        publishers.spawn(async move {
            let mut count = 0;
            while started.elapsed() < length {
                let (answer, answered) = oneshot::channel();
                sender.send((vec![b'x'; BODY + 400], answer)).await?;
                answered.await?;
                count += 1;
            }
            Outcome::Ok(count)
        });
    }
    drop(sender);
    let mut total = 0;
    while let Some(count) = publishers.join_next().await {
        total += count??;
    }
    thread.join().map_err(|_| "the writing thread has panicked")??;
    Ok(total)
}

fn open(directory: &Path) -> Outcome<Arc<EmbeddedQueue>> {
    let config = Config { dir: directory.to_owned(), ..Config::default() };
    Ok(Arc::new(EmbeddedQueue::open(&config, "bench", &prometheus::Registry::new())?))
}

fn message(number: u64) -> Outcome<Envelope> {
    let now = std::time::SystemTime::now().into();
    Ok(Envelope {
        id: MessageId::from_bytes(u128::from(number + 1).to_be_bytes()),
        received_at: now,
        reverse_path: ReversePath::Address(format!("somebody{}@example.org", number % SENDERS).parse()?),
        recipients: vec![Recipient::from("anybody@example.test".parse::<envelope::Address>()?)],
        origin: Origin {
            entrance: Entrance::Mx,
            peer: Some([192, 0, 2, 1].into()),
            helo: "mail.example.org".to_owned(),
            authenticated: None,
            tls: true,
        },
        size: BODY as u64,
        smtp_utf8: false,
        priority: envelope::Priority::Interactive,
        envelope_id: None,
        returned: None,
        require_tls: false,
        list: None,
        filtered: None,
    })
}

/// All publishers until the time is up, each with one message on its way.
async fn publish(queue: &Arc<EmbeddedQueue>, length: Duration) -> Outcome<u64> {
    let numbers = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut publishers = tokio::task::JoinSet::new();
    for _ in 0..PUBLISHERS {
        let (queue, numbers) = (Arc::clone(queue), Arc::clone(&numbers));
        publishers.spawn(async move {
            let text = vec![b'x'; BODY];
            let mut count = 0;
            while started.elapsed() < length {
                let mut body = queue.body_writer();
                body.write(&text).await?;
                let envelope = message(numbers.fetch_add(1, Ordering::Relaxed))?;
                queue.publish(Lane::Local, envelope, body.finish().await?).await?;
                count += 1;
            }
            Outcome::Ok(count)
        });
    }
    let mut total = 0;
    while let Some(count) = publishers.join_next().await {
        total += count??;
    }
    Ok(total)
}

async fn accept(directory: &Path, length: Duration) -> Outcome<u64> {
    let queue = open(directory)?;
    let count = publish(&queue, length).await?;
    queue.close().await;
    Ok(count)
}

fn work(queue: &Arc<EmbeddedQueue>, acked: &Arc<AtomicU64>) -> tokio::task::JoinSet<()> {
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        let (queue, acked) = (Arc::clone(queue), Arc::clone(acked));
        workers.spawn(async move {
            while let Ok(lease) = queue.lease(Lane::Local).await {
                if lease.ack().await.is_ok() {
                    acked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    workers
}

async fn end_to_end(directory: &Path, length: Duration) -> Outcome<(u64, u64)> {
    let queue = open(directory)?;
    let acked = Arc::new(AtomicU64::new(0));
    let mut workers = work(&queue, &acked);
    let published = publish(&queue, length).await?;
    let acked = acked.load(Ordering::Relaxed);
    queue.close().await;
    while workers.join_next().await.is_some() {}
    Ok((published, acked))
}

/// Opens a queue with a backlog and empties it; messages a second.
async fn drain(directory: &Path) -> Outcome<f64> {
    let queue = open(directory)?;
    let waiting: u64 = queue.stats().await?.iter().map(|stats| stats.ready).sum();
    let acked = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut workers = work(&queue, &acked);
    while acked.load(Ordering::Relaxed) < waiting {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    queue.close().await;
    while workers.join_next().await.is_some() {}
    Ok(waiting as f64 / seconds)
}

/// Many messages that wait: what they cost, whether they slow down who comes next, and how long a restart takes.
async fn backlog(directory: &Path, messages: u64, bodies: usize) -> Outcome<()> {
    println!("{messages} messages of {SENDERS} senders, bodies of {bodies} octets, {PUBLISHERS} publishers");
    let queue = open(directory)?;
    // It works the queue from here on, and leases nothing.
    let idle = tokio::time::timeout(Duration::from_millis(200), queue.lease(Lane::Remote)).await;
    if idle.is_ok() {
        return Err("something waits in an empty queue".into());
    }
    let before = resident()?;
    let mut next = 0;
    let slice = (messages / 10).max(1);
    while next < messages {
        let count = slice.min(messages - next);
        let started = Instant::now();
        publish_so_many(&queue, next, count, bodies).await?;
        next += count;
        let rate = count as f64 / started.elapsed().as_secs_f64();
        let memory = (resident()?.saturating_sub(before)) as f64 / 1e6;
        println!("{next:>9} wait: {rate:>8.0} a second, {memory:>6.1} MB more than none");
    }
    queue.close().await;
    drop(queue);
    let (started, before) = (Instant::now(), resident()?);
    let queue = open(directory)?;
    publish_so_many(&queue, next, 1, bodies).await?;
    println!("after the restart: accepts after {:?}", started.elapsed());
    let lease = queue.lease(Lane::Local).await?;
    println!("after the restart: the first is leased after {:?}", started.elapsed());
    while queue.stats().await?.iter().map(|lane| lane.ready + lane.leased).sum::<u64>() <= messages {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let known = started.elapsed();
    let memory = (resident()?.saturating_sub(before)) as f64 / 1e6;
    println!("after the restart: all are known after {known:?}, {memory:.1} MB more");
    drop(lease);
    queue.close().await;
    Ok(())
}

async fn publish_so_many(queue: &Arc<EmbeddedQueue>, from: u64, count: u64, bodies: usize) -> Outcome<()> {
    let numbers = Arc::new(AtomicU64::new(from));
    let mut publishers = tokio::task::JoinSet::new();
    for _ in 0..PUBLISHERS {
        let (queue, numbers) = (Arc::clone(queue), Arc::clone(&numbers));
        publishers.spawn(async move {
            let text = vec![b'x'; bodies];
            loop {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if number >= from + count {
                    return Outcome::Ok(());
                }
                let mut body = queue.body_writer();
                body.write(&text).await?;
                queue.publish(Lane::Local, message(number)?, body.finish().await?).await?;
            }
        });
    }
    while let Some(published) = publishers.join_next().await {
        published??;
    }
    Ok(())
}

/// Octets of this process in memory, files that it maps left out.
fn resident() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    let number = line.split_whitespace().next().ok_or("no number")?;
    Ok(number.parse::<u64>()? * 1024)
}
