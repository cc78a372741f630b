//! Finds every message of a ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use envelope::{Address, Secret};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Answer, FIELD, Ledger};
use crate::client::imap::Imap;
use crate::wire::Target;

/// Numbers that a verdict names of each class.
const NAMED_MAX: usize = 20;
/// How often a mailbox is tried to open, and how long after.
const OPEN_TRIES: u32 = 3;
const OPEN_AGAIN: Duration = Duration::from_secs(2);
/// Mailboxes that are read at the same time, messages of one FETCH, and messages that wait to be looked at.
const AT_ONCE: usize = 8;
const TOGETHER: u32 = 50;
const WAITING_MAX: usize = 64;

/// Where messages may be.
#[derive(Clone)]
pub struct Mailboxes {
    /// The system's IMAP servers.
    pub target: Target,
    /// Mailboxes to read, such as that of the sender where reports go. Every mailbox that the ledger sent to when it is empty.
    pub logins: Vec<Address>,
    /// The password of all of them.
    pub password: Secret<String>,
    /// What waits: the JSON of `sluice queue list --json`.
    pub queued: Option<PathBuf>,
}

/// Counts, and the first numbers of what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Messages with a 250.
    pub accepted: u64,
    /// Accepted, and found for every recipient.
    pub found: u64,
    /// Of these, for some recipient, still in the queue.
    pub queued: u64,
    /// Of these, for some recipient, reported back.
    pub reported: u64,
    /// No answer came, and they are there.
    pub recovered: u64,
    /// Accepted, and nowhere for some recipient.
    pub lost: Numbers,
    /// More than once in one mailbox.
    pub doubled: Numbers,
    /// Other octets than were sent.
    pub damaged: Numbers,
    /// Refused or never sent, and there.
    pub phantom: Numbers,
}

/// How many, and which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// All of them.
    pub count: u64,
    /// The first.
    pub first: Vec<u64>,
}

impl Numbers {
    fn add(&mut self, number: u64) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(number);
        }
    }
}

impl Verdict {
    /// Whether every promise was kept.
    pub const fn is_clean(&self) -> bool {
        self.lost.count == 0 && self.doubled.count == 0 && self.damaged.count == 0 && self.phantom.count == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "accepted {} found {} (queued {}, reported {}) recovered {} lost {} doubled {} damaged {} phantom {}",
            self.accepted,
            self.found,
            self.queued,
            self.reported,
            self.recovered,
            self.lost.count,
            self.doubled.count,
            self.damaged.count,
            self.phantom.count
        )?;
        for (name, numbers) in [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("damaged", &self.damaged),
            ("phantom", &self.phantom),
        ] {
            if numbers.count > 0 {
                write!(f, "\n  {name}: {:?}", numbers.first)?;
            }
        }
        Ok(())
    }
}

/// What was found, by mailbox.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// How often each number is in each mailbox.
    delivered: HashMap<(u64, Address), u32>,
    damaged: BTreeSet<u64>,
    /// Numbers that a report in some mailbox speaks of.
    reported: BTreeSet<u64>,
    /// Recipients for whom a message waits, by the server's id.
    queued: HashMap<String, Vec<Address>>,
}

/// Reads the ledger and every mailbox, and compares. Shows `progress` how many mailboxes of how many were read.
pub async fn check(
    ledger: &Path,
    mailboxes: &Mailboxes,
    mut progress: impl FnMut(usize, usize),
) -> anyhow::Result<Verdict> {
    let ledger = Ledger::read(ledger)?;
    let mut findings = Findings::default();
    let logins = if mailboxes.logins.is_empty() { ledger.recipients() } else { mailboxes.logins.clone() };
    let all = logins.len();
    let (found, mut finding) = mpsc::channel::<(Address, Vec<u8>)>(WAITING_MAX);
    let shared = Arc::new(mailboxes.clone());
    let mut reading = JoinSet::new();
    let mut left = logins.into_iter();
    let mut read = 0;
    loop {
        while reading.len() < AT_ONCE
            && let Some(login) = left.next()
        {
            let (shared, found) = (Arc::clone(&shared), found.clone());
            reading.spawn(async move {
                let read = read_all(&shared, &login, &found).await;
                read.with_context(|| format!("failed to read the mailbox of {login}"))
            });
        }
        tokio::select! {
            Some((login, octets)) = finding.recv() => findings.take(&ledger.run, &login, &octets),
            ended = reading.join_next() => match ended {
                None => break,
                Some(ended) => {
                    ended.context("a reader broke")??;
                    read += 1;
                    progress(read, all);
                }
            },
        }
    }
    // What was sent before its reader ended is in the channel still.
    while let Ok((login, octets)) = finding.try_recv() {
        findings.take(&ledger.run, &login, &octets);
    }
    if let Some(path) = &mailboxes.queued {
        let text = std::fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        findings
            .take_queue(&text)
            .with_context(|| format!("`{}` is no listing of a queue", path.display()))?;
    }
    Ok(findings.judge(&ledger))
}

