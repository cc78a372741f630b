//! What a round sends, and what has become of it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Backend;
use super::site::{PASSWORD, PATIENCE, Site, output, raw};

/// How long the queue may take to empty once all is whole again.
const SETTLE_MAX: Duration = Duration::from_secs(600);
/// Every so many looks at what waits it is all tried again at once.
const RETRY_EVERY: u32 = 20;
const SESSIONS: &str = "8";
/// A message that ends the process of whoever delivers it.
const POISON: &str = "import smtplib, sys\n\
    host, port, to = sys.argv[1:]\n\
    with smtplib.SMTP(host, int(port), timeout=20) as server:\n\
    \x20   server.sendmail('poison@load.example', [to], 'Subject: poison\\r\\nX-Poison: yes\\r\\n\\r\\nend\\r\\n')\n";

/// What a check of the ledger found.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) accepted: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    /// Damaged, or nobody's.
    pub(super) wrong: u64,
    recovered: u64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, lost, doubled, wrong, recovered } = self;
        write!(f, "accepted {accepted} lost {lost} doubled {doubled} wrong {wrong} recovered {recovered}")
    }
}

impl Site {
    /// The load, as a process of its own.
    pub(super) fn send(&self, servers: &[SocketAddr], time: Duration) -> anyhow::Result<Child> {
        let mut command = self.client.command(&self.sluice);
        command.args([
            "loadtest",
            "ledger",
            "send",
            "--sessions",
            SESSIONS,
            "--messages",
            "100000000",
            "--size",
            "2000",
        ]);
        command
            .args(["--answer-max", "60s", "--time", &format!("{}s", time.as_secs()), "--ledger"])
            .arg(self.ledger());
        for server in servers {
            command.args(["--server", &server.to_string()]);
        }
        for account in self.accounts() {
            command.args(["--to", &account]);
        }
        let log = File::create(self.folder.join("load.log"))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("failed to start the load")
    }

    fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Sends the message that ends whoever delivers it.
    pub(super) fn poison(&self) -> anyhow::Result<()> {
        let gateway = self.gateways.first().context("a gateway")?;
        let mut command = self.client.command(Path::new("python3"));
        command.args([
            "-c",
            POISON,
            &gateway.ip().to_string(),
            &gateway.port().to_string(),
            "user0@example.test",
        ]);
        let sent = command.output()?;
        ensure!(sent.status.success(), "no poison: {}", String::from_utf8_lossy(&sent.stderr));
        Ok(())
    }

    /// The messages that wait for an operator: how many are poisoned, and how many are not. A copy of one is the same message: the broker's way
    /// to the dead letters is at least once.
    fn dead(&self) -> anyhow::Result<(usize, usize)> {
        let gateway = self.nodes.iter().find(|node| node.role == "gateway").context("a gateway")?;
        let mut command = self.command(
            &["queue", "list", "--lane", "dead", "--json", "--limit", "1000"],
            &gateway.data,
            Some(&gateway.config),
        );
        let listed = output(&mut command, "")?.stdout;
        std::fs::write(self.folder.join("dead.json"), &listed)?;
        let listed: Value = serde_json::from_slice(&listed)?;
        let envelopes =
            listed.as_array().context("a list")?.iter().filter_map(|message| message.get("envelope"));
        let text = |envelope: &Value, field: &str| Some(envelope.get(field)?.as_str()?.to_owned());
        let messages: BTreeSet<_> =
            envelopes.map(|envelope| (text(envelope, "id"), text(envelope, "reverse_path"))).collect();
        let poisoned =
            messages.iter().filter(|(_, sender)| sender.as_deref() == Some("poison@load.example")).count();
        Ok((poisoned, messages.len() - poisoned))
    }

    /// Everything that waits for its next try is tried at once; says whether somebody took the order.
    fn retry(&self) -> anyhow::Result<bool> {
        let gateway = self.nodes.iter().find(|node| node.role == "gateway").context("a gateway")?;
        let order = ["queue", "retry", "--state", "deferred"];
        Ok(raw(&mut self.command(&order, &gateway.data, Some(&gateway.config)), "")?.status.success())
    }

