//! Proves that a mail system keeps what it accepts: each accepted message is found afterwards in exactly one place.
//!
//! ```text
//!  send:   try 17 alice@… bob@…        before the message is sent     ┐
//!          ack 17 01J… 1700000000123   the server said 250            ├ one line each, in the ledger's file, outside the system
//!          no 17 452                   it refused                     │
//!          unknown 17                  no answer came                 ┘
//!  check:  every mailbox is read; each message carries its number and a checksum of itself
//! ```
//! | class | what it means |
//! |---|---|
//! | found | accepted, and once in the mailbox of each recipient, in the queue, or reported back to its sender |
//! | **lost** | accepted, and in none of these places |
//! | **doubled** | more than once in one mailbox |
//! | **damaged** | found, and its octets are others |
//! | **phantom** | found, though it was never sent or was refused |
//! | recovered | no answer came, and it is there: allowed, once |
//!
//! A number is sent once, whatever the answer: a sender that tries again after a missing answer makes the second copy itself.

mod book;
mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, bail};
use envelope::Address;

pub use book::{Book, Counts};
pub use check::{Mailboxes, Verdict, check};

use crate::message::FIELD;

/// What became of one message, as its sender knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// 250, with the id that the server gave.
    Accepted(String),
    /// 4xx or 5xx.
    Refused,
    /// None came.
    Unknown,
}

/// One message of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    recipients: Vec<Address>,
    answer: Answer,
}

/// All messages of a run by number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ledger {
    run: String,
    entries: BTreeMap<u64, Entry>,
}

impl Ledger {
    /// Reads the file. A last line that the sender did not finish counts as not written.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path)
            .with_context(|| format!("failed to open the ledger `{}`", path.display()))?;
        let mut ledger = Self { run: String::new(), entries: BTreeMap::new() };
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.with_context(|| format!("failed to read the ledger `{}`", path.display()))?;
            ledger
                .take(&line)
                .with_context(|| format!("line {} of the ledger `{}`", index + 1, path.display()))?;
        }
        Ok(ledger)
    }

    /// Everybody to whom something was sent.
    fn recipients(&self) -> Vec<Address> {
        let all: BTreeSet<Address> =
            self.entries.values().flat_map(|entry| entry.recipients.iter().map(Address::canonical)).collect();
        all.into_iter().collect()
    }

    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["run", run] => run.clone_into(&mut self.run),
            ["try", number, ref recipients @ ..] => {
                let recipients = recipients
                    .iter()
                    .map(|word| word.parse().context("an address"))
                    .collect::<anyhow::Result<_>>()?;
                let entry = Entry { recipients, answer: Answer::Unknown };
                if self.entries.insert(number.parse()?, entry).is_some() {
                    bail!("number {number} was sent twice");
                }
            }
            ["ack", number, id, _] => self.answer(number, Answer::Accepted(id.to_owned()))?,
            ["no", number, _] => self.answer(number, Answer::Refused)?,
            ["unknown", number] => self.answer(number, Answer::Unknown)?,
            _ => bail!("`{line}` is no line of a ledger"),
        }
        Ok(())
    }

    fn answer(&mut self, number: &str, answer: Answer) -> anyhow::Result<()> {
        let entry = self
            .entries
            .get_mut(&number.parse()?)
            .with_context(|| format!("number {number} was never sent"))?;
        entry.answer = answer;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
