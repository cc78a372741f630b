//! One installation: processes, their folders, the broker.

use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::disk::Disk;
use super::machine::{BROKER_DISK, Machine, Means, OWN_DISK, SHARED_DISK, Workshop};
use super::redis::Redis;
use super::shim;
use super::wires::Wires;
use super::{Backend, Unsynced};
use crate::soak::broker::{Cluster, Host, broker_folder};

pub(super) const PASSWORD: &str = "correct horse battery";
const ACCOUNTS: usize = 8;
/// Longer than a start or a drain takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// No mail leaves the machine.
const QUIET: [(&str, &str); 1] = [("SLUICE_DELIVERY__REMOTE__CONCURRENCY", "0")];

/// One process of a role.
pub(super) struct Node {
    pub(super) role: &'static str,
    /// Which machine it is on.
    pub(super) machine: usize,
    pub(super) data: PathBuf,
    pub(super) config: PathBuf,
    child: Option<Child>,
    starts: u32,
}

/// Everything of one round. Processes end before their disks and wires go.
pub(super) struct Site {
    pub(super) sluice: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) backend: Backend,
    pub(super) nodes: Vec<Node>,
    pub(super) cluster: Option<Cluster>,
    pub(super) redis: Option<Redis>,
    pub(super) gateways: Vec<SocketAddr>,
    pub(super) imap: SocketAddr,
    /// Those of the roles, in the order of their nodes; with the embedded queue one for all.
    pub(super) machines: Vec<Machine>,
    /// Those of the brokers.
    pub(super) brokers: Vec<Machine>,
    /// What all share: mailboxes, directory, large bodies.
    pub(super) storage: Machine,
    pub(super) client: Machine,
    /// Whose writes are not synced.
    unsynced: Option<Unsynced>,
    _wires: Option<Wires>,
}

impl Site {
    pub(super) fn start(
        sluice: &Path,
        folder: &Path,
        backend: Backend,
        means: Means,
        unsynced: Option<Unsynced>,
    ) -> anyhow::Result<Self> {
        let mut workshop = Workshop::open(folder, means)?;
        let embedded = backend == Backend::Embedded;
        let storage = workshop.machine("shared", Some(SHARED_DISK))?;
        let client = workshop.machine("client", None)?;
        let mut brokers = Vec::new();
        for index in 0..backend.nodes() {
            brokers.push(workshop.machine(&format!("broker{index}"), Some(BROKER_DISK))?);
        }
        let cluster =
            (!embedded).then(|| Cluster::start_on(brokers.iter().map(host).collect(), broker_folder()));
        let redis =
            if embedded { None } else { Some(Redis::start(workshop.machine("redis", None)?, free_port()?)?) };
        let mut site = Self {
            sluice: sluice.to_owned(),
            folder: folder.to_owned(),
            backend,
            nodes: Vec::new(),
            cluster,
            redis,
            gateways: Vec::new(),
            imap: SocketAddr::from(([127, 0, 0, 1], 0)),
            machines: Vec::new(),
            brokers,
            storage,
            client,
            unsynced,
            _wires: None,
        };
        site.install()?;
        for index in 0..if embedded { 1 } else { 2 } {
            for role in ["gateway", "worker", "access"] {
                let machine = if embedded { 0 } else { site.machines.len() };
                if !embedded || role == "gateway" {
                    let disk = (!embedded && role == "gateway").then_some(OWN_DISK);
                    let name = if embedded { "node".to_owned() } else { format!("{role}{index}") };
                    site.machines.push(workshop.machine(&name, disk)?);
                }
                let node = site.configure(role, index, machine)?;
                site.nodes.push(node);
            }
        }
        site._wires = workshop.wires;
        for index in 0..site.nodes.len() {
            site.begin(index)?;
        }
        for index in 0..site.nodes.len() {
            site.wait_for(index)?;
        }
        Ok(site)
    }

    pub(super) fn gateways(&self) -> Vec<SocketAddr> {
        self.gateways.clone()
    }

    /// Whether every role is on one machine.
    pub(super) fn is_one_machine(&self) -> bool {
        self.backend == Backend::Embedded
    }

