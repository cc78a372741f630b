//! A real broker, or several as a cluster, started for one test and ended with it.

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
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";

/// Nodes that share a port mapper of their own.
pub(crate) struct Cluster {
    folder: TempDir,
    mapper: u16,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    port: u16,
    distribution: u16,
    process: Option<Child>,
}

impl Cluster {
    /// Starts so many nodes and joins them.
    pub(crate) fn start(count: usize) -> Self {
        assert!(
            Path::new(SERVER).exists(),
            "the tests need Debian's package rabbitmq-server; ./test installs it"
        );
        let folder = tempfile::Builder::new().prefix("sluice-broker-").tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), broker_user(), None).unwrap();
        let ports = free_ports(1 + 2 * count);
        // Erlang's nodes know each other by a secret; each test has its own.
        let mut cookie = [0; 16];
        File::open("/dev/urandom").unwrap().read_exact(&mut cookie).unwrap();
        let cookie: String = cookie.iter().map(|byte| char::from(b'A' + byte % 26)).collect();
        let nodes = (0..count).map(|index| Node {
            // Names are the machine's, mappers are ours: two clusters at once must not meet.
            name: format!("sluice{}-{index}@localhost", ports[0]),
            port: ports[1 + 2 * index],
            distribution: ports[2 + 2 * index],
            process: None,
        });
        let mut cluster = Self { nodes: nodes.collect(), mapper: ports[0], folder };
        for index in 0..count {
            let home = cluster.home(index);
            std::fs::create_dir_all(&home).unwrap();
            let secret = home.join(".erlang.cookie");
            std::fs::write(&secret, &cookie).unwrap();
            std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
            std::fs::write(home.join("plugins"), "[].\n").unwrap();
            let settings = "loopback_users = none\nlog.file.level = warning\ncluster_partition_handling = pause_minority\n";
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
        cluster
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect()
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

    /// Starts a node again without waiting for it.
    pub(crate) fn begin(&mut self, index: usize) {
        let node = &self.nodes[index];
        let output = File::create(self.home(index).join("output")).unwrap();
        let mut command = self.command(index, SERVER);
        command
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
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
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.nodes[index].port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut byte = [0];
        // AMQP 0-9-1 §4.2.2: the header, and the server's first frame.
        stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
            && stream.read_exact(&mut byte).is_ok()
            && byte == [1]
    }

    fn output(&self, index: usize) -> String {
        std::fs::read_to_string(self.home(index).join("output")).unwrap_or_default()
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

    fn home(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("node{index}"))
    }

    fn command(&self, index: usize, program: &str) -> Command {
        let home = self.home(index);
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", &home)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.mapper.to_string())
            .env("RABBITMQ_NODENAME", &self.nodes[index].name)
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
            // Two processors are shared by all: none of them is to be kept busy by waiting.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none")
            .current_dir(&home)
            .uid(broker_user().unwrap());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.nodes.len() {
            self.kill(index);
        }
        // The port mapper is a process of its own that the first node started. It ends when it has noticed that the nodes are gone.
        for _ in 0..100 {
            let ended = Command::new("epmd")
                .env("ERL_EPMD_ADDRESS", "127.0.0.1")
                .env("ERL_EPMD_PORT", self.mapper.to_string())
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

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
