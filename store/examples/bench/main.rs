//! Measures the store beside a plain Maildir writer on the same disk, in turns:
//! `cargo run --release -p store --example bench -- DIRECTORY [RUNS [PART]]`, PART being `writers`, `many`, `changes`, or a
//! number: the opening of a mailbox with so many messages.

#![allow(clippy::print_stdout, reason = "it reports to whoever started it")]

mod mailbox;
mod many;
mod writers;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use envelope::{AccountId, MessageId, Timestamp};
use prometheus::Registry;
use store::{Config, Delivery, Flags, Mailbox, MailboxName, RealFs, Store};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| "store-bench".to_owned()));
    let runs: usize = arguments.next().map_or(Ok(5), |runs| runs.parse())?;
    let part = arguments.next();
    if directory.exists() {
        return Err(format!("{} exists: name a directory that does not", directory.display()).into());
    }
    println!("{runs} runs each in turns; median (smallest to largest)");
    match part.as_deref() {
        Some("writers") => writers::run(&directory, runs)?,
        Some("many") => many::run(&directory, runs)?,
        Some("changes") => mailbox::changes(&directory, runs)?,
        Some(messages) => mailbox::opening(&directory, runs, messages.parse()?)?,
        None => {
            writers::run(&directory, runs)?;
            many::run(&directory, runs)?;
            mailbox::changes(&directory, runs)?;
            mailbox::opening(&directory, runs, mailbox::HUGE)?;
        }
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

pub(crate) const DATE: Timestamp = Timestamp::from_unix_milliseconds(1_700_000_000_000);

/// A message of about 5 KB.
pub(crate) fn content(number: u64) -> Vec<u8> {
    let mut text = format!(
        "Return-Path: <load@example.test>\r\nReceived: from a.example.test by b.example.test id {number:016x};\r\n\
         \tTue, 24 Nov 2026 05:00:00 +0000\r\nFrom: \"Load Test\" <load@example.test>\r\nTo: ann@example.test\r\n\
         Subject: message number {number} of the bench\r\nMessage-ID: <{number}@example.test>\r\n\
         Date: Tue, 24 Nov 2026 05:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    while text.len() < 5 << 10 {
        text.push_str("The quick brown fox jumps over the lazy dog, again and again and again.\r\n");
    }
    text.into_bytes()
}

pub(crate) fn message_id(number: u64) -> MessageId {
    let mut random = [0; 10];
    for (slot, byte) in random.iter_mut().zip(number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()) {
        *slot = byte;
    }
    MessageId::new(DATE.unix_milliseconds() + number, random)
}

pub(crate) fn open(root: &Path) -> Outcome<Store> {
    Store::init_volume(root)?;
    let config = Config { root: root.to_owned(), ..Config::default() };
    Ok(Store::open(&config, Arc::new(RealFs), &Registry::new())?)
}

pub(crate) fn account(number: usize) -> Outcome<AccountId> {
    Ok(format!("user{number}@example.test").parse().map_err(|_| "an account")?)
}

pub(crate) fn inbox(store: &Store, number: usize) -> Outcome<Arc<Mailbox>> {
    Ok(store.account(&account(number)?)?.mailbox(&MailboxName::inbox())?)
}

pub(crate) fn deliver(mailbox: &Mailbox, number: u64) -> Outcome<()> {
    let content = content(number);
    mailbox.deliver(&Delivery {
        message_id: message_id(number),
        content: &content,
        received_at: DATE,
        flags: Flags::default(),
    })?;
    Ok(())
}

pub(crate) fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(Duration, T)> {
    let begun = Instant::now();
    let done = work()?;
    Ok((begun.elapsed(), done))
}

/// One row: median, smallest and largest.
pub(crate) fn row(what: &str, values: &mut [f64], unit: &str) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    println!(
        "| {what} | {:.1} {unit} ({:.1} to {:.1}) |",
        at(values.len() / 2),
        at(0),
        at(values.len().saturating_sub(1))
    );
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
