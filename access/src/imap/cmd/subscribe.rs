//! SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.6, §6.3.7). A name may be subscribed that is not there.

use imap_proto::Mailbox;
use store::MailboxName;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

pub(crate) async fn run(session: &mut Session, mailbox: &Mailbox, subscribed: bool) -> Answer {
    let mail = session.state.person()?.mail.clone();
    let name = MailboxName::parse(mailbox.as_str()).map_err(store::StoreError::from)?;
    session.server.deps.work(move || mail.set_subscribed(&name, subscribed)).await?;
    Ok(Reply::ok(if subscribed { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }))
}
