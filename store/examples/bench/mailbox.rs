//! Large mailboxes: flags, expunge, opening, summaries.

use std::path::Path;

use store::{FlagChange, Flags, Uid};

use crate::{Outcome, content, inbox, milliseconds, open, row, timed};

const MANY: u64 = 10_000;
pub(crate) const HUGE: u64 = 100_000;

/// Messages get into a mailbox by other means than deliveries: files, and the adoption of them.
fn fill(root: &Path, count: u64) -> Outcome<()> {
    let store = open(root)?;
    let mailbox = inbox(&store, 0)?;
    drop((mailbox, store));
    let cur = find_cur(root)?;
    for number in 0..count {
        std::fs::write(cur.join(format!("1700000000.M{number}.example:2,")), content(number))?;
    }
    let store = open(root)?;
    let mailbox = inbox(&store, 0)?;
    let uids: Vec<Uid> = mailbox.refresh()?.iter().map(|entry| entry.uid).collect();
    // In steps, as clients ask: all at once would be in memory together.
    for uids in uids.chunks(10_000) {
        mailbox.summaries(uids)?;
    }
    store.close();
    Ok(())
}

fn find_cur(root: &Path) -> Outcome<std::path::PathBuf> {
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for item in std::fs::read_dir(&directory)? {
            let path = item?.path();
            if path.ends_with("user0@example.test/cur") {
                return Ok(path);
            }
            if path.is_dir() && !path.ends_with("new") && !path.ends_with("tmp") {
                waiting.push(path);
            }
        }
    }
    Err("no cur/ below the root".into())
}

/// What is on the disk is not in memory after this: root's to do. Gives whether it was done.
fn forget_pages() -> bool {
    std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// FETCH ENVELOPE of every message in a mailbox that was opened anew; with `cold` nothing of it is in memory then.
fn all_summaries(root: &Path, cold: bool) -> Outcome<f64> {
    let store = open(root)?;
    let mailbox = inbox(&store, 0)?;
    let uids: Vec<Uid> = mailbox.refresh()?.iter().map(|entry| entry.uid).collect();
    if cold {
        forget_pages();
    }
    let (taken, summaries) = timed(|| Ok(mailbox.summaries(&uids)?))?;
    if summaries.len() as u64 != MANY {
        return Err(format!("{} summaries", summaries.len()).into());
    }
    Ok(milliseconds(taken))
}

/// The same without a cache.
fn all_parsed(root: &Path, cold: bool) -> Outcome<f64> {
    let store = open(root)?;
    let mailbox = inbox(&store, 0)?;
    let uids: Vec<Uid> = mailbox.refresh()?.iter().map(|entry| entry.uid).collect();
    if cold {
        forget_pages();
    }
    let (taken, ()) = timed(|| {
        for uid in &uids {
            std::hint::black_box(store::parse_summary(&mailbox.content(*uid)?));
        }
        Ok(())
    })?;
    Ok(milliseconds(taken))
}

pub(crate) fn changes(directory: &Path, runs: usize) -> Outcome<()> {
    let (mut seen, mut expunged, mut warm, mut parsed) = (vec![], vec![], vec![], vec![]);
    let (mut cold, mut parsed_cold) = (vec![], vec![]);
    for run in 0..runs {
        let root = directory.join(format!("changes{run}"));
        fill(&root, MANY)?;
        warm.push(all_summaries(&root, false)?);
        parsed.push(all_parsed(&root, false)?);
        if forget_pages() {
            cold.push(all_summaries(&root, true)?);
            parsed_cold.push(all_parsed(&root, true)?);
        }
        let store = open(&root)?;
        let mailbox = inbox(&store, 0)?;
        let uids: Vec<Uid> = mailbox.view()?.iter().map(|entry| entry.uid).collect();
        let flags = Flags { seen: true, ..Flags::default() };
        let (taken, _) = timed(|| Ok(mailbox.store(&uids, FlagChange::Add, &flags, None)?))?;
        seen.push(milliseconds(taken));
        let (taken, _) = timed(|| Ok(mailbox.expunge(&uids)?))?;
        expunged.push(milliseconds(taken));
        store.close();
    }
    row("summaries of 10,000 messages from the cache, mailbox opened anew, files in memory", &mut warm, "ms");
    row("the same by parsing each file, files in memory", &mut parsed, "ms");
    if !cold.is_empty() {
        row("summaries of 10,000 messages from the cache, nothing in memory", &mut cold, "ms");
        row("the same by parsing each file, nothing in memory", &mut parsed_cold, "ms");
    }
    row("STORE \\Seen on 10,000 messages", &mut seen, "ms");
    row("EXPUNGE of 10,000 messages", &mut expunged, "ms");
    Ok(())
}

pub(crate) fn opening(directory: &Path, runs: usize, messages: u64) -> Outcome<()> {
    let root = directory.join("huge");
    let (taken, ()) = timed(|| fill(&root, messages))?;
    println!("{messages} files put there and taken over in {:.0} s", taken.as_secs_f64());
    let (mut cold, mut fresh, mut warm, mut again) = (vec![], vec![], vec![], vec![]);
    for run in 0..2 * runs {
        let is_cold = run % 2 == 0 && forget_pages();
        let store = open(&root)?;
        let (taken, mailbox) = timed(|| {
            let mailbox = inbox(&store, 0)?;
            mailbox.refresh()?;
            Ok(mailbox)
        })?;
        if is_cold { &mut cold } else { &mut fresh }.push(milliseconds(taken));
        let (taken, _) = timed(|| Ok(mailbox.refresh()?))?;
        warm.push(milliseconds(taken));
        let (taken, _) = timed(|| Ok(inbox(&store, 0)?.view()?))?;
        again.push(milliseconds(taken));
        store.close();
    }
    if !cold.is_empty() {
        row(&format!("opening a mailbox of {messages} messages anew, nothing in memory"), &mut cold, "ms");
    }
    row(&format!("opening a mailbox of {messages} messages anew, files in memory"), &mut fresh, "ms");
    row("looking at it again for changes", &mut warm, "ms");
    row("opening it again in the same process", &mut again, "ms");
    Ok(())
}
