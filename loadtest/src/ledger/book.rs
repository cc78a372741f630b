//! Writes down each message before it is sent, and what was answered; knows what watchers still wait for.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use async_trait::async_trait;
use envelope::Address;

use crate::run::Settle;

/// How often it is looked whether everything was seen.
const LOOK: Duration = Duration::from_millis(50);

/// The ledger of a run, open for writing. Several loads may share it.
pub struct Book {
    file: Mutex<File>,
    run: String,
    next: AtomicU64,
    /// Mailboxes that somebody watches.
    watched: HashSet<Address>,
    /// Messages to them that were sent and not seen everywhere.
    open: Mutex<HashMap<u64, Open>>,
    /// How long they are waited for when nothing more is sent.
    settle_max: Duration,
    answers: [AtomicU64; 3],
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages with a 250.
    pub accepted: u64,
    /// Messages with another answer.
    pub refused: u64,
    /// Messages without one.
    pub unknown: u64,
}

/// A message on its way to watched mailboxes.
#[derive(Debug, Default)]
struct Open {
    accepted: Option<Instant>,
    /// Watched recipients that have not seen it.
    missing: u32,
}

impl Book {
    /// Makes the file, which must not exist. `watched` are the mailboxes from which [`Self::seen`] is called.
    pub fn create(path: &Path, watched: &[Address], settle_max: Duration) -> anyhow::Result<Self> {
        let file = File::create_new(path)
            .with_context(|| format!("failed to make the ledger `{}`", path.display()))?;
        let run =
            format!("{:x}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros());
        let book = Self {
            file: Mutex::new(file),
            run,
            next: AtomicU64::new(0),
            watched: watched.iter().map(Address::canonical).collect(),
            open: Mutex::new(HashMap::new()),
            settle_max,
            answers: Default::default(),
        };
        book.write(&format!("run {}\n", book.run))?;
        Ok(book)
    }

    /// The run's name.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// A number for a message, and the line that says that it is tried. It is with the system before this returns: it outlives this process.
    pub(crate) fn tried(&self, recipients: &[Address]) -> anyhow::Result<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let named: Vec<String> = recipients.iter().map(ToString::to_string).collect();
        let watched =
            recipients.iter().filter(|recipient| self.watched.contains(&recipient.canonical())).count();
        if watched > 0 {
            self.open()
                .insert(number, Open { accepted: None, missing: u32::try_from(watched).unwrap_or(u32::MAX) });
        }
        self.write(&format!("try {number} {}\n", named.join(" ")))?;
        Ok(number)
    }

    /// What was answered so far.
    pub fn counts(&self) -> Counts {
        let [accepted, refused, unknown] = self.answers.each_ref().map(|count| count.load(Ordering::Relaxed));
        Counts { accepted, refused, unknown }
    }

    fn count(&self, answer: usize) {
        if let Some(count) = self.answers.get(answer) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn accepted(&self, number: u64, id: &str) -> anyhow::Result<()> {
        self.count(0);
        let mut open = self.open();
        if let Some(message) = open.get_mut(&number) {
            message.accepted = Some(Instant::now());
            if message.missing == 0 {
                open.remove(&number);
            }
        }
        drop(open);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.write(&format!("ack {number} {id} {at}\n"))
    }

    pub(crate) fn refused(&self, number: u64, code: u16) -> anyhow::Result<()> {
        self.count(1);
        self.open().remove(&number);
        self.write(&format!("no {number} {code}\n"))
    }

    pub(crate) fn unknown(&self, number: u64) -> anyhow::Result<()> {
        self.count(2);
        self.open().remove(&number);
        self.write(&format!("unknown {number}\n"))
    }

    /// A watcher found the message in its mailbox: how long after its acceptance. Nothing for one that nobody waits for.
    pub(crate) fn seen(&self, number: u64) -> Option<Duration> {
        let mut open = self.open();
        let message = open.get_mut(&number)?;
        message.missing = message.missing.checked_sub(1)?;
        // Seen before its sender had the answer: no time at all.
        let took = message.accepted.map_or(Duration::ZERO, |accepted| accepted.elapsed());
        if message.missing == 0 && message.accepted.is_some() {
            open.remove(&number);
        }
        Some(took)
    }

    /// Messages that were accepted and not seen in every watched mailbox.
    pub(crate) fn unseen(&self) -> usize {
        self.open().values().filter(|message| message.accepted.is_some() && message.missing > 0).count()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, line: &str) -> anyhow::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).context("failed to write the ledger")
    }
}

#[async_trait]
impl Settle for Book {
    async fn settle(&self) {
        let end = Instant::now() + self.settle_max;
        while self.unseen() > 0 && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_knows_what_was_not_seen_yet() {
        let place = tempfile::tempdir().unwrap();
        let (a, b, c): (Address, Address, Address) =
            ("a@x.test".parse().unwrap(), "b@x.test".parse().unwrap(), "c@x.test".parse().unwrap());
        let book =
            Book::create(&place.path().join("ledger"), &[a.clone(), b.clone()], Duration::from_millis(1))
                .unwrap();
        let one = book.tried(&[a.clone(), "B@X.test".parse().unwrap(), c.clone()]).unwrap();
        assert_eq!((book.seen(one), book.unseen()), (Some(Duration::ZERO), 0));
        book.accepted(one, "ID").unwrap();
        assert_eq!(book.unseen(), 1);
        // Somebody waits who will not see it: the end comes all the same.
        book.settle().await;
        assert!(book.seen(one).is_some());
        assert_eq!((book.unseen(), book.seen(one)), (0, None));
        let unwatched = book.tried(&[c]).unwrap();
        book.accepted(unwatched, "ID").unwrap();
        let refused = book.tried(std::slice::from_ref(&b)).unwrap();
        book.refused(refused, 452).unwrap();
        let unknown = book.tried(&[b]).unwrap();
        book.unknown(unknown).unwrap();
        assert_eq!(
            (book.unseen(), book.seen(unwatched), book.seen(refused), book.seen(unknown)),
            (0, None, None, None)
        );
        let text = std::fs::read_to_string(place.path().join("ledger")).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(lines, ["run", "try", "ack", "try", "ack", "try", "no", "try", "unknown"]);
        assert!(
            Book::create(&place.path().join("ledger"), &[], Duration::ZERO).is_err(),
            "another run's ledger is not written over"
        );
    }
}
