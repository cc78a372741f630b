//! The documented example: everything as processes of its own, restarted under load.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::node::{PASSWORD, must, wait_for};

/// Stops the installation when the test ends, however it ends.
struct Example {
    folder: tempfile::TempDir,
    base: u16,
}

impl Example {
    fn cluster(&self, command: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/cluster");
        let mut cluster = Command::new(script);
        cluster.arg(command).arg(self.folder.path().join("site"));
        cluster.env("SLUICE", env!("CARGO_BIN_EXE_sluice")).env("PORT_BASE", self.base.to_string());
        let (name, none) = crate::node::QUIET;
        cluster.env(name, none);
        cluster
    }

    fn site(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    /// Numbered messages through the front door, until it is dropped.
    fn load(&self, ledger: &Path, accounts: &[&str]) -> Load {
        let mut load = Command::new(env!("CARGO_BIN_EXE_sluice"));
        load.args([
            "loadtest",
            "ledger",
            "send",
            "--sessions",
            "2",
            "--messages",
            "100000000",
            "--time",
            "10m",
        ]);
        load.args(["--size", "1000", "--server", &self.at(25), "--ledger"]).arg(ledger);
        for account in accounts {
            load.args(["--to", account]);
        }
        Load(load.stdout(Stdio::null()).spawn().unwrap())
    }

    /// Fails with the ends of the ledger and of every log.
    fn explain(&self, ledger: &Path, accepted: usize) -> ! {
        let last = |path: &Path, lines: usize| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.lines().rev().take(lines).collect::<Vec<_>>().join("\n")
        };
        let logs = std::fs::read_dir(self.site().join("logs")).unwrap().flatten();
        let ends: Vec<String> =
            logs.map(|log| format!("{:?}:\n{}", log.file_name(), last(&log.path(), 5))).collect();
        panic!("{accepted} accepted, and then:\n{}\n{}", last(ledger, 20), ends.join("\n"));
    }

    fn at(&self, port: u16) -> String {
        format!("127.0.0.1:{}", self.base + port)
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.cluster("stop").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A base above which the example's ports are free.
fn base() -> u16 {
    let offsets = (10..=92).chain([25, 110, 143, 465, 587, 993, 995, 8080]);
    let offsets: Vec<u16> = offsets.collect();
    let free =
        |base: &u16| offsets.iter().all(|offset| TcpListener::bind(("127.0.0.1", base + offset)).is_ok());
    (20_000..24_000).step_by(100).find(free).expect("free ports")
}

/// A process that the test ends.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_rolling_restart_of_everything_under_load_fails_no_transaction() {
    // The broker runs as a user of its own, who must be able to come here.
    let folder = tempfile::Builder::new()
        .prefix("sluice-example-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let example = Example { folder, base: base() };
    must(&mut example.cluster("start"), "");
    let shared = example.site().join("shared");
    let sluice = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(arguments);
        command
    };
    let accounts = ["user0@example.test", "user1@example.test", "user2@example.test"];
    for account in accounts {
        must(sluice(&["account", "add", account, "--data"]).arg(&shared), &format!("{PASSWORD}\n"));
    }
    let ledger = example.folder.path().join("ledger");
    let load = example.load(&ledger, &accounts);
    let accepted = || std::fs::read_to_string(&ledger).unwrap_or_default().matches("\nack ").count();
    wait_for("the first messages", || (accepted() > 20).then_some(()));
    let roll = example.cluster("roll").stdout(Stdio::null()).spawn().unwrap().wait().unwrap();
    assert!(roll.success());
    let before = accepted();
    let goes_on = std::panic::catch_unwind(|| {
        wait_for("messages after it", || (accepted() > before + 20).then_some(()))
    });
    if goes_on.is_err() {
        example.explain(&ledger, before);
    }
    drop(load);

    // Every answer that was no 250 was the 421 of a node that drains, between two transactions; none was missing but those under way at
    // the end of the load.
    let text = std::fs::read_to_string(&ledger).unwrap();
    let refused: Vec<&str> =
        text.lines().filter(|line| line.starts_with("no ") && !line.ends_with(" 421")).collect();
    assert_eq!(refused, [""; 0]);
    let missing: Vec<&str> = text.lines().filter(|line| line.starts_with("unknown ")).collect();
    assert_eq!(missing, [""; 0]);
    let check = || {
        let mut check =
            sluice(&["loadtest", "ledger", "check", "--json", "--server", &example.at(143), "--ledger"]);
        check.arg(&ledger);
        for account in accounts {
            check.args(["--login", account]);
        }
        let output = crate::node::run(&mut check, &format!("{PASSWORD}\n"));
        let verdict = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), verdict)
    };
    // Deliveries may still be under way.
    let verdict = wait_for("every accepted message", || {
        let (clean, verdict) = check();
        std::thread::sleep(Duration::from_millis(if clean { 0 } else { 500 }));
        clean.then_some(verdict)
    });
    assert!(verdict.contains("\"doubled\""), "{verdict}");
    must(&mut example.cluster("stop"), "");
}
