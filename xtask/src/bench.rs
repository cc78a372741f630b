//! `cargo xtask bench`: Sluice and its peers under the same load, in turns, on this machine; the tables go into docs/performance.md.
//!
//! ```text
//!  for each run:  for each system:  start ─▶ each cell: load, figures ─▶ stop
//! ```
//! Systems are started by `bench/peers/peer`, one at a time, and keep their mail between runs: deleting much slows down what creates files after it. The load is
//! `sluice loadtest` against all of them. Figures are medians with the smallest and the largest.

mod access;
mod figures;
pub(crate) mod mail;
pub(crate) mod peer;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};

use figures::Figures;
use peer::Peer;

/// Where the tables stand in docs/performance.md.
const BEGIN: &str = "<!-- cargo xtask bench: begin -->\n";
const END: &str = "<!-- cargo xtask bench: end -->\n";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Runs of each system, in turns.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// What is measured; all of it without one.
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Only these systems, as `bench/peers/README.md` names them; may be given several times.
    #[arg(long = "system", value_name = "NAME")]
    systems: Vec<String>,
    /// Sessions at once.
    #[arg(long, value_delimiter = ',', default_value = "1,10,50,100")]
    sessions: Vec<usize>,
    /// Octets of a message.
    #[arg(long, value_delimiter = ',', default_value = "5000,50000")]
    sizes: Vec<usize>,
    /// Folder for their data, on the disk that is measured. It is removed at the end.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    folder: PathBuf,
    /// Write the tables into docs/performance.md.
    #[arg(long)]
    write: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// IMAP and POP3 operations, logins, the memory of idle sessions.
    Access,
    /// Accepting mail, and bringing it into Maildirs.
    Mail,
}

const MAIL: [&str; 5] = ["sluice", "postfix", "postfix-stock", "postfix-dovecot", "opensmtpd"];
const ACCESS: [&str; 4] = ["sluice", "dovecot", "dovecot-reused", "dovecot-synced"];

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    peer::build()?;
    peer::install()?;
    ensure!(!arguments.folder.exists(), "{} exists: name a folder that does not", arguments.folder.display());
    std::fs::create_dir_all(&arguments.folder)?;
    let folder = arguments.folder.canonicalize()?;
    let wants = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let chosen =
        |name: &&str| arguments.systems.is_empty() || arguments.systems.iter().any(|system| system == name);
    let mut figures = Figures::default();
    for run in 0..arguments.runs {
        for name in MAIL.iter().copied().filter(|_| wants(Part::Mail)).filter(chosen) {
            let system = Peer::start(name, &folder.join(format!("mail-{name}")))?;
            mail::measure(&system, arguments, &mut figures).with_context(|| format!("{name}, run {run}"))?;
        }
        for name in ACCESS.iter().copied().filter(|_| wants(Part::Access)).filter(chosen) {
            let system = Peer::start(name, &folder.join(format!("access-{name}")))?;
            access::measure(&system, (run, arguments), &mut figures)
                .with_context(|| format!("{name}, run {run}"))?;
        }
        println!("run {} of {} is over", run + 1, arguments.runs);
    }
    let tables = figures.tables(arguments.runs)?;
    println!("{tables}");
    if arguments.write {
        write(&tables)?;
    }
    std::fs::remove_dir_all(&folder).context("failed to remove the data")
}

/// `1 session`, `50 sessions`.
fn sessions(count: usize) -> String {
    format!("{count} session{}", if count == 1 { "" } else { "s" })
}

fn write(tables: &str) -> anyhow::Result<()> {
    let path = peer::root().join("docs/performance.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).context("docs/performance.md has no place for the tables")?;
    let (_, after) = rest.split_once(END).context("the place for the tables has no end")?;
    std::fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}"))
        .context("failed to write docs/performance.md")
}
