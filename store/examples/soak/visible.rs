//! A change through one mount shows through the other at the next look, whatever either has cached.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Delivery, FlagChange, Flags, Mailbox, Store, StoreError, Uid};

use crate::Outcome;
use crate::world::{self, ACCOUNTS};

const ROUNDS: usize = 20;

fn deliver(mailbox: &Mailbox, lid: &str) -> Outcome<Uid> {
    let content = world::content(lid);
    let done = mailbox.deliver(&Delivery {
        message_id: world::message_id(lid),
        content: &content,
        received_at: world::date(lid),
        flags: Flags::default(),
    })?;
    Ok(done.uid.ok_or("delivered without the lock")?)
}

fn inbox(store: &Store) -> Outcome<Arc<Mailbox>> {
    Ok(store.account(&world::account(ACCOUNTS[0])?)?.mailbox(&world::mailbox_name("INBOX")?)?)
}

fn expect(holds: bool, text: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(text.into()) }
}

pub(crate) fn run(one: &Path, other: &Path) -> Outcome<bool> {
    let roots = [one.join("mail"), other.join("mail")];
    world::init(&roots[0])?;
    let stores = [world::open(&roots[0])?, world::open(&roots[1])?];
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        // Each side writes in turn, and the other has looked before, so that its caches are as old as can be.
        let (writer, reader) = (&stores[round % 2], &stores[(round + 1) % 2]);
        let (written, read) = (inbox(writer)?, inbox(reader)?);
        read.refresh()?;
        let lid = format!("K-visible-{round}");
        let uid = deliver(&written, &lid)?;
        let begun = Instant::now();
        let view = read.refresh()?;
        expect(view.by_uid(uid).is_some(), "a delivery does not show on the other node")?;
        expect(read.content(uid)? == world::content(&lid), "another content shows on the other node")?;
        slowest = slowest.max(begun.elapsed());
        let seen = Flags { seen: true, ..Flags::default() };
        written.store(&[uid], FlagChange::Add, &seen, None)?;
        let view = read.refresh()?;
        expect(view.by_uid(uid).is_some_and(|(_, entry)| entry.flags.seen), "a flag does not show")?;
        expect(read.content(uid)? == world::content(&lid), "a renamed file is not found")?;
        if round % 3 == 0 {
            written.expunge(&[uid])?;
            expect(read.refresh()?.by_uid(uid).is_none(), "an expunged message still shows")?;
        }
        folders(writer, reader, round)?;
    }
    println!("visible: {ROUNDS} rounds, slowest look and read {slowest:?}");
    signals(&stores[0], &stores[1])?;
    polls(&stores[1], other)?;
    costs(&stores, [one, other])?;
    Ok(true)
}

/// Whoever watches hears of another node's change when somebody says that there is one.
fn signals(writer: &Store, reader: &Store) -> Outcome<()> {
    let (written, read) = (inbox(writer)?, inbox(reader)?);
    let before = read.refresh()?.len();
    let mut changes = read.changes();
    changes.mark_unchanged();
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        deliver(&written, &format!("K-signal-{round}"))?;
        let begun = Instant::now();
        reader.notice(&world::account(ACCOUNTS[0])?, &world::mailbox_name("INBOX")?)?;
        expect(changes.has_changed()?, "nobody is told of the change")?;
        changes.mark_unchanged();
        expect(read.view()?.len() == before + round + 1, "the change does not show")?;
        slowest = slowest.max(begun.elapsed());
    }
    println!("signals: {ROUNDS} rounds, slowest {slowest:?}");
    expect(slowest < Duration::from_secs(1), "a second is too long")
}

/// What the kernel's client says of its calls to the server.
fn calls(mount: &Path) -> Outcome<u64> {
    let stats = std::fs::read_to_string("/proc/self/mountstats")?;
    let start = format!(" mounted on {} with fstype nfs", mount.display());
    let lines = stats.lines().skip_while(|line| !line.contains(&start)).skip(1);
    let lines =
        lines.take_while(|line| !line.starts_with("device ")).skip_while(|line| !line.contains("per-op"));
    let counts = lines.skip(1).filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(counts.sum())
}

