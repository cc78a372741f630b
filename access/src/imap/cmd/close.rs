//! CLOSE (RFC 3501 §6.4.2): removes what is marked as deleted without saying so, and leaves the mailbox.

use std::sync::Arc;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::expunge::expunge_deleted;

pub(crate) async fn run(session: &mut Session) -> Answer {
    let selected = session.state.selected()?;
    if !selected.read_only {
        let mailbox = Arc::clone(&selected.mailbox);
        session.server.deps.work(move || expunge_deleted(&mailbox, None)).await?;
    }
    session.state.unselect();
    Ok(Reply::ok("CLOSE completed"))
}
