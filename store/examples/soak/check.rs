//! The proof: all ledgers against the mailboxes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use store::{Flags, StoreError, Uid};

use crate::Outcome;
use crate::world::{self, ACCOUNTS, Class};

/// What the ledgers add up to.
#[derive(Default)]
struct Told {
    operations: u64,
    delivered: BTreeSet<String>,
    tried: BTreeSet<String>,
    /// Moves of a message that got no answer: each may have left a copy.
    open_moves: HashMap<String, i64>,
    /// Values that a keyword of a message may have: the last acknowledged one, and what was tried after it.
    flags: HashMap<(String, String), BTreeSet<bool>>,
    expunged: BTreeSet<String>,
    /// The largest UIDNEXT and mod-sequence that anybody was told, by account and UIDVALIDITY.
    told: HashMap<String, (u32, u64)>,
    seen: HashMap<String, String>,
    violations: Vec<String>,
    errors: BTreeMap<String, u64>,
}

/// What one mount shows.
#[derive(Default)]
struct Shown {
    /// By key.
    messages: BTreeMap<String, Message>,
    /// UIDNEXT and mod-sequence, by account and UIDVALIDITY.
    counters: BTreeMap<String, (u32, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Message {
    lid: String,
    flags: Flags,
    size: u64,
    /// In seconds, as IMAP tells it and names keep it.
    internal_date: u64,
}

pub(crate) fn check(roots: [&Path; 2], ledgers: &Path) -> Outcome<bool> {
    let mut told = read(ledgers)?;
    let first = shown(roots[0], &mut told.violations)?;
    let second = shown(roots[1], &mut told.violations)?;
    compare(&first, &second, "the two nodes", &mut told.violations);
    judge(&mut told, &first);
    count(&mut told, &first);
    for account in ACCOUNTS {
        forget_indexes(roots[0], account)?;
    }
    let rebuilt = shown(roots[1], &mut told.violations)?;
    compare(&first, &rebuilt, "before and after the loss of every index", &mut told.violations);
    count(&mut told, &rebuilt);
    for (text, count) in &told.errors {
        println!("{count:>7} × {text}");
    }
    for violation in &told.violations {
        println!("violation: {violation}");
    }
    println!("operations {} violations {}", told.operations, told.violations.len());
    Ok(told.violations.is_empty())
}

fn read(ledgers: &Path) -> Outcome<Told> {
    let mut told = Told::default();
    for item in std::fs::read_dir(ledgers)? {
        let path = item?.path();
        if path.extension().is_none_or(|extension| extension != "ledger") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        // A line that a kill cut short never was an answer.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<&str> = line.split(' ').collect();
            note(&mut told, words.get(1..).unwrap_or_default());
        }
    }
    Ok(told)
}

fn note(told: &mut Told, words: &[&str]) {
    if words.first().is_some_and(|word| word.ends_with('!')) {
        told.operations += 1;
    }
    match *words {
        ["deliver?", lid] => drop(told.tried.insert(lid.to_owned())),
        ["deliver!", lid] => drop(told.delivered.insert(lid.to_owned())),
        ["move?", _, lid] => *told.open_moves.entry(lid.to_owned()).or_default() += 1,
        ["move!", _, lid] => *told.open_moves.entry(lid.to_owned()).or_default() -= 1,
        ["flag?", key, keyword, value] => {
            let known = told.flags.entry((key.to_owned(), keyword.to_owned()));
            known.or_insert_with(|| [false].into()).insert(value == "1");
        }
        ["flag!", key, keyword, value] => {
            told.flags.insert((key.to_owned(), keyword.to_owned()), [value == "1"].into());
        }
        ["told", mailbox, uid_next, mod_seq] => {
            let known = told.told.entry(mailbox.to_owned()).or_default();
            let (uid_next, mod_seq) = (uid_next.parse().unwrap_or(0), mod_seq.parse().unwrap_or(0));
            *known = (known.0.max(uid_next), known.1.max(mod_seq));
        }
        ["moved", ..] => told.operations += 1,
        ["expunge!", key] => drop(told.expunged.insert(key.to_owned())),
        ["see", key, lid] => {
            if let Some(before) = told.seen.insert(key.to_owned(), lid.to_owned())
                && before != lid
            {
                told.violations.push(format!("{key} was {before} and is {lid}"));
            }
        }
        ["violation", ..] => told.violations.push(words.join(" ")),
        ["error", choice, ref text @ ..] => {
            let text: Vec<&str> = text.iter().copied().filter(|word| !word.contains('/')).collect();
            *told.errors.entry(format!("{choice} {}", text.join(" "))).or_default() += 1;
        }
        _ => told.violations.push(format!("a ledger line that is none: {}", words.join(" "))),
    }
}

fn shown(root: &Path, violations: &mut Vec<String>) -> Outcome<Shown> {
    let store = world::open(root)?;
    let mut shown = Shown::default();
    for who in ACCOUNTS {
        let account = store.account(&world::account(who)?)?;
        for info in account.list()?.into_iter().filter(|info| info.exists) {
            let mailbox = account.mailbox(&info.name)?;
            let view = mailbox.refresh()?;
            let counters = (view.uid_next.0, view.highest_mod_seq.0);
            shown.counters.insert(format!("{who}/{}", view.uid_validity.0), counters);
            let mut last = Uid(0);
            for entry in view.iter() {
                let key = format!("{who}/{}/{}", view.uid_validity.0, entry.uid.0);
                if entry.uid <= last || entry.uid >= view.uid_next {
                    violations.push(format!("{key} is out of order"));
                }
                last = entry.uid;
                let content = match mailbox.content(entry.uid) {
                    Err(StoreError::NoSuchMessage) => {
                        violations.push(format!("{key} is listed and has no file"));
                        continue;
                    }
                    other => other?,
                };
                match world::lid_of(&content) {
                    Some(lid) => {
                        let (flags, size, internal_date) =
                            ((*entry.flags).clone(), entry.size, entry.internal_date.unix_seconds());
                        shown.messages.insert(key, Message { lid, flags, size, internal_date });
                    }
                    None => violations.push(format!("{key} is damaged: {} octets", content.len())),
                }
            }
        }
    }
    store.close();
    Ok(shown)
}

fn compare(one: &Shown, other: &Shown, whom: &str, violations: &mut Vec<String>) {
    for (key, value) in &one.messages {
        if other.messages.get(key) != Some(value) {
            violations.push(format!("{whom} differ in {key}: {value:?} and {:?}", other.messages.get(key)));
        }
    }
    for (key, value) in other.messages.iter().filter(|(key, _)| !one.messages.contains_key(*key)) {
        violations.push(format!("{whom} differ: {key} {value:?} is only in the second"));
    }
}

/// No counter is behind what anybody was told of a mailbox that is still there.
fn count(told: &mut Told, shown: &Shown) {
    for (mailbox, now) in &shown.counters {
        if let Some(before) = told.told.get(mailbox)
            && (now.0 < before.0 || now.1 < before.1)
        {
            told.violations.push(format!("{mailbox} has the counters {now:?}, told was {before:?}"));
        }
    }
}

fn judge(told: &mut Told, shown: &Shown) {
    let mut places: HashMap<&str, Vec<&str>> = HashMap::new();
    for (key, Message { lid, .. }) in &shown.messages {
        places.entry(lid).or_default().push(key);
        match told.seen.get(key) {
            Some(before) if before != lid => {
                told.violations.push(format!("{key} was {before} and is {lid}"));
            }
            _ => {}
        }
        if told.expunged.contains(key) {
            told.violations.push(format!("{key} {lid} was expunged and is back"));
        }
    }
    for lid in &told.tried {
        if Class::of(lid) == Class::Passing {
            continue;
        }
        let found = places.get(lid.as_str()).map_or(0, Vec::len);
        let open = told.open_moves.get(lid).copied().unwrap_or(0);
        if found == 0 && told.delivered.contains(lid) {
            told.violations.push(format!("{lid} was accepted and is nowhere"));
        }
        if found as i64 > 1 + open {
            told.violations.push(format!("{lid} is there {found} times: {:?}", places.get(lid.as_str())));
        }
    }
    for ((key, keyword), values) in &told.flags {
        // Messages with flags in the ledger stay where they are, so that their number must be there.
        let Some(Message { lid, flags, .. }) = shown.messages.get(key) else {
            told.violations.push(format!("{key} is nowhere, which was given {keyword}"));
            continue;
        };
        let has = flags.keywords.contains(keyword);
        if !values.contains(&has) {
            told.violations.push(format!("{key} {lid} {keyword} is {has}, acknowledged was {values:?}"));
        }
    }
}

/// Removes index, journal and cache of every mailbox of an account.
fn forget_indexes(root: &Path, account: &str) -> Outcome<()> {
    let mut waiting = vec![root.to_owned(), world::other(root)];
    while let Some(directory) = waiting.pop() {
        for item in std::fs::read_dir(&directory)? {
            let item = item?;
            let name = item.file_name();
            let name = name.to_string_lossy();
            if item.file_type()?.is_dir() && !["cur", "new", "tmp"].contains(&&*name) {
                waiting.push(item.path());
            } else if ["sluice.index", "sluice.journal", "sluice.cache"].contains(&&*name)
                && item.path().to_string_lossy().contains(account)
            {
                std::fs::remove_file(item.path())?;
            }
        }
    }
    Ok(())
}
