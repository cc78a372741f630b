//! One message to 1,000 recipients.

use std::fs::{File, create_dir_all};
use std::io::Write as _;
use std::path::Path;

use crate::{Outcome, content, deliver, inbox, milliseconds, open, row, timed};

const RECIPIENTS: usize = 1_000;

pub(crate) fn run(directory: &Path, runs: usize) -> Outcome<()> {
    let store = open(&directory.join("many"))?;
    let mut mailboxes = Vec::new();
    for number in 0..RECIPIENTS {
        let mailbox = inbox(&store, number)?;
        mailbox.refresh()?;
        create_dir_all(directory.join("copies").join(number.to_string()).join("new"))?;
        mailboxes.push(mailbox);
    }
    let (mut copies, mut each) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let body = content(run as u64);
        let (taken, ()) = timed(|| {
            for number in 0..RECIPIENTS {
                let new = directory.join("copies").join(number.to_string()).join("new");
                let mut file = File::create_new(new.join(format!("{run}.tmp")))?;
                file.write_all(&body)?;
                file.sync_data()?;
                std::fs::rename(new.join(format!("{run}.tmp")), new.join(run.to_string()))?;
                File::open(&new)?.sync_all()?;
            }
            Ok(())
        })?;
        copies.push(milliseconds(taken));
        let (taken, ()) = timed(|| {
            for mailbox in &mailboxes {
                deliver(mailbox, (run as u64) << 20)?;
            }
            Ok(())
        })?;
        each.push(milliseconds(taken));
    }
    row("one message to 1,000 recipients, 1,000 plain copies", &mut copies, "ms");
    row("one message to 1,000 recipients, one after the other", &mut each, "ms");
    Ok(())
}
