//! CREATE (RFC 3501 §6.3.3).

use imap_proto::Create;
use store::{MailboxName, StoreError};

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

pub(crate) async fn run(session: &mut Session, args: Create) -> Answer {
    let mail = session.state.person()?.mail.clone();
    if !args.special_uses.is_empty() {
        return Err(Reply::no("A special use can't be given to a mailbox").with_code("USEATTR").into());
    }
    let name = name_to_make(args.mailbox.as_str())?;
    session.server.deps.work(move || mail.create(&name)).await?;
    Ok(Reply::ok("CREATE completed"))
}

/// A name for a new mailbox: wildcards would make it hard to name in LIST.
pub(super) fn name_to_make(name: &str) -> Result<MailboxName, StoreError> {
    if name.contains(['*', '%']) {
        return Err(StoreError::Name(store::MailboxNameError::NotAllowed("wildcards")));
    }
    Ok(MailboxName::parse(name)?)
}
