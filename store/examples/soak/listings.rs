//! One node renames as fast as it can, the other lists: no message may seem to be gone.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use store::{Delivery, Flags, MailboxName};

use crate::Outcome;
use crate::world::{self, ACCOUNTS};

const MESSAGES: usize = 300;

pub(crate) fn run(one: &Path, other: &Path, count: u64) -> Outcome<bool> {
    let roots = [one.join("mail"), other.join("mail")];
    world::init(&roots[0])?;
    let store = world::open(&roots[0])?;
    let mailbox = store.account(&world::account(ACCOUNTS[1])?)?.mailbox(&MailboxName::inbox())?;
    for number in 0..MESSAGES {
        let lid = format!("K-listing-{number}");
        let content = world::content(&lid);
        mailbox.deliver(&Delivery {
            message_id: world::message_id(&lid),
            content: &content,
            received_at: world::date(&lid),
            flags: Flags::default(),
        })?;
    }
    mailbox.recent(true)?;
    let there = mailbox.refresh()?.len();
    let directory = find_cur(&roots[1])?;
    let (over, renames) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let (mut wrong, mut listings) = (0, 0);
    std::thread::scope(|scope| -> Outcome<()> {
        let renamer = scope.spawn(|| rename_until(&directory, &over, &renames));
        while listings < count {
            listings += 1;
            wrong += u64::from(mailbox.refresh()?.len() != there);
        }
        over.store(true, Ordering::Relaxed);
        renamer.join().map_err(|_| "the renamer panicked")?
    })?;
    let rate = renames.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    wrong += u64::from(mailbox.refresh()?.len() != there);
    println!("listings {listings} under {rate:.0} renames a second, false expunges {wrong}");
    Ok(wrong == 0)
}

fn find_cur(root: &Path) -> Outcome<std::path::PathBuf> {
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for item in std::fs::read_dir(&directory)? {
            let path = item?.path();
            if path.ends_with(format!("{}/cur", ACCOUNTS[1])) {
                return Ok(path);
            }
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !["cur", "new", "tmp"].contains(&name) {
                waiting.push(path);
            }
        }
    }
    Err("no cur/ below the root".into())
}

/// As another mail program that changes flags: it knows nothing of our lock.
fn rename_until(directory: &Path, over: &AtomicBool, renames: &AtomicU64) -> Outcome<()> {
    let mut names = Vec::new();
    for item in std::fs::read_dir(directory)? {
        names.push(item?.file_name().into_string().map_err(|_| "a name that is not UTF-8")?);
    }
    let mut flagged = false;
    while !over.load(Ordering::Relaxed) {
        for name in &names {
            let (from, to) = if flagged { ("F", "") } else { ("", "F") };
            let renamed = std::fs::rename(
                directory.join(format!("{name}{from}")),
                directory.join(format!("{name}{to}")),
            );
            if renamed.is_ok() {
                renames.fetch_add(1, Ordering::Relaxed);
            }
        }
        flagged = !flagged;
    }
    Ok(())
}
