//! One node: threads that do what workers and sessions do, on mailboxes that another node uses too.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{
    Account, Delivery, Filing, FlagChange, Flags, Mailbox, MigrateError, Patience, Store, StoreError, Uid,
    View,
};

use crate::Outcome;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::world::{self, ACCOUNTS, Class, LASTING, PASSING};

const THREADS: usize = 3;
/// Messages of one flag change, at most; every tenth takes all there are.
const FLAG_MAX: usize = 20;

struct Thread<'a> {
    store: &'a Store,
    name: &'a str,
    number: usize,
    ledger: &'a Ledger,
    random: Random,
    /// Which message a number was seen to be: account, UIDVALIDITY, UID.
    seen: HashMap<(usize, u32, u32), String>,
    /// The largest UIDNEXT and mod-sequence that was ever shown, by account and UIDVALIDITY.
    highest: HashMap<(usize, u32), (u32, u64)>,
    delivered: Vec<(usize, &'static str, String)>,
    count: u64,
    epoch: u64,
}

/// Runs for `length`; killed and started again, it goes on with new names.
pub(crate) fn run(root: &Path, name: &str, seed: u64, length: Duration, ledgers: &Path) -> Outcome<()> {
    let store = world::open(root)?;
    let ledger = Ledger::open(ledgers, name)?;
    let end = Instant::now() + length;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let upkeep = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                store.tick();
                std::thread::park_timeout(Duration::from_secs(1));
            }
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let mut thread = Thread {
                    store: &store,
                    name,
                    number,
                    ledger: &ledger,
                    random: Random::new(seed ^ (number as u64) << 32),
                    seen: HashMap::new(),
                    highest: HashMap::new(),
                    delivered: Vec::new(),
                    count: 0,
                    epoch: seed,
                };
                scope.spawn(move || {
                    while Instant::now() < end {
                        thread.step();
                    }
                })
            })
            .collect();
        for thread in threads {
            if thread.join().is_err() {
                ledger.write(THREADS, "violation a thread panicked");
            }
        }
        over.store(true, Ordering::Relaxed);
        upkeep.thread().unpark();
    });
    store.close();
    Ok(())
}

