//! The milter under test: a folder of rules, a socket, a log.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a busy machine.
const READY_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Milter {
    child: Child,
    folder: PathBuf,
}

/// Waits until something is so, and says what was awaited if it never is.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < READY_MAX, "{what}: it did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A folder that other users may enter: Postfix is several of them.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Replaces the rules in one step, so that no look finds half of them.
pub(crate) fn write_rules(folder: &Path, text: &str) {
    fs::create_dir_all(folder.join("policy")).unwrap();
    fs::write(folder.join("rules.new"), text).unwrap();
    fs::rename(folder.join("rules.new"), folder.join("policy/rules.toml")).unwrap();
}

/// Runs the program to its end.
pub(crate) fn run(folder: &Path, config: &str, arguments: &[&str]) -> Output {
    fs::write(folder.join("milter.toml"), config).unwrap();
    command(folder).args(arguments).output().unwrap()
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-milter"));
    command.arg("--config").arg(folder.join("milter.toml")).arg("--policy").arg(folder.join("policy"));
    command.stdin(Stdio::null());
    command
}

impl Milter {
    /// Starts it with what is in the folder; `more` is added to the configuration.
    pub(crate) fn start(folder: &Path, more: &str) -> Self {
        // Nobody is on the DNS's port: every question fails at once.
        let config = format!(
            "hostname = \"mx.b.test\"\nstate_folder = \"{}/state\"\n{more}\n[dns]\nresolvers = [\"127.0.0.1:1\"]\n\
             question_max = \"200ms\"\ntry_max = \"100ms\"\n[policy]\nreload_interval = \"1s\"\n",
            folder.display()
        );
        fs::write(folder.join("milter.toml"), config).unwrap();
        let log = fs::File::create(folder.join("milter.log")).unwrap();
        let socket = folder.join("milter.sock");
        let child = command(folder)
            .arg("--socket")
            .arg(format!("unix:{}", socket.display()))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut milter = Self { child, folder: folder.to_owned() };
        wait("the milter listens", || {
            let ended = milter.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?} {}", milter.log());
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        // Postfix is another user.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        milter
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("milter.log")).unwrap()
    }

    /// Waits for a line of the log that has all of `words`.
    pub(crate) fn logs(&self, words: &[&str]) -> String {
        wait(&format!("{words:?} in the log: {}", self.log()), || {
            let log = self.log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        })
    }

    /// Sends SIGTERM; gives whether it ended well.
    pub(crate) fn end(&mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        wait("the milter ends", || self.child.try_wait().unwrap()).success()
    }
}

impl Drop for Milter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
