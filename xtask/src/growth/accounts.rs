//! The directory grows: accepting, delivering and logging in with 1,000 to 1,000,000 accounts.

use std::path::Path;
use std::time::Instant;

use super::node::{self, Node};
use super::{Arguments, Growth};
use crate::bench::peer::{figure, load};

const SESSIONS: u64 = 50;
/// Messages of a run, to people drawn by how much mail they get: with many accounts nearly each is somebody's first.
const MESSAGES: u64 = 3000;
/// People who read their mail again and again.
const READERS: u64 = 50;

pub(super) fn measure(folder: &Path, arguments: &Arguments) -> anyhow::Result<Growth> {
    let mut growth = Growth::new("accounts");
    for accounts in arguments.accounts.iter().copied() {
        let data = folder.join(accounts.to_string());
        // The first start makes the directory.
        drop(Node::up(&data)?);
        let begun = Instant::now();
        node::command(&["loadtest", "population", "directory", "--accounts", &accounts.to_string()], &data)?;
        growth.put(("to add them", "s"), accounts, begun.elapsed().as_secs_f64());
        let readers: Vec<String> =
            (0..READERS).map(|number| format!("reader{number}@example.test")).collect();
        node::add_accounts(&readers, &data)?;
        let begun = Instant::now();
        let node = Node::up(&data)?;
        growth.put(("to start", "s"), accounts, begun.elapsed().as_secs_f64());
        let size = std::fs::metadata(data.join("directory.sqlite"))?.len();
        growth.put(("the directory's file", "MB"), accounts, size as f64 / 1e6);
        node::imap(&node, "login", READERS, READERS, &readers)?;
        // The first time most of them get their mailbox with it; then not.
        mail(&node, accounts, ("accepted", "accepted, then in the Maildir, mostly its first"), &mut growth)?;
        for _ in 0..arguments.runs {
            mail(&node, accounts, ("accepted, again", "accepted, then in the Maildir, again"), &mut growth)?;
            let report = node::imap(&node, "login", SESSIONS, 2000, &readers)?;
            growth.put(("logins", "a second"), accounts, figure(&report, "imap.session", "rate")?);
        }
        growth.put(("memory of the node", "MB"), accounts, node.memory()? / 1e6);
    }
    Ok(growth)
}

/// The same messages each time: one population has one seed.
fn mail(
    node: &Node,
    accounts: u64,
    (accepted, filed): (&'static str, &'static str),
    growth: &mut Growth,
) -> anyhow::Result<()> {
    let before = node.metric("sluice_delivery_recipients_total")?;
    let begun = Instant::now();
    let mut words: Vec<String> =
        ["smtp", "--from", "load@bench.test", "--size", "5000", "--server"].map(str::to_owned).into();
    words.push(node.address("mx")?);
    let numbers = [("--sessions", SESSIONS), ("--messages", MESSAGES), ("--accounts", accounts)];
    words.extend(numbers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]));
    let report = load(&words)?;
    node::wait("delivery", || {
        Ok((node.metric("sluice_delivery_recipients_total")? >= before + MESSAGES as f64).then_some(()))
    })?;
    let through = begun.elapsed().as_secs_f64();
    growth.put((accepted, "a second"), accounts, figure(&report, "smtp.message", "rate")?);
    growth.put((filed, "a second"), accounts, MESSAGES as f64 / through);
    growth.put(
        ("p99 of accepting", "ms"),
        accounts,
        figure(&report, "smtp.message", "latency/p99")? / 1000.0,
    );
    Ok(())
}
