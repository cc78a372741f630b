//! Processes of Sluice, and what they say of themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::bench::peer;

/// For a start, a drain and the last message of a load.
const PATIENCE: Duration = Duration::from_secs(300);
/// A second in `/proc`, on every Linux.
const TICKS: f64 = 100.0;
const LOOK: Duration = Duration::from_millis(20);

/// What every node is told: clients are all on one address, and their mail is not checked.
const SETTINGS: &str = "\
[filters.authentication]
enabled = false
[log]
level = \"warn\"
[access.imap]
connections_per_address_max = 30000
connections_max = 30000
[access.pop3]
connections_per_address_max = 30000
[gateway.limits]
connections_per_address_max = 30000
";

/// A running process; ended when it is dropped.
pub(super) struct Node {
    child: Child,
    addresses: BTreeMap<String, String>,
}

impl Node {
    /// Every role in one process, over the data in the folder.
    pub(super) fn up(folder: &Path) -> anyhow::Result<Self> {
        Self::start("up", folder, &settings(folder, "")?)
    }

    /// Starts a role and waits for what it listens on.
    pub(super) fn start(role: &str, data: &Path, config: &Path) -> anyhow::Result<Self> {
        let said = data.join("run").join(format!("{role}.json"));
        let _ = std::fs::remove_file(&said);
        let log = File::create(config.with_extension("log"))?;
        let mut command = Command::new(peer::sluice());
        command.arg(role).arg("--data").arg(data).arg("--config").arg(config).args(["--port-base", "0"]);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut node = Self { child, addresses: BTreeMap::new() };
        let text = wait(&format!("the start of {role}"), || {
            ensure!(
                node.child.try_wait()?.is_none(),
                "{role} ended: see {}",
                config.with_extension("log").display()
            );
            Ok(std::fs::read_to_string(&said).ok())
        })?;
        let said: serde_json::Value = serde_json::from_str(&text)?;
        for (name, address) in said.get("addresses").and_then(|all| all.as_object()).into_iter().flatten() {
            node.addresses.insert(name.clone(), address.as_str().unwrap_or_default().to_owned());
        }
        Ok(node)
    }

    pub(super) fn address(&self, service: &str) -> anyhow::Result<String> {
        self.addresses.get(service).cloned().with_context(|| format!("no {service} in {:?}", self.addresses))
    }

    /// Octets of memory that are its own.
    pub(super) fn memory(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
    }

    /// Seconds of processor time since its start.
    pub(super) fn cpu(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything: state, ten more, then ticks in user mode and in the kernel.
        let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
        let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
        Ok(ticks.sum::<f64>() / TICKS)
    }

    /// The sum of a metric over its labels.
    pub(super) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(self.address("health")?)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let lines = page.lines().filter_map(|line| line.strip_prefix(name));
        let values = lines
            .filter(|rest| rest.starts_with(['{', ' ']))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        if wait("the end of a node", || Ok(self.child.try_wait()?)).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Writes a configuration beside the data.
pub(super) fn settings(folder: &Path, more: &str) -> anyhow::Result<PathBuf> {
    let path = folder.with_extension("toml");
    std::fs::write(&path, format!("{SETTINGS}{more}"))?;
    Ok(path)
}

/// Runs `sluice` to its end, with the password of all accounts on standard input.
pub(super) fn command(arguments: &[&str], data: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(peer::sluice());
    command
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(format!("{}\n", peer::PASSWORD).as_bytes());
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "`sluice {}`: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Adds accounts of these names.
pub(super) fn add_accounts(names: &[String], data: &Path) -> anyhow::Result<()> {
    let list = data.with_extension("accounts");
    std::fs::write(&list, names.join("\n"))?;
    command(&["account", "import", &list.display().to_string()], data)
}

/// Looks until there is something.
pub(super) fn wait<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(LOOK);
    }
    bail!("{what} takes more than {} s", PATIENCE.as_secs())
}

/// A load on IMAP: the script, over so many sessions, so often, as these people.
pub(super) fn imap(
    node: &Node,
    script: &str,
    sessions: u64,
    count: u64,
    logins: &[String],
) -> anyhow::Result<serde_json::Value> {
    let mut arguments: Vec<String> =
        ["imap", "--as", script, "--answer-max", "10m", "--server"].map(str::to_owned).into();
    arguments.push(node.address("imap")?);
    arguments.extend([
        "--sessions".to_owned(),
        sessions.to_string(),
        "--count".to_owned(),
        count.to_string(),
    ]);
    for login in logins {
        arguments.extend(["--login".to_owned(), login.clone()]);
    }
    peer::load(&arguments)
}
