//! How much an account holds: the sum over its mailboxes.
//!
//! Each mailbox's index knows its own sum. `sluice.quota` in the account's directory remembers them, so that only those are
//! opened that changed since:
//!
//! ```text
//! sluice-quota 1 <crc32c of the rest>
//! <journal: inode> <size> <modified> <octets> <messages> <directory>     a line a mailbox
//! ```
//! A line counts while the mailbox's journal is the file it names, unchanged. The file is a cache: without it, or with a
//! damaged one, every index is asked. A process remembers the sum for `usage_interval` and adds its own changes, so that
//! other nodes' changes count that much later.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use envelope::{Quota, Usage};

use crate::error::At as _;
use crate::fs::{self, Fs};
use crate::{Account, MailboxName, StoreError, journal};

pub(crate) const FILE: &str = "sluice.quota";

/// A journal at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    modified: i128,
}

impl Stamp {
    /// None when there is no journal yet.
    pub(crate) fn of(fs: &dyn Fs, mailbox: &Path) -> Option<Self> {
        let meta = fs.meta(&mailbox.join(journal::FILE)).ok()?;
        Some(Self { inode: meta.identity.1, size: meta.size, modified: meta.modified })
    }
}

type Lines = HashMap<String, (Stamp, Usage)>;

/// What this process remembers of accounts' sums.
#[derive(Debug, Default)]
pub(crate) struct Usages(Mutex<HashMap<PathBuf, (Instant, Usage)>>);

impl Usages {
    fn table(&self) -> MutexGuard<'_, HashMap<PathBuf, (Instant, Usage)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self, account: &Path, interval: Duration) -> Option<Usage> {
        self.table().get(account).filter(|(at, _)| at.elapsed() < interval).map(|(_, usage)| *usage)
    }

    /// A mailbox of the account went from `before` to `after` by our own doing.
    pub(crate) fn changed(&self, account: &Path, before: Usage, after: Usage) {
        if before != after
            && let Some((_, usage)) = self.table().get_mut(account)
        {
            let grown = usage.plus(after);
            usage.octets = grown.octets.saturating_sub(before.octets);
            usage.messages = grown.messages.saturating_sub(before.messages);
        }
    }

    /// The account is counted at the next question.
    pub(crate) fn forget(&self, account: &Path) {
        self.table().remove(account);
    }

    /// Drops what is too old to be believed.
    pub(crate) fn sweep(&self, interval: Duration) {
        self.table().retain(|_, (at, _)| at.elapsed() < interval);
    }
}

impl Account {
    /// What the account holds, at most `usage_interval` old as far as other nodes are concerned.
    ///
    /// # Errors
    /// When a mailbox can't be read.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let shared = self.shared();
        let interval = shared.config.usage_interval.as_duration();
        match shared.usages.recent(self.path(), interval) {
            Some(usage) => Ok(usage),
            None => self.count_usage(),
        }
    }

    /// The same as it is now; `sluice.quota` is brought up to date.
    ///
    /// # Errors
    /// When a mailbox can't be read.
    pub fn count_usage(&self) -> Result<Usage, StoreError> {
        let shared = self.shared();
        let known = load(&*shared.fs, self.path())?;
        let mut lines = Lines::new();
        let mut sum = Usage::default();
        for name in std::iter::once(MailboxName::inbox()).chain(self.folders()?) {
            let directory = name.directory();
            let stamp = Stamp::of(&*shared.fs, &self.path().join(&directory));
            let line = known.get(&directory).filter(|(known, _)| Some(*known) == stamp);
            let (stamp, usage) = match line {
                Some((stamp, usage)) => (Some(*stamp), *usage),
                None => match self.mailbox(&name).and_then(|mailbox| mailbox.usage()) {
                    // Deleted meanwhile.
                    Err(StoreError::NoSuchMailbox) => continue,
                    found => found?,
                },
            };
            sum = sum.plus(usage);
            if let Some(stamp) = stamp {
                lines.insert(directory, (stamp, usage));
            }
        }
        if lines != known {
            self.remember(&lines);
        }
        shared.usages.table().insert(self.path().to_owned(), (Instant::now(), sum));
        Ok(sum)
    }

    /// Whether `more` may come to what the account holds.
    ///
    /// # Errors
    /// `OverQuota`, or when a mailbox can't be read.
    pub fn admit(&self, quota: &Quota, more: Usage) -> Result<(), StoreError> {
        if !quota.is_limited() {
            return Ok(());
        }
        let usage = self.usage()?;
        if quota.allows(usage.plus(more)) {
            return Ok(());
        }
        // Somebody may have tidied up through another node a moment ago: before it is refused it is counted.
        let usage = self.count_usage()?;
        if quota.allows(usage.plus(more)) {
            return Ok(());
        }
        let limit = |limit: Option<u64>, what: &str| limit.map(|limit| format!("{limit} {what}"));
        let limits = [limit(quota.octets, "octets"), limit(quota.messages, "messages")];
        Err(StoreError::OverQuota {
            used: format!("{} octets in {} messages", usage.octets, usage.messages),
            limit: limits.into_iter().flatten().collect::<Vec<_>>().join(", "),
        })
    }

    /// A cache that can't be written, or that somebody else writes now, is no reason to fail.
    fn remember(&self, lines: &Lines) {
        let Ok(_locked) = self.lock_at_once() else { return };
        let text = print(lines);
        if let Err(error) = fs::replace(&*self.shared().fs, self.path(), FILE, text.as_bytes()) {
            tracing::debug!(account = %self.path().display(), %error, "sums not written");
        }
    }
}

