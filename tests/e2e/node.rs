//! A running Sluice of the test's own, on free ports, in a folder of its own.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a start, an end or a delivery may take before the test fails; CI machines are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The password of every account that a test makes.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// One process of `sluice`.
pub(crate) struct Process {
    child: Option<Child>,
    /// What it listens on, by name.
    pub(crate) addresses: BTreeMap<String, SocketAddr>,
}

/// A data folder and the process over it.
pub(crate) struct Node {
    pub(crate) folder: TempDir,
    process: Option<Process>,
}

/// Waits until `condition` gives something, or fails with `what`.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// No mail leaves a test, unless it asks for it.
pub(crate) const QUIET: (&str, &str) = ("SLUICE_DELIVERY__REMOTE__CONCURRENCY", "0");

impl Process {
    /// Starts `sluice ARGUMENTS` and waits for the file in which it says what it listens on.
    pub(crate) fn start(arguments: &[&str], data: &Path, role: &str) -> Self {
        Self::start_in(&[QUIET], arguments, data, role)
    }

    /// The same with variables of its own.
    fn start_in(environment: &[(&str, &str)], arguments: &[&str], data: &Path, role: &str) -> Self {
        let announced = data.join("run").join(format!("{role}.json"));
        let _ = std::fs::remove_file(&announced);
        let log = std::fs::File::create(data.with_extension(format!("{role}.log"))).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let addresses = wait_for(&format!("`sluice {}` announces itself", arguments.join(" ")), || {
            if let Some(status) = child.try_wait().unwrap() {
                let log =
                    std::fs::read_to_string(data.with_extension(format!("{role}.log"))).unwrap_or_default();
                panic!("`sluice {}` ended at once with {status}:\n{log}", arguments.join(" "));
            }
            let text = std::fs::read_to_string(&announced).ok()?;
            let json: serde_json::Value = serde_json::from_str(&text).ok()?;
            let listed = json.get("addresses")?.as_object()?;
            Some(
                listed
                    .iter()
                    .map(|(name, address)| (name.clone(), address.as_str().unwrap().parse().unwrap()))
                    .collect(),
            )
        });
        Self { child: Some(child), addresses }
    }