/// Every message of an INBOX.
async fn read_all(
    mailboxes: &Mailboxes,
    login: &Address,
    found: &mpsc::Sender<(Address, Vec<u8>)>,
) -> anyhow::Result<()> {
    let mut imap = open(mailboxes, login).await?;
    let exists = imap.select("INBOX", true).await?.exists;
    let mut first = 1;
    while first <= exists {
        let last = first.saturating_add(TOGETHER - 1).min(exists);
        let mut texts = Vec::new();
        imap.command(&format!("FETCH {first}:{last} (BODY.PEEK[])"), |response| {
            if matches!(response.numbered(), Some((_, b"FETCH"))) {
                texts.extend(response.literals().first().cloned());
            }
        })
        .await?;
        if texts.len() != usize::try_from(last - first + 1)? {
            bail!("the server showed {} of the messages {first} to {last}", texts.len());
        }
        for text in texts {
            found.send((login.clone(), text)).await.context("nobody looks at what was read")?;
        }
        first = last + 1;
    }
    imap.logout().await;
    Ok(())
}

/// A server that can't say for a moment is asked again, as a mail client would.
async fn open(mailboxes: &Mailboxes, login: &Address) -> anyhow::Result<Imap> {
    let (target, mut tries) = (&mailboxes.target, 1);
    loop {
        match Imap::open(target, tries, target.usual(), &login.to_string(), &mailboxes.password).await {
            Err(failure) if tries < u64::from(OPEN_TRIES) && failure.as_str().contains("[UNAVAILABLE]") => {
                tokio::time::sleep(OPEN_AGAIN).await;
                tries += 1;
            }
            Err(failure) => bail!("{login} can't log in: {failure}"),
            Ok(imap) => return Ok(imap),
        }
    }
}

impl Findings {
    pub(super) fn take(&mut self, run: &str, login: &Address, octets: &[u8]) {
        let (head, body) = split(octets);
        match field(head, run) {
            Some((number, digest)) => {
                *self.delivered.entry((number, login.canonical())).or_default() += 1;
                if crc32c::crc32c(body) != digest {
                    self.damaged.insert(number);
                }
            }
            // A report carries the header of what it reports.
            None => self.reported.extend(field(body, run).map(|(number, _)| number)),
        }
    }

    pub(super) fn take_queue(&mut self, json: &[u8]) -> anyhow::Result<()> {
        let listed: Vec<serde_json::Value> = serde_json::from_slice(json)?;
        for message in listed {
            let envelope = message.get("envelope").context("an envelope")?;
            let id = envelope.get("id").and_then(serde_json::Value::as_str).context("an id")?;
            let recipients =
                envelope.get("recipients").and_then(serde_json::Value::as_array).context("recipients")?;
            let addresses = recipients.iter().filter_map(|recipient| {
                let address: Address = recipient.get("address")?.as_str()?.parse().ok()?;
                Some(address.canonical())
            });
            self.queued.entry(id.to_owned()).or_default().extend(addresses);
        }
        Ok(())
    }

    pub(super) fn judge(&self, ledger: &Ledger) -> Verdict {
        let mut verdict = Verdict::default();
        let mut copies: BTreeMap<u64, Vec<(&Address, u32)>> = BTreeMap::new();
        for ((number, address), count) in &self.delivered {
            copies.entry(*number).or_default().push((address, *count));
        }
        for (number, found) in &copies {
            if found.iter().any(|(_, count)| *count > 1) {
                verdict.doubled.add(*number);
            }
            let entry = ledger.entries.get(number);
            let right = entry.is_some_and(|entry| {
                let meant: BTreeSet<Address> = entry.recipients.iter().map(Address::canonical).collect();
                entry.answer != Answer::Refused && found.iter().all(|(address, _)| meant.contains(*address))
            });
            if !right {
                verdict.phantom.add(*number);
            } else if entry.is_some_and(|entry| entry.answer == Answer::Unknown) {
                verdict.recovered += 1;
            }
        }
        self.damaged.iter().for_each(|number| verdict.damaged.add(*number));
        for (number, entry) in &ledger.entries {
            let Answer::Accepted(id) = &entry.answer else { continue };
            verdict.accepted += 1;
            self.place(*number, id, &entry.recipients, &mut verdict);
        }
        verdict
    }

    fn place(&self, number: u64, id: &str, recipients: &[Address], verdict: &mut Verdict) {
        let missing: Vec<Address> = recipients
            .iter()
            .map(Address::canonical)
            .filter(|recipient| !self.delivered.contains_key(&(number, recipient.clone())))
            .collect();
        let queued = self.queued.get(id);
        let waits = |recipient: &Address| queued.is_some_and(|queued| queued.contains(recipient));
        let nowhere = missing.iter().filter(|recipient| !waits(recipient)).count();
        if nowhere > 0 && !self.reported.contains(&number) {
            return verdict.lost.add(number);
        }
        verdict.found += 1;
        verdict.queued += u64::from(missing.iter().any(waits));
        verdict.reported += u64::from(nowhere > 0);
    }
}

/// Header and body, without the empty line between them.
fn split(octets: &[u8]) -> (&[u8], &[u8]) {
    let end = octets.windows(4).position(|window| window == b"\r\n\r\n");
    end.and_then(|end| Some((octets.get(..end + 2)?, octets.get(end + 4..)?))).unwrap_or((octets, &[]))
}

/// Number and checksum in the field of this run.
fn field(octets: &[u8], run: &str) -> Option<(u64, u32)> {
    let prefix = format!("{FIELD}: {run} ");
    let at = octets.windows(prefix.len()).position(|window| window == prefix.as_bytes())?;
    let rest = octets.get(at + prefix.len()..)?;
    let line = rest.split(|octet| *octet == b'\r' || *octet == b'\n').next()?;
    let (number, digest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((number.parse().ok()?, u32::from_str_radix(digest, 16).ok()?))
}