pub(crate) fn load(fs: &dyn Fs, account: &Path) -> Result<Lines, StoreError> {
    let path = account.join(FILE);
    let bytes = fs::read_optional(fs, &path).at("read", &path)?.unwrap_or_default();
    Ok(std::str::from_utf8(&bytes).ok().and_then(parse).unwrap_or_default())
}

fn print(lines: &Lines) -> String {
    let mut text = String::new();
    for (directory, (stamp, usage)) in lines {
        let Stamp { inode, size, modified } = stamp;
        let _ = writeln!(text, "{inode} {size} {modified} {} {} {directory}", usage.octets, usage.messages);
    }
    format!("sluice-quota 1 {:08x}\n{text}", crc32c::crc32c(text.as_bytes()))
}

fn parse(text: &str) -> Option<Lines> {
    let (header, text) = text.split_once('\n')?;
    let checksum = u32::from_str_radix(header.strip_prefix("sluice-quota 1 ")?, 16).ok()?;
    if checksum != crc32c::crc32c(text.as_bytes()) {
        return None;
    }
    let line = |line: &str| {
        let mut words = line.splitn(6, ' ');
        let stamp = Stamp {
            inode: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            modified: words.next()?.parse().ok()?,
        };
        let usage = Usage { octets: words.next()?.parse().ok()?, messages: words.next()?.parse().ok()? };
        Some((words.next()?.to_owned(), (stamp, usage)))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Rig, ann, deliver, name, text};
    use crate::{FlagChange, Flags, Uid};

    fn of(octets: u64, messages: u64) -> Usage {
        Usage { octets, messages }
    }

    fn size(numbers: impl IntoIterator<Item = u8>) -> u64 {
        numbers.into_iter().map(|number| text(number).len() as u64).sum()
    }

    #[test]
    fn sums_are_right_after_every_change_and_in_every_process() {
        let rig = Rig::new();
        let account = rig.account();
        assert_eq!(account.usage().unwrap(), of(0, 0));
        for number in 1..=5 {
            deliver(&rig.inbox(), number).unwrap();
        }
        account.create(&name("Work/Plans 1")).unwrap();
        let plans = account.mailbox(&name("Work/Plans 1")).unwrap();
        rig.inbox().copy(&[Uid(2), Uid(3)], &plans).unwrap();
        rig.inbox().expunge(&[Uid(1)]).unwrap();
        rig.inbox()
            .store(&[Uid(2)], FlagChange::Add, &Flags { seen: true, ..Flags::default() }, None)
            .unwrap();
        let expected = of(size(2..=5) + size(2..=3), 6);
        assert_eq!(account.usage().unwrap(), expected, "by its own changes");
        assert_eq!(account.count_usage().unwrap(), expected, "by counting");
        // Another process, with the file that remembers, without it, and with a damaged one.
        for damage in [None, Some(&b""[..]), Some(b"sluice-quota 1 00000000\n1 2 3 4 5 \n")] {
            if let Some(damage) = damage {
                std::fs::write(rig.path().join(FILE), damage).unwrap();
            }
            assert_eq!(rig.reopened().account(&ann()).unwrap().usage().unwrap(), expected, "{damage:?}");
        }
        // A sum that is wrong, though nothing changed since, is told.
        account.count_usage().unwrap();
        assert_eq!(rig.inbox().check(false).unwrap().findings, []);
        let mut lines = load(&crate::RealFs, &rig.path()).unwrap();
        lines.get_mut("").unwrap().1.octets += 1;
        std::fs::write(rig.path().join(FILE), print(&lines)).unwrap();
        let findings = rig.inbox().check(false).unwrap().findings;
        assert_eq!(findings.iter().map(|found| found.difference.name()).collect::<Vec<_>>(), ["quota"]);
        std::fs::remove_file(rig.path().join(FILE)).unwrap();
        rig.inbox().move_to(&[Uid(4)], &plans).unwrap();
        assert_eq!(account.usage().unwrap(), expected, "a move changes nothing");
        account.delete(&name("Work/Plans 1")).unwrap();
        assert_eq!(account.count_usage().unwrap(), of(size([2, 3, 5]), 3));
    }

    #[test]
    fn what_others_did_counts_when_it_is_looked_at_anew() {
        let rig = Rig::with(|config| config.usage_interval = units::Span::millis(0));
        let other = rig.reopened();
        deliver(&rig.inbox(), 1).unwrap();
        assert_eq!(rig.account().usage().unwrap(), of(size([1]), 1));
        deliver(&crate::tests::inbox(&other), 2).unwrap();
        assert_eq!(rig.account().usage().unwrap(), of(size([1, 2]), 2));
        // Folding puts another journal into the place of the first.
        for _ in 0..3 {
            crate::tests::inbox(&other).expunge(&[Uid(1)]).unwrap();
            crate::tests::inbox(&other).fold().unwrap();
            assert_eq!(rig.account().usage().unwrap(), of(size([2]), 1));
        }
    }

    #[test]
    fn an_index_that_is_made_anew_does_not_count_twice() {
        let rig = Rig::new();
        for number in 1..=3 {
            deliver(&rig.inbox(), number).unwrap();
        }
        let expected = of(size(1..=3), 3);
        assert_eq!(rig.account().usage().unwrap(), expected);
        for file in ["sluice.index", "sluice.journal"] {
            std::fs::remove_file(rig.path().join(file)).unwrap();
        }
        assert_eq!(rig.inbox().refresh().unwrap().len(), 3);
        assert_eq!(rig.account().usage().unwrap(), expected, "after a loss");
        rig.inbox().rebuild().unwrap();
        assert_eq!(rig.account().usage().unwrap(), expected, "after a rebuild");
    }

    #[test]
    fn nothing_is_admitted_over_the_limit() {
        let rig = Rig::new();
        deliver(&rig.inbox(), 1).unwrap();
        let quota = Quota { octets: Some(size([1, 2])), messages: None };
        let account = rig.account();
        assert!(account.admit(&quota, of(size([2]), 1)).is_ok());
        let refused = account.admit(&quota, of(size([2]) + 1, 1)).unwrap_err();
        assert!(refused.to_string().starts_with("the mailbox is full: "), "{refused}");
        assert!(account.admit(&Quota { octets: None, messages: Some(1) }, of(1, 1)).is_err());
        assert!(account.admit(&Quota::default(), of(u64::MAX, 1)).is_ok());
        // Tidied up through another node: counted before it is refused.
        let other = rig.reopened();
        crate::tests::inbox(&other).expunge(&[Uid(1)]).unwrap();
        assert!(account.admit(&quota, of(size([2]) + 1, 1)).is_ok());
    }
}
