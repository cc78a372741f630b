//! A program in a folder of its own, stopped with everything it started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Long enough for a busy machine.
const READY_MAX: Duration = Duration::from_secs(90);

pub(crate) struct Folder {
    dir: TempDir,
}

pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file in which `@` means this folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text.replace('@', self.dir.path().to_str().unwrap())).unwrap();
        path
    }

    pub(crate) fn start(&self, program: &str, arguments: &[&str]) -> Process {
        use std::os::unix::process::CommandExt as _;

        let log = self.dir.path().join(format!("{program}.out"));
        let out = fs::File::create(&log).unwrap();
        // Debian keeps most of them where only root looks.
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new(program)
            .args(arguments)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start ({error}): ./test installs it"));
        Process { child, log }
    }
}

impl Process {
    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self, is_ready: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_ready() {
            let ended = self.child.try_wait().unwrap();
            let out = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(ended.is_none(), "it ended: {ended:?} {}", out());
            assert!(begun.elapsed() < READY_MAX, "it is not ready: {}", out());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let signal =
            |name: &str| drop(Command::new("kill").args([name, "--", &group]).stderr(Stdio::null()).status());
        // Nothing of theirs is kept, and libmilter looks every five seconds whether it is to stop.
        signal("-TERM");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(500)
            && self.child.try_wait().is_ok_and(|ended| ended.is_none())
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        signal("-KILL");
        let _ = self.child.wait();
    }
}

/// Whether somebody listens on a Unix socket.
pub(crate) fn listens(path: impl AsRef<Path>) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_ok()
}
