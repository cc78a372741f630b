//! STATUS (RFC 3501 §6.3.10; SIZE by RFC 8438, DELETED by RFC 9051).

use std::time::Duration;

use imap_proto::response::data;
use imap_proto::{Mailbox, StatusItem};
use store::{Account, MailboxName, MailboxStatus};

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::select::existing;
use crate::Deps;
use crate::work::WorkError;

pub(crate) async fn run(session: &mut Session, mailbox: &Mailbox, items: &[StatusItem]) -> Answer {
    let mail = session.state.person()?.mail.clone();
    let name = existing(mailbox)?;
    let age = session.server.config.poll_interval.as_duration();
    let status = status(&session.server.deps, &mail, &name, age).await?;
    encode(&name, &status, items, &mut session.connection.out);
    Ok(Reply::ok("STATUS completed"))
}

/// The state of a mailbox, after a look at the disk when the last one is longer ago than `age`. What memory can answer is answered
/// without another thread.
pub(super) async fn status(
    deps: &Deps,
    mail: &Account,
    name: &MailboxName,
    age: Duration,
) -> Result<MailboxStatus, WorkError> {
    if let Some(view) = mail.remembered(name, age).filter(|view| view.is_counted()) {
        return Ok(view.status());
    }
    let (mail, name) = (mail.clone(), name.clone());
    deps.work(move || Ok(mail.mailbox_within(&name, age)?.view_within(age)?.status())).await
}

/// `* STATUS name (…)`
pub(super) fn encode(name: &MailboxName, status: &MailboxStatus, items: &[StatusItem], out: &mut Vec<u8>) {
    let value = |item: &StatusItem| match item {
        StatusItem::Messages => status.messages.into(),
        StatusItem::Recent => status.recent.into(),
        StatusItem::UidNext => status.uid_next.0.into(),
        StatusItem::UidValidity => status.uid_validity.0.into(),
        StatusItem::Unseen => status.unseen.into(),
        StatusItem::Deleted => status.deleted.into(),
        StatusItem::Size => status.size,
        StatusItem::HighestModSeq => status.highest_mod_seq.0,
    };
    let values: Vec<(StatusItem, u64)> = items.iter().map(|item| (*item, value(item))).collect();
    data::status(name.as_str(), false, &values, out);
}
