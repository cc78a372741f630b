//! Connections grow: what a node needs for sessions that idle, and what they cost those that work.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::node::{self, Node};
use super::{Arguments, Growth};
use crate::bench::peer::{self, figure};

/// Accounts that idle: beyond so many connections each has several.
const ACCOUNTS: u64 = 1000;
/// Longer than what is measured meanwhile takes.
const HOLD: &str = "60s";
/// After so long the threads that a burst of logins needed are gone, with what they kept for the next.
const SETTLE: Duration = Duration::from_secs(12);

pub(super) fn measure(folder: &Path, arguments: &Arguments) -> anyhow::Result<Growth> {
    let mut growth = Growth::new("idle connections");
    let data = folder.join("data");
    drop(Node::up(&data)?);
    let names: Vec<String> = (0..ACCOUNTS).map(|number| format!("idler{number}@example.test")).collect();
    let worker = ["worker@example.test".to_owned()];
    node::add_accounts(&names, &data)?;
    node::add_accounts(&worker, &data)?;
    // Their first logins hash passwords, and make mailboxes.
    drop(idle_until(&Node::up(&data)?, ACCOUNTS, &names)?);
    for connections in arguments.connections.iter().copied() {
        for _ in 0..arguments.runs {
            let node = Node::up(&data)?;
            // What a node needs at all, and what logins leave behind once.
            node::imap(&node, "login", 10, 100, &names)?;
            node::imap(&node, "append", 1, 10, &worker)?;
            let before = node.memory()?;
            let idling = idle_until(&node, connections, &names)?;
            std::thread::sleep(SETTLE);
            let memory = node.memory()?;
            growth.put(("memory of the node", "MB"), connections, memory / 1e6);
            let each = (memory - before).max(0.0) / connections as f64 / 1024.0;
            growth.put(("memory for each connection", "KiB"), connections, each);
            let report = node::imap(&node, "noop", 1, 500, &worker)?;
            growth.put(
                ("NOOP of somebody who works", "ms"),
                connections,
                figure(&report, "imap.noop", "latency/p50")? / 1000.0,
            );
            let report = node::imap(&node, "select", 1, 200, &worker)?;
            growth.put(
                ("SELECT of somebody who works", "ms"),
                connections,
                figure(&report, "imap.select", "latency/p50")? / 1000.0,
            );
            drop(idling);
        }
    }
    Ok(growth)
}

/// Sessions that idle until this is dropped.
struct Idling(Child);

impl Drop for Idling {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn idle_until(node: &Node, connections: u64, names: &[String]) -> anyhow::Result<Idling> {
    let mut command = Command::new(peer::sluice());
    command.args(["loadtest", "idle", "--hold", HOLD, "--server", &node.address("imap")?]);
    command.args(["--sessions", &connections.to_string()]);
    for name in names {
        command.args(["--login", name]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    let idling = Idling(child);
    std::io::Write::write_all(&mut input, format!("{}\n", peer::PASSWORD).as_bytes())?;
    drop(input);
    node::wait("until all idle", || {
        Ok((node.metric("sluice_access_imap_idling")? >= connections as f64).then_some(()))
    })?;
    Ok(idling)
}
