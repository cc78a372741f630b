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
    Ok(true)
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
