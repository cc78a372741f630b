//! A mail system under measurement, started by `bench/peers/peer`, and the load on it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// The password of every account of every system.
pub(crate) const PASSWORD: &str = "secret";
/// Ports that a system may use from its first one on.
const PORTS: u16 = 1000;
/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A running system; stopped when it is dropped.
pub(super) struct Peer {
    pub(super) name: String,
    folder: PathBuf,
    offers: BTreeMap<String, String>,
    /// Folders of its control groups: processor time, memory.
    groups: (PathBuf, PathBuf),
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new(".")).to_owned()
}

/// Builds what is measured, and what measures.
pub(crate) fn build() -> anyhow::Result<()> {
    let built = Command::new("cargo").args(["build", "--release", "--locked", "--bin", "sluice"]).status()?;
    ensure!(built.success(), "the release build failed");
    Ok(())
}

/// The peers' packages.
pub(super) fn install() -> anyhow::Result<()> {
    let installed = Command::new(root().join("bench/peers/peer")).arg("install").status()?;
    ensure!(installed.success(), "the peers can't be installed");
    Ok(())
}

/// The program that is measured.
pub(crate) fn sluice() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("release/sluice")
}

impl Peer {
    pub(super) fn start(name: &str, folder: &Path) -> anyhow::Result<Self> {
        let base = free_base()?;
        let (offers, groups) = (BTreeMap::new(), (PathBuf::new(), PathBuf::new()));
        let mut peer = Self { name: name.to_owned(), folder: folder.to_owned(), offers, groups };
        let said = peer.tell(&["start"], &[&base.to_string()])?;
        for line in said.lines() {
            if let Some((what, value)) = line.split_once(' ') {
                peer.offers.insert(what.to_owned(), value.to_owned());
            }
        }
        let groups = peer.tell(&["group"], &[])?;
        let (cpu, memory) = groups.trim().split_once(' ').context("no control groups")?;
        peer.groups = (PathBuf::from(cpu), PathBuf::from(memory));
        Ok(peer)
    }

    /// `127.0.0.1:PORT` of a protocol.
    pub(super) fn server(&self, protocol: &str) -> anyhow::Result<String> {
        let port =
            self.offers.get(protocol).with_context(|| format!("{} offers no {protocol}", self.name))?;
        Ok(format!("127.0.0.1:{port}"))
    }

    /// The folder with all Maildirs in it.
    pub(super) fn maildirs(&self) -> anyhow::Result<PathBuf> {
        self.offers
            .get("maildirs")
            .map(PathBuf::from)
            .with_context(|| format!("{} has no Maildirs", self.name))
    }

    /// Seconds of processor time since its start.
    pub(super) fn cpu(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(self.groups.0.join("cpuacct.usage"))?;
        Ok(text.trim().parse::<f64>().context("no processor time")? / 1e9)
    }

    /// Octets of memory in use now, files in memory not counted.
    pub(super) fn memory(&self) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(self.groups.1.join("memory.stat"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("total_rss "));
        line.context("no total_rss")?.trim().parse().context("no octets of memory")
    }

    fn tell(&self, action: &[&str], more: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(root().join("bench/peers/peer"));
        command.arg(&self.name).args(action).arg(&self.folder).args(more).env("SLUICE", sluice());
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{} {action:?} failed", self.name);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The most memory that was in use while something was done.
    pub(super) fn most_memory<T>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, f64)> {
        let (done, looks) = self.memory_during(work)?;
        Ok((done, looks.into_iter().fold(0.0, f64::max)))
    }

    /// The memory that was in use about a second before something ended.
    pub(super) fn memory_before_end<T>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<f64> {
        let (_, looks) = self.memory_during(work)?;
        let second = (1000 / LOOK.as_millis()) as usize;
        let place = looks.len().saturating_sub(second + 1);
        looks.get(place).copied().context("it was over before the memory was looked at")
    }

    /// The memory in use at each look while something was done.
    fn memory_during<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Vec<f64>)> {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut looks = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    looks.push(self.memory().unwrap_or_default());
                    std::thread::sleep(LOOK);
                }
                looks
            });
            let done = work();
            over.store(true, Ordering::Relaxed);
            match looking.join() {
                Ok(looks) => Ok((done?, looks)),
                Err(_) => bail!("the look at the memory broke"),
            }
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Err(error) = self.tell(&["stop"], &[]) {
            println!("{} may still run: {error:#}", self.name);
        }
    }
}

/// The first of some ports that nobody uses.
fn free_base() -> anyhow::Result<u16> {
    let mut base = 21_000;
    while base < 60_000 {
        let used = [24, 25, 29, 110, 143, 148, 993, 995]
            .iter()
            .any(|offset| TcpListener::bind(("127.0.0.1", base + offset)).is_err());
        if !used {
            return Ok(base);
        }
        base += PORTS;
    }
    bail!("no thousand ports are free")
}

/// Runs `sluice loadtest`; gives the report.
pub(crate) fn load(arguments: &[String]) -> anyhow::Result<Value> {
    let mut command = Command::new(sluice());
    command
        .arg("loadtest")
        .args(arguments)
        .arg("--json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("failed to start the load")?;
    if let Some(mut input) = child.stdin.take() {
        // A load without a login reads nothing.
        let _ = input.write_all(format!("{PASSWORD}\n").as_bytes());
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice::<Value>(&output.stdout);
    if !output.status.success() {
        let operations = report.ok().and_then(|report| report.get("operations").cloned()).unwrap_or_default();
        let failures = operations.as_array().into_iter().flatten();
        let failures: Vec<String> = failures
            .filter_map(|one| Some(format!("{}: {}", one.get("name")?, one.get("failures")?)))
            .collect();
        bail!("`loadtest {}`: {said}{}", arguments.join(" "), failures.join(", "));
    }
    report.with_context(|| format!("the report is no JSON: {said}"))
}

/// A figure of an operation in a report, such as `rate` or `latency/p99`.
pub(crate) fn figure(report: &Value, operation: &str, figure: &str) -> anyhow::Result<f64> {
    let operations = report.get("operations").and_then(Value::as_array).context("no operations")?;
    let found = operations.iter().find(|one| one.get("name").is_some_and(|name| name == operation));
    let found = found.with_context(|| format!("no {operation} in the report"))?;
    found.pointer(&format!("/{figure}")).and_then(Value::as_f64).with_context(|| format!("no {figure}"))
}
