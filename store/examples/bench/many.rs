//! One message to 1,000 recipients.

use std::fs::{File, create_dir_all};
use std::io::Write as _;
use std::path::Path;

use store::{Delivery, Flags};

use crate::{DATE, Outcome, content, deliver, inbox, message_id, milliseconds, open, row, timed};

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
    let (mut copies, mut each, mut linked) = (Vec::new(), Vec::new(), Vec::new());
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
        let delivery = Delivery {
            message_id: message_id((run as u64) << 20 | 1),
            content: &body,
            received_at: DATE,
            flags: Flags::default(),
        };
        let (taken, answers) = timed(|| Ok(store.deliver_to_all(&mailboxes, delivery)))?;
        for answer in answers {
            answer?;
        }
        linked.push(milliseconds(taken));
    }
    row("one message to 1,000 recipients, 1,000 plain copies", &mut copies, "ms");
    row("one message to 1,000 recipients, one after the other", &mut each, "ms");
    row("one message to 1,000 recipients, together", &mut linked, "ms");
    Ok(())
}
