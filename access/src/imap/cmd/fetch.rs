//! FETCH (RFC 3501 §6.4.5).
//!
//! Works in batches: what a batch needs is read in one go on the store's threads, then written, and sent whenever much has gathered, while
//! the next one is read. So a client that does not read holds two batches in memory, whatever it asked for. A large text is never whole in memory.

mod load;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use imap_proto::{Fetch, FetchItem, Numbering};
use store::{Entry, Uid};

use super::super::answer::{Answer, Stop};
use super::super::reply::Reply;
use super::super::session::Session;
use crate::work::WorkError;
use load::{Batch, Need};

pub(crate) async fn run(session: &mut Session, args: Fetch) -> Answer {
    let selected = session.state.selected()?;
    if args.items.iter().any(|item| matches!(item, FetchItem::Binary { .. } | FetchItem::BinarySize(_))) {
        return Err(Reply::bad("BINARY is not supported").into());
    }
    let messages = selected.resolve(args.numbering, &args.messages)?;
    let need = Need::of(&args.items);
    let sets_seen = !selected.read_only && args.items.iter().any(FetchItem::sets_seen);
    let mut indices = messages.indices();
    let since = args.changed_since.map(std::num::NonZeroU64::get);
    let first = next_batch(session, &mut indices, need, since)?;
    let mut batch = read(session, first, need, sets_seen)?.await?;
    let mut gone = false;
    while !batch.loaded.is_empty() {
        let wanted = next_batch(session, &mut indices, need, since)?;
        let next = read(session, wanted, need, sets_seen)?;
        let write = write(session, batch, &args.items);
        batch = if sets_seen {
            // Nothing is marked before what came before it is written.
            gone |= write.await?;
            next.await?
        } else {
            let (next, written) = tokio::join!(next, write);
            gone |= written?;
            next?
        };
    }
    if gone && args.numbering == Numbering::Sequence {
        // RFC 2180 §4.1.2; a UID that is not there is no error (RFC 3501 §6.4.8).
        return Err(Reply::no("Some messages are gone").with_code("EXPUNGEISSUED").into());
    }
    Ok(Reply::ok("FETCH completed"))
}

/// Reads what a batch needs on the store's threads.
fn read(
    session: &mut Session,
    wanted: Vec<(usize, Entry)>,
    need: Need,
    sets_seen: bool,
) -> Result<impl Future<Output = Result<Batch, WorkError>> + use<>, Stop> {
    let unseen: Vec<Uid> = if sets_seen {
        wanted.iter().filter(|(_, entry)| !entry.flags.seen).map(|(_, entry)| entry.uid).collect()
    } else {
        Vec::new()
    };
    let mailbox = Arc::clone(&session.state.selected()?.mailbox);
    let deps = Arc::clone(&session.server.deps);
    Ok(async move {
        if wanted.is_empty() {
            return Ok(Batch::default());
        }
        deps.work(move || load::load(&mailbox, wanted, need, &unseen)).await
    })
}

/// Writes a batch; says whether a message of it is gone.
async fn write(session: &mut Session, batch: Batch, items: &[FetchItem]) -> Result<bool, Stop> {
    let seen: HashMap<Uid, Entry> = batch.seen.into_iter().map(|entry| (entry.uid, entry)).collect();
    let mut gone = false;
    for message in batch.loaded {
        gone |= message.gone;
        if !message.gone {
            write::write(session, &message, items, seen.get(&message.entry.uid)).await?;
        }
    }
    Ok(gone)
}

/// The next messages to read at once, with the flags that the client knows.
fn next_batch(
    session: &mut Session,
    indices: &mut impl Iterator<Item = usize>,
    need: Need,
    changed_since: Option<u64>,
) -> Result<Vec<(usize, Entry)>, Stop> {
    let selected = session.state.selected()?;
    let mut wanted = Vec::new();
    let mut octets = 0_u64;
    for index in indices {
        let Some(entry) = selected.entry(index) else { continue };
        if changed_since.is_some_and(|since| entry.mod_seq.0 <= since) {
            continue;
        }
        let flags = Arc::clone(selected.flags(entry));
        octets = octets.saturating_add(entry.size);
        wanted.push((index, Entry { flags, ..*entry }));
        if need.is_full(wanted.len(), octets) {
            break;
        }
    }
    Ok(wanted)
}
