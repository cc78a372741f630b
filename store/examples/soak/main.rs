//! Several nodes on one store, at random, with faults; then a proof that nothing was lost, doubled or renumbered.
//! Started by `cargo xtask soak store`, inside the NFS rig of `tests/nfs`.
//!
//! ```text
//! soak run    SECONDS SEED LEDGERS   nodes A and B on $NFS_A and $NFS_B, faults by $NFS_CTL, then `check`
//! soak node   ROOT NAME SEED SECONDS LEDGERS
//! soak check  ROOT ROOT LEDGERS      ledgers against the mailboxes as both mounts show them
//! soak visible ROOT ROOT             a change through one mount shows through the other at the next look
//! soak probe ROOT ROOT               what `sluice mailbox probe` finds, through both mounts
//! soak listings ROOT ROOT COUNT      no listing under renames makes a message disappear
//! ```

#![allow(clippy::print_stdout, reason = "it reports to whoever started it")]
#![allow(clippy::indexing_slicing, reason = "a test program: a panic is a finding")]

mod check;
mod ledger;
mod listings;
mod node;
mod random;
mod run;
mod visible;
mod world;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use store::RealFs;

/// The guest's clock goes on in steps of 10 ms.
const PROBE_STEP: Duration = Duration::from_millis(20);

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).without_time().init();
    match command() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn command() -> Outcome<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["run", seconds, seed, ledgers] => run::run(seconds.parse()?, seed.parse()?, &PathBuf::from(ledgers)),
        ["node", root, name, seed, seconds, ledgers] => {
            let length = Duration::from_secs(seconds.parse()?);
            node::run(&PathBuf::from(root), name, seed.parse()?, length, &PathBuf::from(ledgers))?;
            Ok(true)
        }
        ["check", one, other, ledgers] => {
            check::check([&PathBuf::from(one), &PathBuf::from(other)], &PathBuf::from(ledgers))
        }
        ["visible", one, other] => visible::run(&PathBuf::from(one), &PathBuf::from(other)),
        ["probe", one, other] => {
            for probed in store::probe(Path::new(one), Some(Path::new(other)), &RealFs, PROBE_STEP)? {
                println!("{} {} {}", probed.verdict.name(), probed.check, probed.detail);
            }
            Ok(true)
        }
        ["listings", one, other, count] => {
            listings::run(&PathBuf::from(one), &PathBuf::from(other), count.parse()?)
        }
        _ => Err("see the head of store/examples/soak/main.rs".into()),
    }
}
