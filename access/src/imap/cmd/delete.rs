//! DELETE (RFC 3501 §6.3.4).

use imap_proto::Mailbox;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::select::existing;

pub(crate) async fn run(session: &mut Session, mailbox: &Mailbox) -> Answer {
    let mail = session.state.person()?.mail.clone();
    let name = existing(mailbox)?;
    let deleted = name.clone();
    session.server.deps.work(move || mail.delete(&deleted)).await?;
    // Nothing is left to be told of; other sessions that have it selected get a BYE.
    if session.state.selected().is_ok_and(|selected| selected.mailbox.name() == name) {
        session.state.unselect();
    }
    Ok(Reply::ok("DELETE completed"))
}