    /// The disk on which a role writes what must last.
    pub(super) fn disk_of(&self, machine: usize) -> Option<&Disk> {
        if self.is_one_machine() {
            self.storage.disk.as_ref()
        } else {
            self.machines.get(machine)?.disk.as_ref()
        }
    }

    fn shared(&self) -> PathBuf {
        self.storage.folder.join("data")
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.shared().join("directory.sqlite")
    }

    /// The first start of an installation, and its people.
    fn install(&self) -> anyhow::Result<()> {
        let shared = self.shared();
        let mut command = self.command(&["up", "--port-base", "0"], &shared, None);
        let log = File::create(self.folder.join("install.log"))?;
        let mut child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        wait("the installation", || shared.join("run/up.json").exists().then_some(()))?;
        for account in self.accounts() {
            self.run(&["account", "add", &account], &shared, PASSWORD)?;
        }
        signal(&child, "TERM")?;
        wait("the end of the installation", || child.try_wait().ok().flatten())?;
        Ok(())
    }

    pub(super) fn accounts(&self) -> Vec<String> {
        (0..ACCOUNTS).map(|number| format!("user{number}@example.test")).collect()
    }

    fn configure(&mut self, role: &'static str, index: usize, machine: usize) -> anyhow::Result<Node> {
        let shared = self.shared();
        let on = self.machines.get(machine).context("a machine")?;
        let data = if self.is_one_machine() { shared.clone() } else { on.folder.join("data") };
        std::fs::create_dir_all(data.join("run"))?;
        let text = self.run(&["config", "show", "--port-base", "0"], &shared, "")?;
        let mut settings: toml::Table = text.parse().context("the shown configuration")?;
        let mut set = |path: &[&str], value: toml::Value| -> anyhow::Result<()> {
            let (last, tables) = path.split_last().context("a key")?;
            let mut table = &mut settings;
            for name in tables {
                let next = table.entry(*name).or_insert_with(|| toml::Table::new().into());
                table = next.as_table_mut().context("a table")?;
            }
            table.insert((*last).to_owned(), value);
            Ok(())
        };
        let path = |name: &str| toml::Value::String(shared.join(name).display().to_string());
        let listens = SocketAddr::new(on.address.parse()?, free_port()?);
        match role {
            "gateway" => {
                set(&["gateway", "mx"], vec![listens.to_string()].into())?;
                self.gateways.push(listens);
            }
            "access" => {
                // Passwords are taken over TLS, or from the machine itself.
                self.imap = SocketAddr::from(([127, 0, 0, 1], listens.port()));
                set(&["access", "imap", "listen"], self.imap.to_string().into())?;
            }
            _ => {}
        }
        set(&["store", "root"], path("mail"))?;
        set(&["directory", "path"], path("directory.sqlite"))?;
        set(&["delivery", "retry_after"], vec!["1s", "2s", "5s"].into())?;
        set(&["queue", "free_space_min"], "1MiB".into())?;
        if let Some(redis) = &self.redis {
            set(&["shared_state", "backend"], "redis".into())?;
            set(&["shared_state", "redis", "address"], redis.address().into())?;
        }
        if let Some(cluster) = &self.cluster {
            set(&["queue", "backend"], "rabbitmq".into())?;
            let broker = |name: &'static str| ["queue", "rabbitmq", name];
            set(&broker("addresses"), cluster.addresses().into())?;
            set(&broker("spool_dir"), path("spool"))?;
            set(&broker("away_max"), "500ms".into())?;
            set(&broker("confirm_max"), "5s".into())?;
            set(&broker("heartbeat"), "4s".into())?;
            set(&broker("watchdog_interval"), "3s".into())?;
            set(&broker("reconnect_wait_max"), "1s".into())?;
        }
        let config = self.folder.join(format!("{role}{index}.toml"));
        std::fs::write(&config, toml::to_string(&settings)?)?;
        Ok(Node { role, machine, data, config, child: None, starts: 0 })
    }

