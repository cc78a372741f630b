//! RENAME (RFC 3501 §6.3.5).

use imap_proto::Mailbox;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::create::name_to_make;
use super::select::existing;

pub(crate) async fn run(session: &mut Session, from: &Mailbox, to: &Mailbox) -> Answer {
    let mail = session.state.person()?.mail.clone();
    let (from, to) = (existing(from)?, name_to_make(to.as_str())?);
    session.server.work(move || mail.rename(&from, &to)).await?;
    Ok(Reply::ok("RENAME completed"))
}
