//! Mail in: how fast it is accepted, how fast it is in the Maildirs, and what that costs.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::Arguments;
use super::figures::Figures;
use super::peer::{Peer, figure, load};

/// Accounts that get mail.
const RECIPIENTS: usize = 20;
/// How long the last message of a load may take into its Maildir.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn measure(system: &Peer, arguments: &Arguments, figures: &mut Figures) -> anyhow::Result<()> {
    // Every Maildir exists, and everything that is started on demand runs.
    send(system, 10, 2000, 200)?;
    std::thread::sleep(Duration::from_secs(1));
    let folders = folders(&system.maildirs()?, &recipients())?;
    ensure!(folders.len() >= RECIPIENTS * 2, "only {} folders of Maildirs", folders.len());
    let mut known = count(&folders)?;
    for size in &arguments.sizes {
        for sessions in &arguments.sessions {
            let messages = messages(*sessions, *size) / slowness(&system.name);
            let (cpu, begun) = (system.cpu()?, Instant::now());
            let ((report, through), memory) = system.most_memory(|| {
                let report = send(system, *sessions, *size, messages)?;
                while count(&folders)? < known + messages {
                    ensure!(
                        begun.elapsed() < PATIENCE,
                        "{} of {messages} messages are in the Maildirs",
                        count(&folders)? - known
                    );
                    std::thread::sleep(LOOK);
                }
                Ok((report, begun.elapsed().as_secs_f64()))
            })?;
            let cpu = system.cpu()? - cpu;
            known = count(&folders)?;
            let many = f64::from(u32::try_from(messages)?);
            let mut put = |what: &str, unit, value| {
                figures.put(
                    (what, &format!("{} KB, {}", size / 1000, super::sessions(*sessions)), unit),
                    &system.name,
                    value,
                )
            };
            put("accepted", "messages/s", figure(&report, "smtp.message", "rate")?);
            put("accepted, then in the Maildir", "messages/s", many / through);
            put("p99 of accepting", "ms", figure(&report, "smtp.message", "latency/p99")? / 1000.0);
            put("processor time of 1,000 messages", "s", cpu / many * 1000.0);
            put("memory at most", "MB", memory / 1e6);
        }
    }
    Ok(())
}

fn recipients() -> Vec<String> {
    (0..RECIPIENTS).map(|number| format!("u{number}@bench.test")).collect()
}

/// Slow systems get less, so that a run of all of them ends.
fn slowness(name: &str) -> usize {
    match name {
        "opensmtpd" => 16,
        "postfix-dovecot" => 2,
        _ => 1,
    }
}

/// Enough for some seconds, or most of one where a system is fast.
const fn messages(sessions: usize, size: usize) -> usize {
    let messages = match sessions {
        0..=4 => 400,
        5..=20 => 2000,
        _ => 8000,
    };
    if size > 20_000 { messages / 2 } else { messages }
}

fn send(system: &Peer, sessions: usize, size: usize, messages: usize) -> anyhow::Result<serde_json::Value> {
    let mut arguments: Vec<String> =
        ["smtp", "--from", "load@bench.test", "--server"].map(str::to_owned).into();
    arguments.push(system.server("smtp")?);
    for (name, value) in [("--sessions", sessions), ("--size", size), ("--messages", messages)] {
        arguments.extend([name.to_owned(), value.to_string()]);
    }
    for recipient in recipients() {
        arguments.extend(["--to".to_owned(), recipient]);
    }
    // A server that makes clients wait for a connection is slow, and has refused no mail.
    arguments.extend(["--answer-max", "20s", "--require", "smtp.message failed <= 0"].map(str::to_owned));
    load(&arguments)
}

/// `new` and `cur` of these people's INBOXes: their address, or what is before its `@`, is part of the path.
pub(crate) fn folders(root: &Path, people: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let names: HashSet<&OsStr> = people
        .iter()
        .flat_map(|person| [person.as_str(), person.split('@').next().unwrap_or_default()])
        .map(OsStr::new)
        .collect();
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let (path, name) = (entry.path(), entry.file_name());
            if name == "new" || name == "cur" {
                if path.components().any(|part| names.contains(part.as_os_str())) {
                    found.push(path);
                }
            } else if name != "tmp" && !name.to_string_lossy().starts_with('.') {
                open.push(path);
            }
        }
    }
    Ok(found)
}

fn count(folders: &[PathBuf]) -> anyhow::Result<usize> {
    let mut count = 0;
    for folder in folders {
        count += std::fs::read_dir(folder)?.count();
    }
    Ok(count)
}