    /// Starts a process without waiting for it.
    pub(super) fn begin(&mut self, index: usize) -> anyhow::Result<()> {
        let node = self.nodes.get(index).context("a node")?;
        let machine = self.machines.get(node.machine).context("a machine")?;
        let run = node.data.join("run");
        let _ = std::fs::remove_file(run.join(format!("{}.json", node.role)));
        let log = File::create(self.folder.join(format!("{}{index}-{}.log", node.role, node.starts)))?;
        let mut command = machine.command(&self.sluice);
        command.args([node.role, "--data"]).arg(&node.data).arg("--config").arg(&node.config);
        command.envs(QUIET).envs(machine.shim.environment());
        match node.role {
            "worker" => command.env(shim::POISON, "yes"),
            _ => &mut command,
        };
        if self.unsynced.is_some_and(|unsynced| unsynced.role() == node.role) {
            command.env(shim::OFF, "yes");
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("failed to start {}", node.role))?;
        let node = self.nodes.get_mut(index).context("a node")?;
        node.child = Some(child);
        node.starts += 1;
        Ok(())
    }

    /// Starts what has ended by itself, as a supervisor does; gives how many.
    pub(super) fn supervise(&mut self) -> anyhow::Result<u64> {
        let mut started = 0;
        for index in 0..self.nodes.len() {
            let ended = self
                .nodes
                .get_mut(index)
                .and_then(|node| node.child.as_mut())
                .is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
            if ended {
                self.begin(index)?;
                started += 1;
            }
        }
        Ok(started)
    }

    /// Waits until a process says what it listens on, starting it again when it could not take over yet what a killed one held.
    pub(super) fn wait_for(&mut self, index: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let node = self.nodes.get_mut(index).context("a node")?;
            if node.data.join("run").join(format!("{}.json", node.role)).exists() {
                return Ok(());
            }
            let role = node.role;
            let ended = node.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(Some(_))));
            ensure!(Instant::now() < deadline, "{role} {index} does not start");
            if ended {
                self.begin(index)?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// As `kill -9` does it.
    pub(super) fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        let child = self.nodes.get_mut(index).and_then(|node| node.child.take());
        if let Some(mut child) = child {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and what the process makes of it.
    pub(super) fn drain(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(node) = self.nodes.get_mut(index) else { return Ok(()) };
        // One that has not said yet what it listens on has nothing to drain.
        let ready = node.data.join("run").join(format!("{}.json", node.role)).exists();
        let Some(mut child) = node.child.take() else { return Ok(()) };
        signal(&child, "TERM")?;
        let status = wait("a drain", || child.try_wait().ok().flatten())?;
        ensure!(status.success() || !ready, "a drain ended with {status}");
        Ok(())
    }

    /// SIGSTOP or SIGCONT.
    pub(super) fn signal(&self, index: usize, name: &str) -> anyhow::Result<()> {
        match self.nodes.get(index).and_then(|node| node.child.as_ref()) {
            Some(child) => signal(child, name),
            None => Ok(()),
        }
    }

    /// Ends every process of this round.
    pub(super) fn end(mut self) {
        for index in 0..self.nodes.len() {
            let _ = self.kill(index);
        }
    }

    /// What an operator does on the first machine.
    pub(super) fn command(&self, arguments: &[&str], data: &Path, config: Option<&Path>) -> Command {
        let machine = self.machines.first().unwrap_or(&self.storage);
        let mut command = machine.command(&self.sluice);
        command.args(arguments).arg("--data").arg(data);
        command.envs(QUIET);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        command
    }

    fn run(&self, arguments: &[&str], data: &Path, input: &str) -> anyhow::Result<String> {
        let output = output(&mut self.command(arguments, data, None), input)?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(super) fn signal(child: &Child, name: &str) -> anyhow::Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status()?;
    ensure!(status.success(), "SIG{name} could not be sent");
    Ok(())
}

fn wait<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain: {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn raw(command: &mut Command, input: &str) -> anyhow::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = writeln!(stdin, "{input}");
    }
    Ok(child.wait_with_output()?)
}

pub(super) fn output(command: &mut Command, input: &str) -> anyhow::Result<Output> {
    let output = raw(command, input)?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

/// Where a broker's node is.
fn host(machine: &Machine) -> Host {
    Host {
        address: machine.address.clone(),
        space: machine.space.clone(),
        home: machine.folder.join("home"),
        environment: machine.shim.environment(),
        settings: String::new(),
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
