//! `<data>/run/<process>.control`: the socket on which a running process answers `sluice reputation`. Only who may read the data folder gets
//! to it. One line of JSON each way, then it ends.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use runtime::Drain;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::reputation_command::{CONTROL, REQUEST_MAX, Remembered, Request, Response};

/// Questions that are answered at once.
const TOGETHER: usize = 4;
/// How long one question may take in all: lists in the DNS are asked.
const QUESTION_MAX: Duration = Duration::from_secs(60);

/// The socket; it goes with the process.
pub(crate) struct Control {
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens until the drain begins. A process that can't listen does its work all the same.
pub(crate) fn begin(run: &Path, process: &str, remembered: Remembered, drain: &Drain) -> Option<Control> {
    let path = run.join(format!("{process}.{CONTROL}"));
    match listen(&path) {
        Ok(listener) => {
            tokio::spawn(serve(listener, Arc::new(remembered), drain.clone()));
            Some(Control { path })
        }
        Err(error) => {
            warn!(error = format!("{error:#}"), "`sluice reputation` can't ask this process");
            None
        }
    }
}

fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    // A process that was killed leaves it behind; the lock says that there is no other.
    let _ = std::fs::remove_file(path);
    let listener =
        UnixListener::bind(path).with_context(|| format!("failed to listen on `{}`", path.display()))?;
    // The folder keeps others out already.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("failed to protect `{}`", path.display()))?;
    Ok(listener)
}

async fn serve(listener: UnixListener, remembered: Arc<Remembered>, drain: Drain) {
    let places = Arc::new(Semaphore::new(TOGETHER));
    loop {
        let place = tokio::select! {
            () = drain.requested() => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = drain.requested() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let remembered = Arc::clone(&remembered);
        tokio::spawn(async move {
            match tokio::time::timeout(QUESTION_MAX, answer(stream, &remembered)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a question on the socket was not answered"),
                Err(_) => debug!("a question on the socket took too long"),
            }
            drop(place);
        });
    }
}

async fn answer(stream: UnixStream, remembered: &Remembered) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(reading).take(REQUEST_MAX).read_until(b'\n', &mut line).await?;
    let response = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => remembered.answer(request).await,
        Err(error) => Response::Failed(format!("that is no question: {error}")),
    };
    let mut text = serde_json::to_vec(&response)?;
    text.push(b'\n');
    writing.write_all(&text).await
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::start::failures::Failures;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_questions_are_answered() {
        let folder = tempfile::tempdir().unwrap();
        let failures = Arc::new(Failures::new(shared_state::Guarded::alone()));
        let drain = Drain::new();
        let path = folder.path().join("up.control");
        std::fs::write(&path, "left behind").unwrap();
        let control = begin(folder.path(), "up", Remembered { reputation: None, failures }, &drain).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let asked = tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                let ask = |text: &[u8]| {
                    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
                    // One that is too long is answered before it is read.
                    let _ = stream.write_all(text);
                    let mut answer = String::new();
                    let _ = stream.read_to_string(&mut answer);
                    answer
                };
                for odd in [b"\n".as_slice(), b"{}\n", b"[1\n", b"\xff\n", b"GET / HTTP/1.1\r\n\r\n"] {
                    assert!(ask(odd).contains("that is no question"), "{odd:?}");
                }
                ask(&vec![b'x'; 1 << 20]);
                let rows = ask(b"{\"list\":{\"kind\":\"throttle\",\"limit\":10}}\n");
                assert_eq!(rows, "{\"rows\":{\"rows\":[],\"whole\":true}}\n");
            }
        });
        asked.await.unwrap();
        drain.begin();
        drop(control);
        assert!(!path.exists());
    }
}
