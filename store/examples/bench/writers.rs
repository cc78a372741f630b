//! 16 writers, each with a mailbox of its own: durable messages a second.

use std::fs::{File, create_dir_all};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use store::{Delivery, Filing, Flags, Patience, Store};

use crate::{DATE, Outcome, content, deliver, inbox, message_id, open, row};

const WRITERS: usize = 16;
const LENGTH: Duration = Duration::from_secs(4);

/// As the worker's `batches_at_once`.
const BATCHES: usize = 4;
/// As the worker's `batch_max`.
const BATCH: usize = 32;

pub(crate) fn run(directory: &Path, runs: usize) -> Outcome<()> {
    let (mut plain, mut ours, mut batches, mut many) = (vec![], vec![], vec![], vec![]);
    for run in 0..runs {
        // In turns: a disk is not the same after others have written to it.
        for turn in 0..4 {
            match (run + turn) % 4 {
                0 => {
                    let root = directory.join(format!("plain{run}"));
                    plain.push(rate(WRITERS, |writer, until| {
                        plain_writer(&root.join(writer.to_string()), until)
                    })?);
                }
                1 => ours.push(single_writers(&directory.join(format!("store{run}")))?),
                2 => batches.push(batch_writers(&directory.join(format!("four{run}")), BATCHES)?),
                _ => many.push(batch_writers(&directory.join(format!("sixteen{run}")), WRITERS)?),
            }
        }
    }
    row("5 KB messages a second, 16 plain Maildir writers", &mut plain, "/s");
    row("5 KB messages a second, 16 threads of the store, one message at a time", &mut ours, "/s");
    row("5 KB messages a second, 16 threads of the store with batches of 32", &mut many, "/s");
    row("5 KB messages a second, 4 threads of the store with batches of 32, as a worker", &mut batches, "/s");
    Ok(())
}

fn single_writers(root: &Path) -> Outcome<f64> {
    let store = open(root)?;
    prepare(&store, WRITERS)?;
    let rate = rate(WRITERS, |writer, until| {
        let mailbox = inbox(&store, writer)?;
        let mut count = 0;
        while Instant::now() < until {
            count += 1;
            deliver(&mailbox, (writer as u64) << 32 | count)?;
        }
        Ok(count)
    })?;
    store.close();
    Ok(rate)
}

fn batch_writers(root: &Path, threads: usize) -> Outcome<f64> {
    let store = open(root)?;
    prepare(&store, threads * BATCH)?;
    let rate = rate(threads, |writer, until| batch_writer(&store, writer, until))?;
    store.close();
    Ok(rate)
}

/// Nobody's first message is measured: it makes the account.
fn prepare(store: &Store, accounts: usize) -> Outcome<()> {
    (0..accounts).try_for_each(|number| deliver(&*inbox(store, number)?, u64::MAX))
}

/// As a worker does: each message of a batch is for another mailbox.
fn batch_writer(store: &Store, writer: usize, until: Instant) -> Outcome<u64> {
    let mailboxes = (0..BATCH).map(|number| inbox(store, writer * BATCH + number));
    let mailboxes = mailboxes.collect::<Outcome<Vec<_>>>()?;
    let mut count = 0;
    while Instant::now() < until {
        let numbers = (0..BATCH as u64).map(|number| (writer as u64) << 32 | count << 8 | number);
        let contents: Vec<_> = numbers.map(|number| (message_id(number), content(number))).collect();
        let mut filings = Vec::with_capacity(BATCH);
        for ((message_id, content), mailbox) in contents.iter().zip(&mailboxes) {
            let (message_id, flags) = (*message_id, Flags::default());
            let delivery = Delivery { message_id, content, received_at: DATE, flags };
            filings.push(Filing { delivery, mailboxes: vec![mailbox.clone()] });
        }
        for answer in store.deliver_batch(&filings, Patience::Little).into_iter().flatten() {
            answer?;
        }
        count += 1;
    }
    Ok(count * BATCH as u64)
}

fn rate(threads: usize, work: impl Fn(usize, Instant) -> Outcome<u64> + Sync) -> Outcome<f64> {
    let begun = Instant::now();
    let work = &work;
    let counts: Vec<Outcome<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..threads).map(|writer| scope.spawn(move || work(writer, begun + LENGTH))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a panic".into()))).collect()
    });
    let mut total = 0;
    for count in counts {
        total += count?;
    }
    Ok(total as f64 / begun.elapsed().as_secs_f64())
}

/// write, fsync, rename, fsync of the directory.
fn plain_writer(maildir: &Path, until: Instant) -> Outcome<u64> {
    for place in ["tmp", "new", "cur"] {
        create_dir_all(maildir.join(place))?;
    }
    let mut count = 0;
    while Instant::now() < until {
        count += 1;
        let name = format!("1700000000.M{count}P{}.example", std::process::id());
        let staged = maildir.join("tmp").join(&name);
        let mut file = File::create_new(&staged)?;
        file.write_all(&content(count))?;
        file.sync_data()?;
        std::fs::rename(&staged, maildir.join("new").join(&name))?;
        File::open(maildir.join("new"))?.sync_all()?;
    }
    Ok(count)
}
