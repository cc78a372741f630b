//! A node of the bench's own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

const PASSWORD: &str = "correct horse battery";
const START_MAX: Duration = Duration::from_secs(60);

/// A running `sluice up`; killed and its folder removed at the end.
pub(crate) struct Node {
    folder: PathBuf,
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
}

/// One IMAP session.
pub(crate) struct Imap {
    reader: BufReader<TcpStream>,
}

/// Builds what is measured.
pub(crate) fn build() -> anyhow::Result<()> {
    let built = Command::new("cargo").args(["build", "--release", "--locked", "--bin", "sluice"]).status()?;
    ensure!(built.success(), "the release build failed");
    Ok(())
}

fn binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new(".")).join("target"),
        PathBuf::from,
    );
    target.join("release/sluice")
}

impl Node {
    /// Starts over a fresh folder beside the system's other temporary ones.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let folder = std::env::temp_dir().join(format!("sluice-bench-{}-{unique}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (child, addresses) = launch(&folder)?;
        Ok(Self { folder, child, addresses })
    }

    /// Ends with SIGTERM and starts again over the same folder.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        self.child.wait()?;
        (self.child, self.addresses) = launch(&self.folder)?;
        Ok(())
    }

    /// Adds accounts; gives their addresses.
    pub(crate) fn accounts(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let names: Vec<String> = (0..count).map(|number| format!("user{number}@example.test")).collect();
        for name in &names {
            self.sluice(&["account", "add", name, "--data", &self.data()], PASSWORD)?;
        }
        Ok(names)
    }

    /// Sends 5,000-octet messages; gives the report.
    pub(crate) fn smtp(
        &self,
        to: &[String],
        messages: u64,
        sessions: usize,
    ) -> anyhow::Result<serde_json::Value> {
        let server = self.address("mx")?.to_string();
        let (messages, sessions) = (messages.to_string(), sessions.to_string());
        let mut arguments = vec![
            "loadtest",
            "smtp",
            "--json",
            "--server",
            &server,
            "--messages",
            &messages,
            "--sessions",
            &sessions,
        ];
        for recipient in to {
            arguments.extend(["--to", recipient]);
        }
        let report: serde_json::Value =
            serde_json::from_str(&self.sluice(&arguments, "")?.0).context("the report is no JSON")?;
        let operations = report.get("operations").and_then(serde_json::Value::as_array);
        let messages = operations.and_then(|all| all.iter().find(|one| one.get("name")? == "smtp.message"));
        messages.cloned().context("no message in the report")
    }

    /// Waits until no message waits for a worker.
    pub(crate) fn wait_until_empty(&self, patience: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let busy = |metrics: &str| {
            let waiting = metrics
                .lines()
                .filter(|line| line.starts_with("sluice_queue_messages{") && line.contains("local"));
            waiting.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() > 0.0
        };
        while busy(&self.metrics()?) {
            ensure!(begun.elapsed() < patience, "the queue does not run empty");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Holds sessions; gives the resident bytes of the process while it holds them.
    pub(crate) fn idle(&self, logins: &[String], sessions: usize) -> anyhow::Result<f64> {
        let (server, sessions, pid) =
            (self.address("imap")?.to_string(), sessions.to_string(), self.child.id().to_string());
        let mut arguments = vec![
            "loadtest",
            "idle",
            "--server",
            &server,
            "--sessions",
            &sessions,
            "--hold",
            "1s",
            "--watch",
            &pid,
        ];
        for login in logins {
            arguments.extend(["--login", login]);
        }
        let (_, said) = self.sluice(&arguments, PASSWORD)?;
        let words: Vec<&str> = said.split_whitespace().collect();
        let at =
            words.windows(3).find(|w| matches!(w, ["sessions", _, "B:"])).context("no figure was printed")?;
        at.get(1).and_then(|bytes| bytes.parse().ok()).context("no figure was printed")
    }

    /// Logs in.
    pub(crate) fn imap(&self, login: &str) -> anyhow::Result<Imap> {
        let mut session = Imap { reader: BufReader::new(TcpStream::connect(self.address("imap")?)?) };
        session.line()?;
        session.command(&format!("LOGIN {login} \"{PASSWORD}\""))?;
        Ok(session)
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    fn address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        self.addresses.get(name).copied().with_context(|| format!("nothing listens as {name}"))
    }

    fn metrics(&self) -> anyhow::Result<String> {
        let mut tcp = TcpStream::connect(self.address("health")?)?;
        tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        tcp.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Standard output and standard error.
    fn sluice(&self, arguments: &[&str], input: &str) -> anyhow::Result<(String, String)> {
        let mut child = Command::new(binary())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        let (said, complained) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(output.status.success(), "sluice {arguments:?}: {complained}");
        Ok((said, complained))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn launch(folder: &Path) -> anyhow::Result<(Child, BTreeMap<String, SocketAddr>)> {
    let data = folder.join("data");
    let announced = data.join("run/up.json");
    let _ = std::fs::remove_file(&announced);
    let log = std::fs::File::create(folder.join("log"))?;
    let mut child = Command::new(binary())
        .args(["up", "--port-base", "0", "--data"])
        .arg(&data)
        // One machine plays a thousand people here.
        .env("SLUICE_ACCESS__IMAP__CONNECTIONS_PER_ADDRESS_MAX", "5000")
        .env("SLUICE_ACCESS__IMAP__CONNECTIONS_PER_ACCOUNT_MAX", "5000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("failed to start sluice")?;
    let begun = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(&announced) {
            let json: serde_json::Value = serde_json::from_str(&text)?;
            return Ok((child, serde_json::from_value(json.get("addresses").cloned().unwrap_or_default())?));
        }
        if let Some(status) = child.try_wait()? {
            bail!("sluice ended at once with {status}: {}", std::fs::read_to_string(folder.join("log"))?);
        }
        ensure!(begun.elapsed() < START_MAX, "sluice does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Imap {
    /// Sends a command and reads up to its tagged answer.
    pub(crate) fn command(&mut self, command: &str) -> anyhow::Result<String> {
        write!(self.reader.get_mut(), "x {command}\r\n")?;
        let mut all = String::new();
        loop {
            let line = self.line()?;
            all.push_str(&line);
            if line.starts_with("x ") {
                ensure!(line.starts_with("x OK"), "{command}: {line}");
                return Ok(all);
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        ensure!(self.reader.read_until(b'\n', &mut bytes)? > 0, "the server hung up");
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
