//! Measures the embedded queue against a bare group commit on the same disk:
//! `cargo run --release -p queue --example bench -- [DIRECTORY] [SECONDS]`.

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

const BODY: usize = 5 << 10;
const PUBLISHERS: usize = 50;
const WORKERS: usize = 32;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| "queue-bench".to_owned()));
    let length = Duration::from_secs(arguments.next().map_or(Ok(5), |seconds| seconds.parse())?);
    if directory.exists() {
        return Err(format!("{} exists: name a directory that does not", directory.display()).into());
    }
    std::fs::create_dir_all(&directory)?;
    println!("{PUBLISHERS} publishers, {WORKERS} workers, bodies of {BODY} octets, {length:?} each");
    report("bare group commit of 50", bare(&directory, length)?, length);
    report("publish", accept(&directory.join("accept"), length).await?, length);
    let (published, acked) = end_to_end(&directory.join("both"), length).await?;
    report("publish beside lease and ack", published, length);
    report("lease and ack beside publish", acked, length);
    report("lease and ack of a backlog", drain(&directory.join("accept")).await?, Duration::from_secs(1));
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

fn report(what: &str, count: u64, length: Duration) {
    println!("{what:32} {:>9.0} a second", count as f64 / length.as_secs_f64());
}

/// What the disk gives: one write of fifty records and one fdatasync, again and again.
fn bare(directory: &Path, length: Duration) -> Outcome<u64> {
    let mut file = std::fs::File::create(directory.join("bare"))?;
    let batch = vec![7; PUBLISHERS * (BODY + 400)];
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < length {
        file.write_all(&batch)?;
        file.sync_data()?;
        count += PUBLISHERS as u64;
    }
    Ok(count)
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
        reverse_path: ReversePath::Address("somebody@example.org".parse()?),
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
    })
}

/// Fifty publishers until the time is up, each with one message on its way.
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
async fn drain(directory: &Path) -> Outcome<u64> {
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
    println!("{waiting} messages, restart to empty in {seconds:.1} s");
    Ok((waiting as f64 / seconds) as u64)
}
