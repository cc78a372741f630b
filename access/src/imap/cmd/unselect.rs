//! UNSELECT (RFC 3691): leaves the mailbox and removes nothing.

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

pub(crate) fn run(session: &mut Session) -> Answer {
    session.state.selected()?;
    session.state.unselect();
    Ok(Reply::ok("UNSELECT completed"))
}
