//! Maildirs of a population, full to a chosen depth.
//!
//! Files are named as delivery agents name them: time, microsecond, process, device and inode, size and flags. Names that differ in a counter only make servers that hash
//! them many times slower than they are with mail that came one by one, and a comparison with them unfair.
//!
//! ```text
//!  cur/1764499200.M482113P2291V800I1a2f03.mx1,S=14211:2,S      read
//!  new/1764499271.M009214P2291V800I1a2f04.mx2,S=3120           not seen by any client
//!  .Sent/cur  .Archive.2025/cur …                              folders as Maildir++ has them
//! ```
//! What it is not: an index or a list of UIDs. A server takes these files in as mail that another delivered.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::Account;
use crate::message::{Draft, Shape};
use crate::random::Random;

/// Folders that a client makes for everybody; further ones are numbered.
const FOLDERS: [&str; 5] = [".Sent", ".Drafts", ".Trash", ".Junk", ".Archive"];
/// Delivery hosts, as more than one wrote to a mailbox.
const HOSTS: [&str; 4] = ["mx1", "mx2", "mx3", "mx4"];
const DAY: u64 = 86_400;
/// Mail is spread over so many days before now.
const DAYS: u64 = 730;

/// How full to make them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaildirPlan {
    /// Of the messages that an account keeps, this part is written.
    pub depth: f64,
    /// At most so many in one account.
    pub messages_max: u64,
    /// The population's seed.
    pub seed: u64,
    /// Seconds since 1970: no message is younger.
    pub now: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Messages.
    pub messages: u64,
    /// Octets of them.
    pub octets: u64,
}

/// Fills the Maildir at `root`, which may exist, for an account. Nothing is synced: it is load, not mail.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a bounded count"
)]
pub fn write(account: &Account, root: &Path, plan: &MaildirPlan) -> anyhow::Result<Written> {
    let mut random = Random::new(plan.seed ^ 0x004D_4149_4C44_4952, account.index);
    let count = ((account.messages as f64 * plan.depth).round() as u64).min(plan.messages_max);
    make(root)?;
    let folders: Vec<String> = (0..account.folders).map(folder_name).collect();
    for folder in &folders {
        make(&root.join(folder))?;
        File::create(root.join(folder).join("maildirfolder")).context("failed to mark a folder")?;
    }
    // Oldest first, as they came.
    let step = (DAYS * DAY).checked_div(count.max(1)).unwrap_or(DAY).max(1);
    let oldest = plan.now.saturating_sub(step * count);
    let mut written = Written::default();
    for number in 0..count {
        let at = oldest + number * step + random.below(step);
        // Half of the mail stays in INBOX.
        let folder = if random.chance(0.5) { None } else { random.pick(&folders) };
        let place = folder.map_or_else(|| root.to_owned(), |folder| root.join(folder));
        let octets = message(account, &place, (number, at, plan.now), &mut random)?;
        written.messages += 1;
        written.octets += octets;
    }
    Ok(written)
}

fn folder_name(number: u64) -> String {
    usize::try_from(number)
        .ok()
        .and_then(|at| FOLDERS.get(at))
        .map_or_else(|| format!(".Archive.Project {}", number - 4), |name| (*name).to_owned())
}

fn make(place: &Path) -> anyhow::Result<()> {
    for part in ["cur", "new", "tmp"] {
        let path = place.join(part);
        fs::create_dir_all(&path).with_context(|| format!("failed to make `{}`", path.display()))?;
    }
    Ok(())
}

fn message(
    account: &Account,
    place: &Path,
    (number, at, now): (u64, u64, u64),
    random: &mut Random,
) -> anyhow::Result<u64> {
    let shape = Shape::of(account.class, random);
    // Files have LF line ends on disk, as delivery agents of Unix write them.
    let mut text = Draft::kept(account, number, at).write(&shape, random);
    text.retain(|octet| *octet != b'\r');
    // The delivery agent's process has a number for some thousand messages; inodes go up and never in step.
    let (microsecond, process) = (random.below(1_000_000), 1000 + number / 1500 + random.below(4));
    let (device, inode) = (0x800 + random.below(2), 0x0010_0000 + number * 7 + random.below(7));
    let host = random.pick(&HOSTS).copied().unwrap_or("mx1");
    let unique = format!("{at}.M{microsecond:06}P{process}V{device:x}I{inode:x}.{host},S={}", text.len());
    let recent = now.saturating_sub(at) < 3 * DAY;
    let path = if recent && random.chance(0.3) {
        place.join("new").join(unique)
    } else {
        let flags = match random.below(20) {
            0 => "FS",
            1 | 2 => "RS",
            3 => "",
            _ => "S",
        };
        place.join("cur").join(format!("{unique}:2,{flags}"))
    };
    let mut file = File::create_new(&path).with_context(|| format!("failed to make `{}`", path.display()))?;
    file.write_all(&text).with_context(|| format!("failed to write `{}`", path.display()))?;
    let modified = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at);
    file.set_modified(modified).with_context(|| format!("failed to date `{}`", path.display()))?;
    Ok(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::population::Population;

    fn names(root: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for part in ["cur", "new"] {
            for entry in fs::read_dir(root.join(part)).unwrap() {
                found.insert(entry.unwrap().file_name().into_string().unwrap());
            }
        }
        found
    }

    #[test]
    fn names_are_those_of_a_delivery_agent_and_the_same_each_time() {
        let population = Population::new(3, 100, "example").unwrap();
        let account = population
            .iter()
            .map(Result::unwrap)
            .find(|account| account.messages > 300 && account.folders > 5)
            .unwrap();
        let plan = MaildirPlan { depth: 1.0, messages_max: 120, seed: 3, now: 1_790_000_000 };
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let written = write(&account, one.path(), &plan).unwrap();
        assert_eq!(written, write(&account, other.path(), &plan).unwrap());
        assert_eq!(written.messages, 120);
        let inbox = names(one.path());
        assert_eq!(inbox, names(other.path()));
        let mut all = inbox.len();
        for folder in (0..account.folders).map(folder_name) {
            assert!(one.path().join(&folder).join("maildirfolder").is_file());
            all += names(&one.path().join(&folder)).len();
        }
        assert_eq!(all, 120);
        let mut octets = 0;
        for name in &inbox {
            let (time, rest) = name.split_once(".M").unwrap();
            assert!(time.parse::<u64>().unwrap() <= plan.now, "{name}");
            assert!(rest.contains('P') && rest.contains(".mx") && rest.contains(",S="), "{name}");
            octets += 1;
        }
        assert!(octets > 20, "half of it stays in INBOX: {octets}");
        let times: BTreeSet<&str> = inbox.iter().map(|name| name.split('.').next().unwrap()).collect();
        assert_eq!(times.len(), inbox.len(), "the names differ in more than a counter");
    }

    #[test]
    fn depth_is_a_part_of_what_is_kept() {
        let population = Population::new(3, 100, "example").unwrap();
        let account = population.iter().map(Result::unwrap).find(|account| account.messages > 1000).unwrap();
        let place = tempfile::tempdir().unwrap();
        let plan = MaildirPlan { depth: 0.01, messages_max: 1000, seed: 3, now: 1_790_000_000 };
        let written = write(&account, place.path(), &plan).unwrap();
        let hundredth = account.messages / 100;
        assert!(written.messages.abs_diff(hundredth) <= 1, "{} of {}", written.messages, account.messages);
    }
}