    /// Waits until nothing is on its way any more, and so many poisoned messages have ended with the dead letters, which are counted.
    pub(super) fn settle(&mut self, poisoned: usize) -> anyhow::Result<(usize, usize)> {
        for index in 0..self.nodes.len() {
            self.wait_for(index)?;
        }
        // A clock that ran ahead has made some wait for long.
        let began = Instant::now();
        while !self.retry()? {
            self.supervise()?;
            ensure!(began.elapsed() < PATIENCE, "no worker takes an operator's order");
        }
        let began = Instant::now();
        let (mut empty, mut looks) = (0, 0_u32);
        // Twice: between two places a message is seen in neither.
        while empty < 2 {
            let all = self.waiting().is_ok_and(|waiting| waiting == 0)
                && self.dead().is_ok_and(|(dead, _)| dead >= poisoned)
                && self.at_the_broker()? == 0;
            // One order looks through so many messages and no more.
            if !all && looks % RETRY_EVERY == RETRY_EVERY - 1 {
                self.retry()?;
            }
            looks += 1;
            empty = if all { empty + 1 } else { 0 };
            self.supervise()?;
            ensure!(
                began.elapsed() < SETTLE_MAX,
                "after {SETTLE_MAX:?} the queue is not empty: {:?}",
                self.waiting()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
        self.dead()
    }

    /// What only the broker counts: what workers have at hand, and what is between two of its queues, for minutes when one of its nodes stood
    /// still then.
    fn at_the_broker(&self) -> anyhow::Result<u64> {
        let Some(cluster) = &self.cluster else { return Ok(0) };
        let listed = cluster.control(0, &["list_queues", "--no-table-headers", "name", "messages"]);
        let mut count = 0;
        for line in listed.lines() {
            let (name, messages) = line.trim().split_once('\t').context("a name and a count")?;
            if !name.ends_with(".dead") {
                count += messages.parse::<u64>().context("a count of messages")?;
            }
        }
        Ok(count)
    }

    fn waiting(&self) -> anyhow::Result<u64> {
        let mut waiting = 0;
        for node in self.nodes.iter().filter(|node| node.role == "gateway") {
            for spill in [false, true] {
                if spill && self.backend == Backend::Embedded {
                    continue;
                }
                let mut command = self.command(&["queue", "stats", "--json"], &node.data, Some(&node.config));
                if spill {
                    command.arg("--spill");
                }
                let lanes: Value = serde_json::from_slice(&output(&mut command, "")?.stdout)?;
                for lane in lanes
                    .as_array()
                    .context("lanes")?
                    .iter()
                    .filter(|lane| lane.get("lane") != Some(&"dead".into()))
                {
                    for state in ["ready", "leased", "deferred"] {
                        waiting += lane.get(state).and_then(Value::as_u64).unwrap_or(0);
                    }
                }
            }
        }
        Ok(waiting)
    }

    pub(super) fn check(&self) -> anyhow::Result<Verdict> {
        let queued = self.folder.join("queued.json");
        let gateway = self.nodes.iter().find(|node| node.role == "gateway").context("a gateway")?;
        let listed = self.command(
            &["queue", "list", "--json", "--limit", "1000000"],
            &gateway.data,
            Some(&gateway.config),
        );
        std::fs::write(&queued, output(&mut { listed }, "")?.stdout)?;
        let access = self.machines.last().context("a machine")?;
        let mut command = access.command(&self.sluice);
        command.args([
            "loadtest",
            "ledger",
            "check",
            "--json",
            "--server",
            &self.imap.to_string(),
            "--ledger",
        ]);
        command.arg(self.ledger()).arg("--queued").arg(&queued);
        for account in self.accounts() {
            command.args(["--login", &account]);
        }
        let output = raw(&mut command, PASSWORD)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        std::fs::write(self.folder.join("verdict.json"), &text)?;
        let json: Value = serde_json::from_str(&text)
            .with_context(|| format!("the check failed: {}", String::from_utf8_lossy(&output.stderr)))?;
        let number =
            |name: &str| json.get(name).and_then(Value::as_u64).with_context(|| format!("no {name}"));
        let count =
            |name: &str| json.get(name).and_then(|numbers| numbers.get("count")?.as_u64()).context("a count");
        Ok(Verdict {
            accepted: number("accepted")?,
            lost: count("lost")?,
            doubled: count("doubled")?,
            wrong: count("damaged")? + count("phantom")?,
            recovered: number("recovered")?,
        })
    }
}