/// A poll that finds nothing new makes no call to the server; a look at the disk makes a few.
fn polls(reader: &Store, mount: &Path) -> Outcome<()> {
    const POLLS: u64 = 1000;
    let hour = Duration::from_secs(3600);
    let account = reader.account(&world::account(ACCOUNTS[0])?)?;
    let name = world::mailbox_name("INBOX")?;
    let mailbox = inbox(reader)?;
    mailbox.refresh()?;
    let before = calls(mount)?;
    expect(before > 0, "the kernel counts no calls")?;
    for _ in 0..POLLS {
        mailbox.view()?;
        account.mailbox_within(&name, hour)?.view_within(hour)?.status();
    }
    let quiet = calls(mount)? - before;
    for _ in 0..POLLS {
        mailbox.refresh()?;
    }
    let looks = calls(mount)? - before - quiet;
    println!("polls: {POLLS} without news, calls {quiet}; {POLLS} looks at the disk, calls {looks}");
    expect(quiet == 0 && looks > 0, "a poll asks the server")
}

/// What a message costs the server on its way in, and what a visit costs that finds two messages, reads them and marks them as read, in a
/// mailbox of which the node has nothing in memory; and one that finds nothing, in a mailbox that it has.
fn costs([writer, reader]: &[Store; 2], [one, other]: [&Path; 2]) -> Outcome<()> {
    const NEW: u64 = 2;
    let rounds = u64::try_from(ROUNDS)?;
    let (mut message, mut visit, mut look) = (0, 0, 0);
    for round in 0..ROUNDS {
        // Nothing is owed to the disk, nothing is kept in memory.
        writer.close();
        reader.close();
        let written = inbox(writer)?;
        written.refresh()?;
        let before = calls(one)?;
        let uids = (0..NEW).map(|number| deliver(&written, &format!("K-costs-{round}-{number}")));
        let uids: Vec<Uid> = uids.collect::<Outcome<_>>()?;
        message += calls(one)? - before;
        let before = calls(other)?;
        let read = inbox(reader)?;
        read.refresh()?;
        expect(read.recent(true)?.len() >= uids.len(), "what is new is not recent")?;
        for uid in &uids {
            read.content(*uid)?;
        }
        read.store(&uids, FlagChange::Add, &Flags { seen: true, ..Flags::default() }, None)?;
        // Their names follow.
        reader.close();
        visit += calls(other)? - before;
        let before = calls(other)?;
        inbox(reader)?.refresh()?;
        look += calls(other)? - before;
    }
    let (message, visit, look) = (message / rounds / NEW, visit / rounds, look / rounds);
    println!(
        "costs: calls of a message {message}, of a visit with {NEW} new messages {visit}, of one without news {look}"
    );
    expect(message > 0 && visit > look && look > 0, "the kernel counts no calls")
}

fn folders(writer: &Store, reader: &Store, round: usize) -> Outcome<()> {
    let name = world::account(ACCOUNTS[0])?;
    let (writer, reader) = (writer.account(&name)?, reader.account(&name)?);
    let (first, second) =
        (world::mailbox_name(&format!("Box{round}"))?, world::mailbox_name(&format!("Other{round}"))?);
    expect(matches!(reader.mailbox(&first), Err(StoreError::NoSuchMailbox)), "it is not there yet")?;
    writer.create(&first)?;
    deliver(&*writer.mailbox(&first)?, &format!("K-folder-{round}"))?;
    expect(reader.mailbox(&first)?.refresh()?.len() == 1, "a new mailbox does not show")?;
    writer.rename(&first, &second)?;
    expect(reader.mailbox(&second)?.refresh()?.len() == 1, "a renamed mailbox does not show")?;
    expect(matches!(reader.mailbox(&first), Err(StoreError::NoSuchMailbox)), "the old name still shows")?;
    let open = reader.mailbox(&second)?;
    writer.delete(&second)?;
    expect(
        deliver(&open, &format!("K-late-{round}")).is_err(),
        "a delivery into a mailbox that another node deleted says that it worked",
    )
}
