//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1). The EXPUNGE responses come with what else changed,
//! before the tagged answer.

use std::collections::HashSet;
use std::sync::Arc;

use imap_proto::{MessageSet, Numbering};
use store::{Mailbox, StoreError, Uid};

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

pub(crate) async fn run(session: &mut Session, set: Option<&MessageSet>) -> Answer {
    let selected = session.state.writable()?;
    let only = match set {
        Some(set) => Some(selected.uids(&selected.resolve(Numbering::Uid, set)?).into_iter().collect()),
        None => None,
    };
    let mailbox = Arc::clone(&selected.mailbox);
    session.server.deps.work(move || expunge_deleted(&mailbox, only.as_ref())).await?;
    Ok(Reply::ok("EXPUNGE completed"))
}

/// Removes every message that is marked as deleted now, of `only` when given.
pub(super) fn expunge_deleted(mailbox: &Mailbox, only: Option<&HashSet<Uid>>) -> Result<(), StoreError> {
    let view = mailbox.view()?;
    let wanted = |uid: &Uid| only.is_none_or(|only| only.contains(uid));
    let deleted = view.iter().filter(|entry| entry.flags.deleted).map(|entry| entry.uid);
    let uids: Vec<Uid> = deleted.filter(wanted).collect();
    if !uids.is_empty() {
        mailbox.expunge(&uids)?;
    }
    Ok(())
}
