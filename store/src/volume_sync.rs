//! One sync for everybody: a message for many mailboxes asks for the file system's own commit (`syncfs`) instead of one
//! sync each for hundreds of directories.
//!
//! Whoever comes while a sync is under way waits for the next, since the running one may have passed its files
//! already. The first of those who wait does it for all. It writes whatever else is dirty on that file system too, so
//! it pays only for many mailboxes, see `Config::shared_sync_min` (16 writers of single messages are faster with syncs
//! of their own); and it is for local file systems, where a node is alone.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::fs::FsFile;

#[derive(Debug)]
pub(crate) struct VolumeSync {
    /// Any file of the volume. The same one each time: a failure is told once to each open file.
    file: Box<dyn FsFile>,
    rounds: Mutex<Rounds>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    running: bool,
    /// How many began and how many ended.
    began: u64,
    ended: u64,
    /// What went wrong in the latest rounds.
    failures: Vec<(u64, String)>,
}

/// Rounds whose failure is remembered for those who have not woken up yet.
const FAILURES_KEPT: usize = 8;

impl VolumeSync {
    pub(crate) fn new(file: Box<dyn FsFile>) -> Self {
        Self { file, rounds: Mutex::default(), ended: Condvar::new() }
    }

    /// Returns when everything that was written on the volume before the call is on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = rounds.began + 1;
        while rounds.running && rounds.ended < mine {
            rounds = self.ended.wait(rounds).unwrap_or_else(PoisonError::into_inner);
        }
        if rounds.ended < mine {
            rounds.running = true;
            rounds.began = mine;
            drop(rounds);
            let result = self.file.sync_volume();
            rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
            rounds.running = false;
            rounds.ended = mine;
            if let Err(error) = result {
                rounds.failures.push((mine, error.to_string()));
                let surplus = rounds.failures.len().saturating_sub(FAILURES_KEPT);
                rounds.failures.drain(..surplus);
            }
            self.ended.notify_all();
        }
        match rounds.failures.iter().find(|(round, _)| *round == mine) {
            Some((_, text)) => Err(io::Error::other(text.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fs::Fs as _;
    use crate::fs::simulated::{Fault, SimulatedFs};

    #[test]
    fn a_failure_is_told_to_those_it_concerns() {
        let fs = SimulatedFs::new();
        let volume = VolumeSync::new(fs.open_write("/x".as_ref()).unwrap());
        volume.sync().unwrap();
        fs.plan(1, Fault::FailBefore);
        assert!(volume.sync().is_err());
        volume.sync().unwrap();
    }

    #[test]
    fn who_comes_late_waits_for_the_next() {
        let fs = SimulatedFs::new();
        let volume = Arc::new(VolumeSync::new(fs.open_write("/x".as_ref()).unwrap()));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        volume.sync().unwrap();
                    }
                });
            }
        });
        let rounds = volume.rounds.lock().unwrap();
        assert!(!rounds.running && rounds.began == rounds.ended && rounds.ended <= 400);
    }
}
