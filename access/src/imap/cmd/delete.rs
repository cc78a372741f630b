//! DELETE (RFC 3501 §6.3.4).

use imap_proto::Mailbox;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::select::existing;

pub(crate) async fn run(session: &mut Session, mailbox: &Mailbox) -> Answer {
    let mail = session.state.person()?.mail.clone();
    let name = existing(mailbox)?;
    session.server.work(move || mail.delete(&name)).await?;
    Ok(Reply::ok("DELETE completed"))
}
