//! STORE (RFC 3501 §6.4.6). Answered when the change is on disk.

use std::collections::HashSet;
use std::sync::Arc;

use imap_proto::response::word;
use imap_proto::{Numbering, Store, StoreChange};
use store::{Entry, FlagChange, Flags, ModSeq, Uid};

use super::super::answer::Answer;
use super::super::flags;
use super::super::reply::Reply;
use super::super::selected::{Messages, Selected};
use super::super::session::Session;

pub(crate) async fn run(session: &mut Session, args: Store) -> Answer {
    let selected = session.state.writable()?;
    let messages = selected.resolve(args.numbering, &args.messages)?;
    let wanted = flags::from_wire(&args.flags)?;
    let change = match args.change {
        StoreChange::Add => FlagChange::Add,
        StoreChange::Remove => FlagChange::Remove,
        StoreChange::Replace => FlagChange::Replace,
    };
    let uids = selected.uids(&messages);
    if uids.is_empty() {
        return Ok(Reply::ok("STORE completed, there was nothing to change"));
    }
    let (mailbox, flags, unchanged_since) =
        (Arc::clone(&selected.mailbox), wanted.clone(), args.unchanged_since.map(ModSeq));
    let stored = session.server.deps.work(move || {
        let stored = mailbox.store(&uids, change, &flags, unchanged_since)?;
        Ok((stored, mailbox.view()?))
    });
    let (stored, now) = stored.await?;
    let left_alone: HashSet<Uid> = stored.modified.iter().copied().collect();
    let selected = session.state.selected()?;
    let mut gone = false;
    for index in messages.indices() {
        let Some(told) = selected.entry(index).cloned() else { continue };
        if left_alone.contains(&told.uid) {
            continue;
        }
        let Some((_, entry)) = now.by_uid(told.uid) else {
            // A UID that is not there is no error (RFC 3501 §6.4.8).
            gone |= args.numbering == Numbering::Sequence;
            continue;
        };
        if args.silent {
            // The client takes its change for granted; what differs from that is told with the rest.
            let expected = changed(selected.flags(&told), change, &wanted);
            selected.note_flags(told.uid, Arc::new(expected));
        } else {
            answer(selected, index, entry, &mut session.connection.out);
            session.connection.flush_if_full().await?;
        }
    }
    Ok(reply(&messages, &stored.modified, gone))
}

/// `* n FETCH (…)` with the new flags, known to the client from now on.
fn answer(selected: &mut Selected, index: usize, entry: &Entry, out: &mut Vec<u8>) {
    selected.tell_keywords(&[(index, entry.clone())], out);
    selected.encode_flags(index, entry, out);
    selected.note_flags(entry.uid, Arc::clone(&entry.flags));
}

fn reply(messages: &Messages, modified: &[Uid], gone: bool) -> Reply {
    if !modified.is_empty() {
        let mut code = b"MODIFIED ".to_vec();
        word::set(modified.iter().map(|uid| uid.0), &mut code);
        return Reply::ok("Conditional STORE failed for some messages")
            .with_code(String::from_utf8_lossy(&code).into_owned());
    }
    if gone {
        // RFC 2180 §4.2.1
        let text = if messages.len() == 1 { "The message is gone" } else { "Some messages are gone" };
        return Reply::no(text).with_code("EXPUNGEISSUED");
    }
    Reply::ok("STORE completed")
}

/// What the flags are after the change, when nobody else made one.
fn changed(flags: &Flags, change: FlagChange, wanted: &Flags) -> Flags {
    let bit = |old: bool, named: bool| match change {
        FlagChange::Add => old || named,
        FlagChange::Remove => old && !named,
        FlagChange::Replace => named,
    };
    let same = |keyword: &String| wanted.keywords.iter().any(|other| other.eq_ignore_ascii_case(keyword));
    let mut keywords = flags.keywords.clone();
    match change {
        FlagChange::Add => {
            let held =
                |keyword: &String| flags.keywords.iter().any(|other| other.eq_ignore_ascii_case(keyword));
            keywords.extend(wanted.keywords.iter().filter(|keyword| !held(keyword)).cloned());
        }
        FlagChange::Remove => keywords.retain(|keyword| !same(keyword)),
        FlagChange::Replace => keywords.clone_from(&wanted.keywords),
    }
    Flags {
        seen: bit(flags.seen, wanted.seen),
        answered: bit(flags.answered, wanted.answered),
        flagged: bit(flags.flagged, wanted.flagged),
        deleted: bit(flags.deleted, wanted.deleted),
        draft: bit(flags.draft, wanted.draft),
        keywords,
    }
}
