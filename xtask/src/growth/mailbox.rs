//! A mailbox grows: from the first look of a node at files that another program put there to what people do all day.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::node::{self, Node};
use super::{Arguments, Growth};
use crate::bench::mail::folders;
use crate::bench::peer::figure;

/// Operations of one session: script, operation in the report, what it is, how often in a run.
const OPERATIONS: [(&str, &str, &str, u64); 8] = [
    ("select", "imap.select", "SELECT", 30),
    ("noop", "imap.noop", "NOOP", 200),
    ("fetch", "imap.fetch", "FETCH of a message", 100),
    ("page", "imap.page", "FETCH of a page of 50", 30),
    ("search", "imap.search", "SEARCH", 3),
    ("store", "imap.store", "STORE of a flag", 50),
    ("append", "imap.append", "APPEND", 50),
    ("envelopes", "imap.envelopes", "FETCH of every ENVELOPE", 1),
];
/// Beyond this every ENVELOPE is not asked for: no client does it.
const ENVELOPES_MAX: u64 = 100_000;

pub(super) fn measure(folder: &Path, arguments: &Arguments) -> anyhow::Result<Growth> {
    let mut growth = Growth::new("messages");
    let data = folder.join("data");
    drop(Node::up(&data)?);
    let person = |messages: u64| format!("keeper{messages}@example.test");
    let people: Vec<String> = arguments.messages.iter().map(|messages| person(*messages)).collect();
    node::add_accounts(&people, &data)?;
    for messages in arguments.messages.iter().copied() {
        let login = [person(messages)];
        {
            // The first visit makes the mailbox.
            let node = Node::up(&data)?;
            node::imap(&node, "select", 1, 1, &login)?;
        }
        let folders = folders(&data.join("mail"), &login)?;
        let new = folders.iter().find(|folder| folder.ends_with("new")).context("no Maildir")?;
        fill(new, messages)?;
        // Started anew: nothing of it is in the node's memory.
        let node = Node::up(&data)?;
        node::imap(&node, "login", 1, 1, &login)?;
        let before = node.memory()?;
        let report = node::imap(&node, "select", 1, 1, &login)?;
        let first = figure(&report, "imap.open", "latency/p50")? / 1000.0;
        growth.put(("the first SELECT, of files that came from elsewhere", "ms"), messages, first);
        for (script, operation, what, count) in OPERATIONS {
            if script == "envelopes" && messages > ENVELOPES_MAX {
                continue;
            }
            for _ in 0..arguments.runs {
                let report = node::imap(&node, script, 1, count, &login)?;
                growth.put((what, "ms"), messages, figure(&report, operation, "latency/p50")? / 1000.0);
            }
        }
        growth.put(
            ("memory that the node took for it at most", "MB"),
            messages,
            (node.memory()? - before).max(0.0) / 1e6,
        );
    }
    Ok(growth)
}

/// Files as another delivery agent names them: no two of a mailbox in one second, and not in the order of their names.
fn fill(new: &Path, messages: u64) -> anyhow::Result<()> {
    for number in 0..messages {
        let (second, micro) = (1_700_000_000 + number, number.wrapping_mul(7_919_993) % 1_000_000);
        let inode = number.wrapping_mul(2_654_435_761) % 0xffff_ffff;
        let name =
            format!("{second}.M{micro}P{}V0000000000000801I{inode:016X}_0.mx1", 1000 + number % 31_000);
        let mut file = std::fs::File::create_new(new.join(name))?;
        write!(
            file,
            "From: Person {0} <person{0}@example.test>\nTo: keeper@example.test\nSubject: About thing {number}\nDate: Mon, 1 Jan 2024 10:00:00 +0000\nMessage-ID: <{number}@mx1.example.test>\n\nThis is what is to say about it.\n",
            number % 1000
        )?;
        if number % 100_000 == 99_999 {
            println!("{} of {messages} messages", number + 1);
        }
    }
    Ok(())
}
