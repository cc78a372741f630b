//! A real broker, or several as a cluster, started for one test and ended with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than a start takes on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);
/// Octets of each log that a failed test shows.
const TOLD_MAX: usize = 8 * 1024;
const LOCAL: &str = "127.0.0.1";
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

/// Nodes that share a port mapper of their own; on several hosts each host has one.
pub(crate) struct Cluster {
    _folder: TempDir,
    mapper: u16,
    nodes: Vec<Node>,
}

/// Where a node runs.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) address: String,
    /// A network namespace; without it this machine's.
    pub(crate) space: Option<String>,
    pub(crate) home: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    /// Further lines of its configuration.
    pub(crate) settings: String,
}

struct Node {
    host: Host,
    name: String,
    port: u16,
    distribution: u16,
    process: Option<Child>,
}

impl Cluster {
    /// Starts so many nodes and joins them.
    pub(crate) fn start(count: usize) -> Self {
        let folder = broker_folder();
        let hosts =
            (0..count).map(|index| Host::local(folder.path().join(format!("node{index}")), "")).collect();
        Self::start_on(hosts, folder)
    }

    /// Starts a node on each of these hosts and joins them.
    pub(crate) fn start_on(hosts: Vec<Host>, folder: TempDir) -> Self {
        assert!(
            Path::new(SERVER).exists(),
            "the tests need Debian's package rabbitmq-server; ./test installs it"
        );
        let count = hosts.len();
        let ports = free_ports(1 + 2 * count);
        // Erlang's nodes know each other by a secret; each test has its own.
        let mut cookie = [0; 16];
        File::open("/dev/urandom").unwrap().read_exact(&mut cookie).unwrap();
        let cookie: String = cookie.iter().map(|byte| char::from(b'A' + byte % 26)).collect();
        let nodes = hosts.into_iter().enumerate().map(|(index, host)| Node {
            // Names are the machine's, mappers are ours: two clusters at once must not meet.
            name: format!(
                "sluice{}-{index}@{}",
                ports[0],
                if host.is_local() { "localhost" } else { &host.address }
            ),
            host,
            port: ports[1 + 2 * index],
            distribution: ports[2 + 2 * index],
            process: None,
        });
        let mut cluster = Self { nodes: nodes.collect(), mapper: ports[0], _folder: folder };
        for index in 0..count {
            let home = cluster.nodes[index].host.home.clone();
            std::fs::create_dir_all(&home).unwrap();
            let secret = home.join(".erlang.cookie");
            std::fs::write(&secret, &cookie).unwrap();
            std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
            std::fs::write(home.join("plugins"), "[].\n").unwrap();
            let settings = format!(
                "loopback_users = none\nlog.file.level = warning\ncluster_partition_handling = pause_minority\n{}",
                cluster.nodes[index].host.settings
            );
            std::fs::write(home.join("rabbitmq.conf"), settings).unwrap();
            for path in [home.clone(), secret] {
                std::os::unix::fs::chown(path, broker_user(), None).unwrap();
            }
            cluster.begin(index);
        }
        for index in 0..count {
            cluster.wait_for(index);
        }
        for index in 1..count {
            let first = cluster.nodes[0].name.clone();
            for arguments in [&["stop_app"][..], &["reset"], &["join_cluster", &first], &["start_app"]] {
                cluster.control(index, arguments);
            }
        }
        // What is written once at the start must outlive a power cut; the broker itself syncs what it confirms.
        for node in &cluster.nodes {
            assert!(Command::new("sync").arg("-f").arg(&node.host.home).status().unwrap().success());
        }
        cluster
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("{}:{}", node.host.address, node.port)).collect()
    }

    /// As `kill -9` does it.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.nodes[index].process.take() {
            end_group(&process);
            process.wait().unwrap();
        }
    }

    /// Stops or goes on, with SIGSTOP and SIGCONT.
    #[allow(dead_code, reason = "not every test that includes this file needs it")]
    pub(crate) fn signal(&self, index: usize, signal: &str) {
        if let Some(process) = &self.nodes[index].process {
            assert!(signal_group(process, signal));
        }
    }

    /// Starts a node again without waiting for it, unless it runs.
    pub(crate) fn begin(&mut self, index: usize) {
        if let Some(process) = &mut self.nodes[index].process
            && process.try_wait().unwrap().is_none()
        {
            return;
        }
        let node = &self.nodes[index];
        let output = File::create(node.host.home.join("output")).unwrap();
        let mut command = self.command(index, SERVER);
        command
            .envs(node.host.environment.iter().cloned())
            .env("RABBITMQ_NODE_IP_ADDRESS", &node.host.address)
            .env("RABBITMQ_NODE_PORT", node.port.to_string())
            .env("RABBITMQ_DIST_PORT", node.distribution.to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0);
        self.nodes[index].process = Some(command.spawn().unwrap());
    }

    /// Waits until a node answers.
    pub(crate) fn wait_for(&self, index: usize) {
        let started = Instant::now();
        while !self.answers(index) {
            assert!(started.elapsed() < START_MAX, "{}", self.output(index));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn answers(&self, index: usize) -> bool {
        let Node { host, port, .. } = &self.nodes[index];
        if let Some(space) = &host.space {
            return answers_in(space, &host.address, *port);
        }
        let Ok(mut stream) = TcpStream::connect((&*host.address, *port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut byte = [0];
        // AMQP 0-9-1 §4.2.2: the header, and the server's first frame.
        stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
            && stream.read_exact(&mut byte).is_ok()
            && byte == [1]
    }

    /// What the nodes have to say of a test that failed.
    #[allow(clippy::print_stderr, reason = "a test's own words")]
    fn tell(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            eprintln!("{}:\n{}", node.name, self.output(index));
            for entry in std::fs::read_dir(node.host.home.join("log")).into_iter().flatten().flatten() {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let end = text.len().saturating_sub(TOLD_MAX);
                eprintln!("{}", text.get(end..).unwrap_or_default());
            }
        }
    }

    fn output(&self, index: usize) -> String {
        std::fs::read_to_string(self.nodes[index].host.home.join("output")).unwrap_or_default()
    }

    /// The same, where the node may be away; gives whether it did it.
    #[allow(dead_code, reason = "not every test that includes this file needs it")]
    pub(crate) fn try_control(&self, index: usize, arguments: &[&str]) -> bool {
        let mut command = self.command(index, CONTROL);
        command.arg("--quiet").args(arguments).stdin(Stdio::null()).output().unwrap().status.success()
    }

    /// Runs `rabbitmqctl` against a node; gives what it printed.
    #[allow(dead_code, reason = "not every test that includes this file needs it")]
    pub(crate) fn control(&self, index: usize, arguments: &[&str]) -> String {
        let mut command = self.command(index, CONTROL);
        let output = command.arg("--quiet").args(arguments).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn command(&self, index: usize, program: &str) -> Command {
        let host = &self.nodes[index].host;
        let home = &host.home;
        let mut command = match &host.space {
            None => {
                let mut command = Command::new(program);
                command.uid(broker_user().unwrap());
                command
            }
            Some(space) => {
                let mut command = enter(space);
                command.args(["--setuid", &broker_user().unwrap().to_string(), program]);
                command
            }
        };
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", home)
            .env("ERL_EPMD_ADDRESS", &host.address)
            .env("ERL_EPMD_PORT", self.mapper.to_string())
            .env("RABBITMQ_NODENAME", &self.nodes[index].name)
            .env("RABBITMQ_USE_LONGNAME", if host.is_local() { "false" } else { "true" })
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
            // Two processors are shared by all: none of them is to be kept busy by waiting.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none")
            .current_dir(home);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        for index in 0..self.nodes.len() {
            self.kill(index);
        }
        let hosts: BTreeMap<&Option<String>, &Host> =
            self.nodes.iter().map(|node| (&node.host.space, &node.host)).collect();
        hosts.into_values().for_each(|host| host.end_mapper(self.mapper));
    }
}

impl Host {
    /// On this machine.
    pub(crate) fn local(home: PathBuf, settings: &str) -> Self {
        let (address, settings) = (LOCAL.to_owned(), settings.to_owned());
        Self { address, space: None, home, environment: Vec::new(), settings }
    }

    fn is_local(&self) -> bool {
        self.address == LOCAL
    }

    /// The port mapper is a process of its own that the first node started. It ends when it has noticed that the nodes are gone.
    fn end_mapper(&self, port: u16) {
        for _ in 0..100 {
            let mut command = match &self.space {
                None => Command::new("epmd"),
                Some(space) => {
                    let mut command = enter(space);
                    command.arg("epmd");
                    command
                }
            };
            let ended = command
                .env("ERL_EPMD_ADDRESS", &self.address)
                .env("ERL_EPMD_PORT", port.to_string())
                .arg("-kill")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if ended.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Runs what follows in a network namespace.
fn enter(space: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{space}"));
    command
}

/// As [`Cluster::answers`], seen from another namespace.
fn answers_in(space: &str, address: &str, port: u16) -> bool {
    let ask = r#"exec 3<>"/dev/tcp/$0/$1" && printf 'AMQP\0\0\011\001' >&3 && head -c 1 <&3 | od -An -tu1"#;
    let output =
        enter(space).args(["timeout", "5", "bash", "-c", ask, address, &port.to_string()]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim() == "1"
}

/// A folder that is the broker's.
pub(crate) fn broker_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("sluice-broker-").tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), broker_user(), None).unwrap();
    folder
}

fn end_group(process: &Child) {
    signal_group(process, "KILL");
}

fn signal_group(process: &Child, signal: &str) -> bool {
    let group = format!("-{}", process.id());
    Command::new("kill").args([&format!("-{signal}"), "--", &group]).status().unwrap().success()
}

/// The package's own user when this is root; else whoever runs this.
fn broker_user() -> Option<u32> {
    let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    if own != 0 {
        return Some(own);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    users.lines().find_map(|line| line.strip_prefix("rabbitmq:")?.split(':').nth(1)?.parse().ok())
}

pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