    /// As a power cut ends it, but for what the kernel still holds.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; gives whether it ended with status 0.
    pub(crate) fn terminate(mut self) -> bool {
        let mut child = self.child.take().unwrap();
        let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let status = wait_for("the process ends after SIGTERM", || child.try_wait().unwrap());
        status.success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Node {
    /// `sluice up` in a fresh folder, with the domain `example.test` and the accounts alice and bob.
    pub(crate) fn start() -> Self {
        let mut node = Self::fresh();
        node.up();
        node.add_account("alice@example.test");
        node.add_account("bob@example.test");
        node
    }

    /// A folder in which nothing was started yet.
    pub(crate) fn fresh() -> Self {
        Self { folder: tempfile::Builder::new().prefix("sluice-e2e-").tempdir().unwrap(), process: None }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts `sluice up` over the folder.
    pub(crate) fn up(&mut self) {
        self.up_with(&[]);
    }

    /// The same with further arguments.
    pub(crate) fn up_with(&mut self, more: &[&str]) {
        assert!(self.process.is_none());
        let data = self.data();
        std::fs::create_dir_all(&data).unwrap();
        let mut arguments = vec!["up", "--data", data.to_str().unwrap(), "--port-base", "0"];
        arguments.extend(more);
        self.process = Some(Process::start(&arguments, &data, "up"));
    }

    /// The same with settings of the environment.
    pub(crate) fn up_in(&mut self, environment: &[(&str, &str)]) {
        assert!(self.process.is_none());
        let data = self.data();
        std::fs::create_dir_all(&data).unwrap();
        let arguments = ["up", "--data", data.to_str().unwrap(), "--port-base", "0"];
        self.process = Some(Process::start_in(environment, &arguments, &data, "up"));
    }

    /// `sluice up` that sends mail to other systems, which all listen on `port`, and asks the DNS server at `resolver`. Senders of what it forwards are
    /// rewritten to addresses at example.test.
    pub(crate) fn up_sending(&mut self, resolver: SocketAddr, port: &str) {
        self.up_sending_with(resolver, port, &[]);
    }

    /// The same with further settings.
    pub(crate) fn up_sending_with(&mut self, resolver: SocketAddr, port: &str, more: &[(&str, &str)]) {
        assert!(self.process.is_none());
        let data = self.data();
        std::fs::create_dir_all(&data).unwrap();
        let arguments = ["up", "--data", data.to_str().unwrap(), "--port-base", "0"];
        let resolvers = format!("[\"{resolver}\"]");
        let secret = self.folder.path().join("srs-secret");
        std::fs::write(&secret, "a secret of some length\n").unwrap();
        let mut environment = vec![
            ("SLUICE_DELIVERY__REMOTE__RESOLVERS", resolvers.as_str()),
            ("SLUICE_DELIVERY__REMOTE__PORT", port),
            ("SLUICE_DELIVERY__REMOTE__ALLOW_PRIVATE", "true"),
            ("SLUICE_DELIVERY__RETRY_AFTER", "[\"1s\"]"),
            ("SLUICE_DIRECTORY__SRS__DOMAIN", "example.test"),
            ("SLUICE_DIRECTORY__SRS__SECRET_FILE", secret.to_str().unwrap()),
            // For swaks, which speaks TLS only with a further package.
            ("SLUICE_GATEWAY__ALLOW_PLAINTEXT_AUTH", "true"),
        ];
        environment.extend(more);
        self.process = Some(Process::start_in(&environment, &arguments, &data, "up"));
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("the node is running")
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        *self
            .process()
            .addresses
            .get(name)
            .unwrap_or_else(|| panic!("nothing called {name} in {:?}", self.process().addresses))
    }

    pub(crate) fn port(&self, name: &str) -> String {
        self.address(name).port().to_string()
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    pub(crate) fn terminate(&mut self) -> bool {
        self.process.take().unwrap().terminate()
    }

    /// The Maildir of an account that has got mail.
    pub(crate) fn maildir(&self, address: &str) -> PathBuf {
        let below = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let hashes = below(self.data().join("mail")).filter(|path| path.is_dir()).flat_map(below);
        hashes.map(|hash| hash.join(address)).find(|path| path.is_dir()).expect("no mail came")
    }

    /// What the process wrote to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data().with_extension("up.log")).unwrap_or_default()
    }

    /// Runs `sluice ARGUMENTS --data …` with `input`, and gives what it wrote; fails unless it ends with 0.
    pub(crate) fn sluice(&self, arguments: &[&str], input: &str) -> String {
        let output = self.try_sluice(arguments, input);
        assert!(output.status.success(), "sluice {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, whatever the status.
    pub(crate) fn try_sluice(&self, arguments: &[&str], input: &str) -> Output {
        let data = self.data();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(arguments).arg("--data").arg(data);
        run(&mut command, input)
    }

    pub(crate) fn add_account(&self, address: &str) {
        self.sluice(&["account", "add", address], &format!("{PASSWORD}\n"));
    }

    /// Sends with swaks to the MX port; gives the id of the 250.
    pub(crate) fn swaks(&self, from: &str, to: &str, more: &[&str]) -> String {
        let mut command = Command::new("swaks");
        command
            .args(["--server", "127.0.0.1", "--port", &self.port("mx"), "--from", from, "--to", to])
            .args(more);
        let output = run(&mut command, "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "swaks: {text}{}", String::from_utf8_lossy(&output.stderr));
        queued_id(&text).unwrap_or_else(|| panic!("no id in {text}"))
    }

    /// Waits until `count` messages are in the account's INBOX; gives them, by IMAP.
    pub(crate) fn inbox(&self, address: &str, count: usize) -> Vec<String> {
        wait_for(&format!("{count} messages in the INBOX of {address}"), || {
            let messages = crate::wire::imap_fetch_all(self.address("imap"), address, PASSWORD, "INBOX");
            (messages.len() >= count).then_some(messages)
        })
    }
}

/// The id in `250 2.0.0 queued as <id>`.
pub(crate) fn queued_id(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("queued as ")?;
    Some(rest.chars().take_while(char::is_ascii_alphanumeric).collect())
}

/// Runs a command with `input` on its standard input, bounded in time.
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdout = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = out.read_to_end(&mut bytes);
        bytes
    });
    let stderr = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = err.read_to_end(&mut bytes);
        bytes
    });
    let deadline = Instant::now() + PATIENCE * 2;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} did not end: {}", String::from_utf8_lossy(&stdout.join().unwrap()));
        }
        std::thread::park_timeout(Duration::from_millis(10));
    };
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Runs a command that must end with 0; gives its standard output.
pub(crate) fn must(command: &mut Command, input: &str) -> String {
    let output = run(command, input);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}:\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// An HTTP GET without a library; gives the whole answer.
pub(crate) fn http_get(address: SocketAddr, path: &str) -> String {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(tcp, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer
}