impl Thread<'_> {
    fn write(&self, event: &str) {
        self.ledger.write(self.number, event);
    }

    fn violation(&self, text: &str) {
        self.write(&format!("violation {text}"));
    }

    fn step(&mut self) {
        let who = self.random.below(ACCOUNTS.len());
        let choice = self.random.below(100);
        let result = self.account(who).and_then(|account| match choice {
            0..5 => self.deliver_some(who, &account),
            5..25 => self.deliver(who, &account, 'K', &LASTING),
            25..37 => self.deliver(who, &account, 'E', &["INBOX", "Archive"]),
            37..43 => self.deliver(who, &account, 'F', &["INBOX"]),
            43..48 => self.deliver_again(),
            48..64 => self.change_flags(who, &account),
            64..72 => self.look(who, &account),
            72..81 => self.move_one(who, &account),
            81..85 => self.copy(who, &account),
            85..91 => self.expunge(who, &account),
            91..94 => self.append(who, &account),
            94..96 => {
                account.mailbox(&world::mailbox_name("INBOX")?)?.recent(true).map(drop).map_err(Into::into)
            }
            // Rare, for it takes long.
            _ if self.random.below(40) == 0 => self.move_account(who),
            _ => self.folders(&account),
        });
        if let Err(error) = result {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            self.write(&format!("error {choice} {text}"));
        }
    }

    fn account(&self, who: usize) -> Outcome<Account> {
        Ok(self.store.account(&world::account(ACCOUNTS[who])?)?)
    }

    fn mailbox(
        &mut self,
        account: &Account,
        names: &[&'static str],
    ) -> Outcome<(&'static str, Arc<Mailbox>)> {
        let name = self.random.pick(names).copied().unwrap_or("INBOX");
        let parsed = world::mailbox_name(name)?;
        match account.mailbox(&parsed) {
            Err(StoreError::NoSuchMailbox) => match account.create(&parsed) {
                Ok(()) | Err(StoreError::AlreadyExists) => Ok((name, account.mailbox(&parsed)?)),
                Err(error) => Err(error.into()),
            },
            other => Ok((name, other?)),
        }
    }

    fn fresh(&mut self, class: char) -> String {
        self.count += 1;
        format!("{class}-{}{:x}-{}-{}", self.name, self.epoch & 0xFFFF_FFFF, self.number, self.count)
    }

    fn deliver(&mut self, who: usize, account: &Account, class: char, names: &[&'static str]) -> Outcome<()> {
        let lid = self.fresh(class);
        let (name, mailbox) = self.mailbox(account, names)?;
        self.delivered.push((who, name, lid.clone()));
        self.deliver_to(&mailbox, &lid).map(drop)
    }

    fn deliver_to(&self, mailbox: &Mailbox, lid: &str) -> Outcome<bool> {
        self.write(&format!("deliver? {lid}"));
        let content = world::content(lid);
        let done = mailbox.deliver(&Delivery {
            message_id: world::message_id(lid),
            content: &content,
            received_at: world::date(lid),
            flags: Flags::default(),
        })?;
        self.write(&format!("deliver! {lid}"));
        Ok(done.duplicate)
    }

    /// A worker's batch: several messages, some of them for two mailboxes.
    fn deliver_some(&mut self, who: usize, account: &Account) -> Outcome<()> {
        let mut some = Vec::new();
        for _ in 0..2 + self.random.below(4) {
            let lid = self.fresh('K');
            let (name, mailbox) = self.mailbox(account, &LASTING)?;
            self.delivered.push((who, name, lid.clone()));
            some.push((world::content(&lid), lid, mailbox));
        }
        some.iter().for_each(|(_, lid, _)| self.write(&format!("deliver? {lid}")));
        let mut filings = Vec::new();
        for (content, lid, mailbox) in &some {
            let (message_id, received_at) = (world::message_id(lid), world::date(lid));
            let delivery = Delivery { message_id, content, received_at, flags: Flags::default() };
            filings.push(Filing { delivery, mailboxes: vec![mailbox.clone()] });
        }
        let answers = self.store.deliver_batch(&filings, Patience::Little);
        for ((_, lid, _), answer) in some.iter().zip(answers.into_iter().flatten()) {
            match answer {
                Ok(_) => self.write(&format!("deliver! {lid}")),
                Err(error) => self.write(&format!("error batch {error}")),
            }
        }
        Ok(())
    }

    fn move_account(&mut self, who: usize) -> Outcome<()> {
        let volume = self.random.pick(&world::VOLUMES).copied().unwrap_or("main");
        match self.store.move_account(&world::account(ACCOUNTS[who])?, volume, &mut |_| {}) {
            Ok(moved) => self.write(&format!("moved {} {volume} {moved:?}", ACCOUNTS[who])),
            Err(MigrateError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The queue gives a message again although it was delivered.
    fn deliver_again(&mut self) -> Outcome<()> {
        let Some((who, name, lid)) = self.random.pick(&self.delivered).cloned() else { return Ok(()) };
        if PASSING.contains(&name) {
            return Ok(());
        }
        let mailbox = self.account(who)?.mailbox(&world::mailbox_name(name)?)?;
        self.deliver_to(&mailbox, &lid).map(drop)
    }

    /// A picture, checked against all earlier ones.
    fn picture(&mut self, who: usize, mailbox: &Mailbox) -> Outcome<Arc<View>> {
        let view = mailbox.refresh()?;
        let known = self.highest.entry((who, view.uid_validity.0)).or_insert((0, 0));
        let now = (view.uid_next.0, view.highest_mod_seq.0);
        let went_back = now.0 < known.0 || now.1 < known.1;
        let before = *known;
        *known = (known.0.max(now.0), known.1.max(now.1));
        if before != *known {
            let (uid_next, mod_seq) = *known;
            self.write(&format!("told {}/{} {uid_next} {mod_seq}", ACCOUNTS[who], view.uid_validity.0));
        }
        if went_back {
            self.violation(&format!("{} counters {now:?} after {before:?}", ACCOUNTS[who]));
        }
        Ok(view)
    }

    /// The message behind a number, once it was read.
    fn name_of(&mut self, who: usize, view: &View, mailbox: &Mailbox, uid: Uid) -> Outcome<Option<String>> {
        let key = (who, view.uid_validity.0, uid.0);
        if let Some(lid) = self.seen.get(&key) {
            return Ok(Some(lid.clone()));
        }
        let content = match mailbox.content(uid) {
            Err(StoreError::NoSuchMessage) => return Ok(None),
            other => other?,
        };
        let Some(lid) = world::lid_of(&content) else {
            self.violation(&format!("damaged {} octets in {key:?}", content.len()));
            return Ok(None);
        };
        self.write(&format!("see {}/{}/{} {lid}", ACCOUNTS[who], key.1, key.2));
        self.seen.insert(key, lid.clone());
        Ok(Some(lid))
    }

    /// Up to `count` messages of a class, at random.
    fn choose(
        &mut self,
        who: usize,
        mailbox: &Mailbox,
        class: Class,
        count: usize,
    ) -> Outcome<(u32, Vec<(Uid, String)>)> {
        let view = self.picture(who, mailbox)?;
        let mut chosen = Vec::new();
        let start = self.random.below(view.len());
        for entry in view.range(start..).take(4 * count + 10) {
            if chosen.len() == count {
                break;
            }
            if let Some(lid) = self.name_of(who, &view, mailbox, entry.uid)?
                && Class::of(&lid) == class
            {
                chosen.push((entry.uid, lid));
            }
        }
        Ok((view.uid_validity.0, chosen))
    }

    fn look(&mut self, who: usize, account: &Account) -> Outcome<()> {
        let (_, mailbox) = self.mailbox(account, &LASTING)?;
        let view = self.picture(who, &mailbox)?;
        let uids: Vec<Uid> = view.iter().map(|entry| entry.uid).collect();
        for _ in 0..5 {
            if let Some(uid) = self.random.pick(&uids).copied() {
                self.name_of(who, &view, &mailbox, uid)?;
            }
        }
        let some: Vec<Uid> = uids.iter().rev().take(10).copied().collect();
        for (uid, summary) in mailbox.summaries(&some)? {
            let Some(lid) = self.name_of(who, &view, &mailbox, uid)? else { continue };
            if *summary != store::parse_summary(&world::content(&lid)) {
                self.violation(&format!("the summary of {lid} is another message's"));
            }
        }
        Ok(())
    }

    /// Every thread of every node has a keyword of its own, so that its last word is what counts.
    fn change_flags(&mut self, who: usize, account: &Account) -> Outcome<()> {
        let (_, mailbox) = self.mailbox(account, &["INBOX"])?;
        let count = if self.random.below(10) == 0 { usize::MAX / 8 } else { 1 + self.random.below(FLAG_MAX) };
        let (uid_validity, chosen) = self.choose(who, &mailbox, Class::Flagged, count)?;
        let keyword = format!("${}{}", self.name, self.number);
        let on = self.random.below(2) == 1;
        let flags = Flags { keywords: [keyword.clone()].into(), ..Flags::default() };
        let event = |mark: char, uid: Uid| {
            format!("flag{mark} {}/{uid_validity}/{} {keyword} {}", ACCOUNTS[who], uid.0, u8::from(on))
        };
        for (uid, _) in &chosen {
            self.write(&event('?', *uid));
        }
        let uids: Vec<Uid> = chosen.iter().map(|(uid, _)| *uid).collect();
        let change = if on { FlagChange::Add } else { FlagChange::Remove };
        mailbox.store(&uids, change, &flags, None)?;
        for uid in uids {
            self.write(&event('!', uid));
        }
        Ok(())
    }

    fn move_one(&mut self, who: usize, account: &Account) -> Outcome<()> {
        let (_, source) = self.mailbox(account, &LASTING)?;
        let (_, target) = self.mailbox(account, &LASTING)?;
        if source.name() == target.name() {
            return Ok(());
        }
        let count = 1 + self.random.below(3);
        let (_, chosen) = self.choose(who, &source, Class::Kept, count)?;
        let event = |mark: char, lid: &str| format!("move{mark} {} {lid}", ACCOUNTS[who]);
        for (_, lid) in &chosen {
            self.write(&event('?', lid));
        }
        let uids: Vec<Uid> = chosen.iter().map(|(uid, _)| *uid).collect();
        source.move_to(&uids, &target)?;
        for (_, lid) in &chosen {
            self.write(&event('!', lid));
        }
        Ok(())
    }

    fn copy(&mut self, who: usize, account: &Account) -> Outcome<()> {
        let (_, source) = self.mailbox(account, &["INBOX", "Archive"])?;
        let (_, target) = self.mailbox(account, &["INBOX", "Archive", "T0"])?;
        let (_, chosen) = self.choose(who, &source, Class::Passing, 5)?;
        let uids: Vec<Uid> = chosen.iter().map(|(uid, _)| *uid).collect();
        source.copy(&uids, &target)?;
        Ok(())
    }

    fn expunge(&mut self, who: usize, account: &Account) -> Outcome<()> {
        let (_, mailbox) = self.mailbox(account, &["INBOX", "Archive"])?;
        let count = 1 + self.random.below(10);
        let (uid_validity, chosen) = self.choose(who, &mailbox, Class::Passing, count)?;
        let uids: Vec<Uid> = chosen.iter().map(|(uid, _)| *uid).collect();
        let removed = mailbox.expunge(&uids)?;
        for uid in removed {
            self.write(&format!("expunge! {}/{uid_validity}/{}", ACCOUNTS[who], uid.0));
        }
        Ok(())
    }

    /// An APPEND that was answered must be there as a delivery must; one that was not is not given again.
    fn append(&mut self, who: usize, account: &Account) -> Outcome<()> {
        let lid = self.fresh('K');
        let (_, mailbox) = self.mailbox(account, &["INBOX", "Archive"])?;
        let flags = Flags { seen: true, ..Flags::default() };
        self.write(&format!("deliver? {lid}"));
        let uid = mailbox.append(&world::content(&lid), &flags, world::date(&lid))?;
        self.write(&format!("deliver! {lid}"));
        let uid_validity = mailbox.view()?.uid_validity.0;
        self.write(&format!("see {}/{uid_validity}/{} {lid}", ACCOUNTS[who], uid.0));
        Ok(())
    }

    fn folders(&mut self, account: &Account) -> Outcome<()> {
        let name = world::mailbox_name(self.random.pick(&PASSING).copied().unwrap_or("T0"))?;
        let other = world::mailbox_name(self.random.pick(&PASSING).copied().unwrap_or("T2"))?;
        let done = match self.random.below(4) {
            0 => account.delete(&name),
            1 => account.rename(&name, &other),
            2 => account.create(&name),
            _ => {
                let lid = self.fresh('E');
                let (_, mailbox) = self.mailbox(account, &PASSING)?;
                return self.deliver_to(&mailbox, &lid).map(drop);
            }
        };
        match done {
            Ok(()) | Err(StoreError::AlreadyExists | StoreError::NoSuchMailbox | StoreError::HasChildren) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
