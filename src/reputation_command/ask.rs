//! Asks the processes that run over a data folder.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use shared_state::Backend;

use super::{Request, Response};
use crate::arguments::Place;
use crate::data::DataFolder;
use crate::settings::Settings;

/// The ending of a socket's name.
pub(crate) const CONTROL: &str = "control";
/// Octets of a question.
pub(crate) const REQUEST_MAX: u64 = 64 << 10;
/// Octets of an answer that is read.
const RESPONSE_MAX: u64 = 1 << 30;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The running processes: gateways first, since they know most.
pub(crate) struct Processes {
    sockets: Vec<(String, PathBuf)>,
    /// All of them see the same.
    is_shared: bool,
}

impl Processes {
    pub(crate) fn of(place: &Place) -> anyhow::Result<Self> {
        let data = DataFolder::open(&place.data)?;
        let settings = Settings::load(place)?;
        let mut sockets = sockets(&data.run())?;
        sockets.retain(|(_, path)| UnixStream::connect(path).is_ok());
        if sockets.is_empty() {
            bail!(
                "no process runs over `{}`: what is remembered about peers is in the running processes",
                place.data.display()
            );
        }
        Ok(Self { sockets, is_shared: settings.shared_state.backend == Backend::Redis })
    }

    /// What each says that has something to say; where all see the same, the first.
    pub(crate) fn ask(&self, request: &Request) -> anyhow::Result<Vec<(String, Response)>> {
        let mut answers = Vec::new();
        for (process, socket) in &self.sockets {
            let response =
                ask(socket, request).with_context(|| format!("`sluice {process}` can't be asked"))?;
            if response == Response::NotHere {
                continue;
            }
            answers.push((process.clone(), response));
            if self.is_shared {
                break;
            }
        }
        Ok(answers)
    }

    /// Lets all change something; gives how many things were changed.
    pub(crate) fn change(&self, request: &Request) -> anyhow::Result<u64> {
        let mut changed = None;
        for (_, response) in self.ask(request)? {
            match response {
                Response::Done(count) => *changed.get_or_insert(0) += count,
                other => super::unexpected(other)?,
            }
        }
        changed.with_context(|| match request {
            Request::Clear { what } => format!("`{what}` is nothing that a running process remembers"),
            _ => "no gateway runs over this data folder".to_owned(),
        })
    }
}

fn sockets(run: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let entries = std::fs::read_dir(run).with_context(|| format!("failed to read `{}`", run.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("failed to read `{}`", run.display()))?.path();
        let process = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        if let Some(process) = process
            && path.extension().is_some_and(|extension| extension == CONTROL)
        {
            found.push((process, path));
        }
    }
    found.sort_by_key(|(process, _)| (!matches!(process.as_str(), "gateway" | "up"), process.clone()));
    Ok(found)
}

fn ask(socket: &Path, request: &Request) -> anyhow::Result<Response> {
    let mut stream = UnixStream::connect(socket).context("failed to connect")?;
    stream.set_read_timeout(Some(ANSWER_MAX)).context("failed to set a deadline")?;
    stream.set_write_timeout(Some(ANSWER_MAX)).context("failed to set a deadline")?;
    let mut text = serde_json::to_vec(request).context("failed to write the question")?;
    text.push(b'\n');
    stream.write_all(&text).context("failed to ask")?;
    let mut answer = Vec::new();
    stream.take(RESPONSE_MAX).read_to_end(&mut answer).context("no answer came")?;
    serde_json::from_slice(&answer).context("the answer makes no sense")
}
