//! 16 writers, each with a mailbox of its own: durable messages a second.

use std::fs::{File, create_dir_all};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Outcome, content, deliver, inbox, open, row};

const WRITERS: usize = 16;
const LENGTH: Duration = Duration::from_secs(4);

pub(crate) fn run(directory: &Path, runs: usize) -> Outcome<()> {
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let root = directory.join(format!("plain{run}"));
        plain.push(rate(|writer, until| plain_writer(&root.join(writer.to_string()), until))?);
        let store = open(&directory.join(format!("store{run}")))?;
        ours.push(rate(|writer, until| {
            let mailbox = inbox(&store, writer)?;
            let mut count = 0;
            while Instant::now() < until {
                count += 1;
                deliver(&mailbox, (writer as u64) << 32 | count)?;
            }
            Ok(count)
        })?);
        store.close();
    }
    row("5 KB messages a second, 16 plain Maildir writers", &mut plain, "/s");
    row("5 KB messages a second, 16 threads of the store", &mut ours, "/s");
    Ok(())
}

fn rate(work: impl Fn(usize, Instant) -> Outcome<u64> + Sync) -> Outcome<f64> {
    let begun = Instant::now();
    let work = &work;
    let counts: Vec<Outcome<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || work(writer, begun + LENGTH))).collect();
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
